from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Stream(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STREAM_UNSPECIFIED: _ClassVar[Stream]
    STDOUT: _ClassVar[Stream]
    STDERR: _ClassVar[Stream]
    NOTICE: _ClassVar[Stream]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    SUCCEEDED: _ClassVar[Outcome]
    FAILED: _ClassVar[Outcome]
    CANCELLED: _ClassVar[Outcome]
    LOST: _ClassVar[Outcome]
STREAM_UNSPECIFIED: Stream
STDOUT: Stream
STDERR: Stream
NOTICE: Stream
OUTCOME_UNSPECIFIED: Outcome
SUCCEEDED: Outcome
FAILED: Outcome
CANCELLED: Outcome
LOST: Outcome

class RegisterRequest(_message.Message):
    __slots__ = ("token", "worker_id", "secret_sha256", "name", "version")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    SECRET_SHA256_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    token: str
    worker_id: str
    secret_sha256: bytes
    name: str
    version: str
    def __init__(self, token: _Optional[str] = ..., worker_id: _Optional[str] = ..., secret_sha256: _Optional[bytes] = ..., name: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class RegisterResponse(_message.Message):
    __slots__ = ("worker_id",)
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    def __init__(self, worker_id: _Optional[str] = ...) -> None: ...

class WorkerFrame(_message.Message):
    __slots__ = ("hello", "heartbeat", "accepts", "rejects", "logs", "results", "stopping", "cancels_received", "started", "leftovers", "next_credential_sha256")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    ACCEPTS_FIELD_NUMBER: _ClassVar[int]
    REJECTS_FIELD_NUMBER: _ClassVar[int]
    LOGS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    STOPPING_FIELD_NUMBER: _ClassVar[int]
    CANCELS_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    LEFTOVERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CREDENTIAL_SHA256_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    heartbeat: Heartbeat
    accepts: _containers.RepeatedCompositeFieldContainer[Accept]
    rejects: _containers.RepeatedCompositeFieldContainer[Reject]
    logs: _containers.RepeatedCompositeFieldContainer[LogChunk]
    results: _containers.RepeatedCompositeFieldContainer[Result]
    stopping: _containers.RepeatedCompositeFieldContainer[Stopping]
    cancels_received: _containers.RepeatedScalarFieldContainer[int]
    started: _containers.RepeatedScalarFieldContainer[int]
    leftovers: _containers.RepeatedCompositeFieldContainer[Leftover]
    next_credential_sha256: bytes
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., accepts: _Optional[_Iterable[_Union[Accept, _Mapping]]] = ..., rejects: _Optional[_Iterable[_Union[Reject, _Mapping]]] = ..., logs: _Optional[_Iterable[_Union[LogChunk, _Mapping]]] = ..., results: _Optional[_Iterable[_Union[Result, _Mapping]]] = ..., stopping: _Optional[_Iterable[_Union[Stopping, _Mapping]]] = ..., cancels_received: _Optional[_Iterable[int]] = ..., started: _Optional[_Iterable[int]] = ..., leftovers: _Optional[_Iterable[_Union[Leftover, _Mapping]]] = ..., next_credential_sha256: _Optional[bytes] = ...) -> None: ...

class Leftover(_message.Message):
    __slots__ = ("lease", "job_id", "worker_id")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    lease: int
    job_id: str
    worker_id: str
    def __init__(self, lease: _Optional[int] = ..., job_id: _Optional[str] = ..., worker_id: _Optional[str] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("protocol_min", "protocol_max", "instance", "name", "version", "slots", "labels", "capabilities", "held", "addresses", "job_user", "about", "projects")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PROTOCOL_MIN_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MAX_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    JOB_USER_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    PROJECTS_FIELD_NUMBER: _ClassVar[int]
    protocol_min: int
    protocol_max: int
    instance: str
    name: str
    version: str
    slots: int
    labels: _containers.ScalarMap[str, str]
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    held: _containers.RepeatedCompositeFieldContainer[Held]
    addresses: _containers.RepeatedCompositeFieldContainer[Address]
    job_user: str
    about: About
    projects: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, protocol_min: _Optional[int] = ..., protocol_max: _Optional[int] = ..., instance: _Optional[str] = ..., name: _Optional[str] = ..., version: _Optional[str] = ..., slots: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., capabilities: _Optional[_Iterable[str]] = ..., held: _Optional[_Iterable[_Union[Held, _Mapping]]] = ..., addresses: _Optional[_Iterable[_Union[Address, _Mapping]]] = ..., job_user: _Optional[str] = ..., about: _Optional[_Union[About, _Mapping]] = ..., projects: _Optional[_Iterable[str]] = ...) -> None: ...

class About(_message.Message):
    __slots__ = ("host", "system", "python", "cpus", "memory_bytes", "log_limit_bytes", "on_worker_exit", "on_disconnect", "drain_timeout_s")
    HOST_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    CPUS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOG_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    ON_WORKER_EXIT_FIELD_NUMBER: _ClassVar[int]
    ON_DISCONNECT_FIELD_NUMBER: _ClassVar[int]
    DRAIN_TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    host: str
    system: str
    python: str
    cpus: int
    memory_bytes: int
    log_limit_bytes: int
    on_worker_exit: str
    on_disconnect: str
    drain_timeout_s: float
    def __init__(self, host: _Optional[str] = ..., system: _Optional[str] = ..., python: _Optional[str] = ..., cpus: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., log_limit_bytes: _Optional[int] = ..., on_worker_exit: _Optional[str] = ..., on_disconnect: _Optional[str] = ..., drain_timeout_s: _Optional[float] = ...) -> None: ...

class Address(_message.Message):
    __slots__ = ("server_id", "failed_s", "here")
    SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    FAILED_S_FIELD_NUMBER: _ClassVar[int]
    HERE_FIELD_NUMBER: _ClassVar[int]
    server_id: str
    failed_s: float
    here: bool
    def __init__(self, server_id: _Optional[str] = ..., failed_s: _Optional[float] = ..., here: _Optional[bool] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("held", "busy_slots", "draining")
    HELD_FIELD_NUMBER: _ClassVar[int]
    BUSY_SLOTS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    held: _containers.RepeatedCompositeFieldContainer[Held]
    busy_slots: int
    draining: bool
    def __init__(self, held: _Optional[_Iterable[_Union[Held, _Mapping]]] = ..., busy_slots: _Optional[int] = ..., draining: _Optional[bool] = ...) -> None: ...

class Held(_message.Message):
    __slots__ = ("lease", "phase", "job_id")
    class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        WAITING: _ClassVar[Held.Phase]
        RUNNING: _ClassVar[Held.Phase]
        ENDED: _ClassVar[Held.Phase]
    WAITING: Held.Phase
    RUNNING: Held.Phase
    ENDED: Held.Phase
    LEASE_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    lease: int
    phase: Held.Phase
    job_id: str
    def __init__(self, lease: _Optional[int] = ..., phase: _Optional[_Union[Held.Phase, str]] = ..., job_id: _Optional[str] = ...) -> None: ...

class Accept(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: int
    def __init__(self, lease: _Optional[int] = ...) -> None: ...

class Reject(_message.Message):
    __slots__ = ("lease", "reason")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    lease: int
    reason: str
    def __init__(self, lease: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class LogChunk(_message.Message):
    __slots__ = ("lease", "seq", "stream", "byte_offset", "first_line", "read_unix_us", "data", "late_job_id")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    BYTE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    FIRST_LINE_FIELD_NUMBER: _ClassVar[int]
    READ_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LATE_JOB_ID_FIELD_NUMBER: _ClassVar[int]
    lease: int
    seq: int
    stream: Stream
    byte_offset: int
    first_line: int
    read_unix_us: int
    data: bytes
    late_job_id: str
    def __init__(self, lease: _Optional[int] = ..., seq: _Optional[int] = ..., stream: _Optional[_Union[Stream, str]] = ..., byte_offset: _Optional[int] = ..., first_line: _Optional[int] = ..., read_unix_us: _Optional[int] = ..., data: _Optional[bytes] = ..., late_job_id: _Optional[str] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("lease", "outcome", "reason", "message", "exit_code", "signal", "run_us", "peak_memory_bytes", "cpu_us", "log_chunks", "log_bytes", "log_dropped_bytes", "leftover_processes", "started_unix_us", "late_job_id", "leftover_unknown")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    RUN_US_FIELD_NUMBER: _ClassVar[int]
    PEAK_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPU_US_FIELD_NUMBER: _ClassVar[int]
    LOG_CHUNKS_FIELD_NUMBER: _ClassVar[int]
    LOG_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOG_DROPPED_BYTES_FIELD_NUMBER: _ClassVar[int]
    LEFTOVER_PROCESSES_FIELD_NUMBER: _ClassVar[int]
    STARTED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    LATE_JOB_ID_FIELD_NUMBER: _ClassVar[int]
    LEFTOVER_UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    lease: int
    outcome: Outcome
    reason: str
    message: str
    exit_code: int
    signal: int
    run_us: int
    peak_memory_bytes: int
    cpu_us: int
    log_chunks: int
    log_bytes: int
    log_dropped_bytes: int
    leftover_processes: int
    started_unix_us: int
    late_job_id: str
    leftover_unknown: int
    def __init__(self, lease: _Optional[int] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., exit_code: _Optional[int] = ..., signal: _Optional[int] = ..., run_us: _Optional[int] = ..., peak_memory_bytes: _Optional[int] = ..., cpu_us: _Optional[int] = ..., log_chunks: _Optional[int] = ..., log_bytes: _Optional[int] = ..., log_dropped_bytes: _Optional[int] = ..., leftover_processes: _Optional[int] = ..., started_unix_us: _Optional[int] = ..., late_job_id: _Optional[str] = ..., leftover_unknown: _Optional[int] = ...) -> None: ...

class Stopping(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: int
    def __init__(self, lease: _Optional[int] = ...) -> None: ...

class ServerFrame(_message.Message):
    __slots__ = ("welcome", "run", "cancel", "log_acks", "result_acks", "refused", "drain", "undrain", "go_away", "recall", "cut_off", "reaches_database", "secrets", "beat_unix_us", "next_credential_stored", "abandoned")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    LOG_ACKS_FIELD_NUMBER: _ClassVar[int]
    RESULT_ACKS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    UNDRAIN_FIELD_NUMBER: _ClassVar[int]
    GO_AWAY_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    CUT_OFF_FIELD_NUMBER: _ClassVar[int]
    REACHES_DATABASE_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    BEAT_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    NEXT_CREDENTIAL_STORED_FIELD_NUMBER: _ClassVar[int]
    ABANDONED_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    run: _containers.RepeatedCompositeFieldContainer[RunJob]
    cancel: _containers.RepeatedCompositeFieldContainer[CancelJob]
    log_acks: _containers.RepeatedCompositeFieldContainer[LogAck]
    result_acks: _containers.RepeatedScalarFieldContainer[int]
    refused: _containers.RepeatedCompositeFieldContainer[Refusal]
    drain: bool
    undrain: bool
    go_away: GoAway
    recall: _containers.RepeatedScalarFieldContainer[int]
    cut_off: bool
    reaches_database: bool
    secrets: _containers.RepeatedCompositeFieldContainer[LeaseSecrets]
    beat_unix_us: int
    next_credential_stored: bytes
    abandoned: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., run: _Optional[_Iterable[_Union[RunJob, _Mapping]]] = ..., cancel: _Optional[_Iterable[_Union[CancelJob, _Mapping]]] = ..., log_acks: _Optional[_Iterable[_Union[LogAck, _Mapping]]] = ..., result_acks: _Optional[_Iterable[int]] = ..., refused: _Optional[_Iterable[_Union[Refusal, _Mapping]]] = ..., drain: _Optional[bool] = ..., undrain: _Optional[bool] = ..., go_away: _Optional[_Union[GoAway, _Mapping]] = ..., recall: _Optional[_Iterable[int]] = ..., cut_off: _Optional[bool] = ..., reaches_database: _Optional[bool] = ..., secrets: _Optional[_Iterable[_Union[LeaseSecrets, _Mapping]]] = ..., beat_unix_us: _Optional[int] = ..., next_credential_stored: _Optional[bytes] = ..., abandoned: _Optional[_Iterable[int]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("protocol", "session", "heartbeat_s", "lost_after_s", "clock_unix_us", "resume", "server_id", "cluster_id", "capabilities", "renew_credential_in_s")
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_S_FIELD_NUMBER: _ClassVar[int]
    LOST_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    CLOCK_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    RENEW_CREDENTIAL_IN_S_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    session: int
    heartbeat_s: float
    lost_after_s: float
    clock_unix_us: int
    resume: _containers.RepeatedCompositeFieldContainer[Resume]
    server_id: str
    cluster_id: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    renew_credential_in_s: float
    def __init__(self, protocol: _Optional[int] = ..., session: _Optional[int] = ..., heartbeat_s: _Optional[float] = ..., lost_after_s: _Optional[float] = ..., clock_unix_us: _Optional[int] = ..., resume: _Optional[_Iterable[_Union[Resume, _Mapping]]] = ..., server_id: _Optional[str] = ..., cluster_id: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ..., renew_credential_in_s: _Optional[float] = ...) -> None: ...

class Resume(_message.Message):
    __slots__ = ("lease", "holds", "log_seq", "accepted")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    HOLDS_FIELD_NUMBER: _ClassVar[int]
    LOG_SEQ_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    lease: int
    holds: bool
    log_seq: int
    accepted: bool
    def __init__(self, lease: _Optional[int] = ..., holds: _Optional[bool] = ..., log_seq: _Optional[int] = ..., accepted: _Optional[bool] = ...) -> None: ...

class RunJob(_message.Message):
    __slots__ = ("lease", "job_id", "attempt", "correlation_id", "actor", "spec", "secrets")
    class SecretsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LEASE_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    lease: int
    job_id: str
    attempt: int
    correlation_id: str
    actor: str
    spec: str
    secrets: _containers.ScalarMap[str, str]
    def __init__(self, lease: _Optional[int] = ..., job_id: _Optional[str] = ..., attempt: _Optional[int] = ..., correlation_id: _Optional[str] = ..., actor: _Optional[str] = ..., spec: _Optional[str] = ..., secrets: _Optional[_Mapping[str, str]] = ...) -> None: ...

class LeaseSecrets(_message.Message):
    __slots__ = ("lease", "values")
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LEASE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    lease: int
    values: _containers.ScalarMap[str, str]
    def __init__(self, lease: _Optional[int] = ..., values: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CancelJob(_message.Message):
    __slots__ = ("lease", "reason", "message")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    lease: int
    reason: str
    message: str
    def __init__(self, lease: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class LogAck(_message.Message):
    __slots__ = ("lease", "next_seq")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    NEXT_SEQ_FIELD_NUMBER: _ClassVar[int]
    lease: int
    next_seq: int
    def __init__(self, lease: _Optional[int] = ..., next_seq: _Optional[int] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("lease", "why")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    lease: int
    why: str
    def __init__(self, lease: _Optional[int] = ..., why: _Optional[str] = ...) -> None: ...

class GoAway(_message.Message):
    __slots__ = ("reconnect_after_s", "why")
    RECONNECT_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    reconnect_after_s: float
    why: str
    def __init__(self, reconnect_after_s: _Optional[float] = ..., why: _Optional[str] = ...) -> None: ...

class JobRef(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class CreateJobsRequest(_message.Message):
    __slots__ = ("specs", "all_or_nothing", "project")
    SPECS_FIELD_NUMBER: _ClassVar[int]
    ALL_OR_NOTHING_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    specs: _containers.RepeatedScalarFieldContainer[str]
    all_or_nothing: bool
    project: str
    def __init__(self, specs: _Optional[_Iterable[str]] = ..., all_or_nothing: _Optional[bool] = ..., project: _Optional[str] = ...) -> None: ...

class CreateJobsResponse(_message.Message):
    __slots__ = ("entries",)
    class Entry(_message.Message):
        __slots__ = ("job_id", "existed", "error", "error_code")
        JOB_ID_FIELD_NUMBER: _ClassVar[int]
        EXISTED_FIELD_NUMBER: _ClassVar[int]
        ERROR_FIELD_NUMBER: _ClassVar[int]
        ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
        job_id: str
        existed: bool
        error: str
        error_code: str
        def __init__(self, job_id: _Optional[str] = ..., existed: _Optional[bool] = ..., error: _Optional[str] = ..., error_code: _Optional[str] = ...) -> None: ...
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[CreateJobsResponse.Entry]
    def __init__(self, entries: _Optional[_Iterable[_Union[CreateJobsResponse.Entry, _Mapping]]] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("job_id", "name", "state", "reason", "message", "spec", "attempts", "priority", "correlation_id", "actor", "worker_id", "exit_code", "signal", "peak_memory_bytes", "cpu_s", "log_bytes", "logs_complete", "created_unix_us", "started_unix_us", "completed_unix_us", "cancel_requested", "waiting_for", "leftover_processes", "run_at_unix_us", "updated_unix_us", "retry_of", "cancel", "log_dropped_bytes", "leftover_unknown", "worker_name", "project")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    PEAK_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPU_S_FIELD_NUMBER: _ClassVar[int]
    LOG_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOGS_COMPLETE_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    STARTED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    CANCEL_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    LEFTOVER_PROCESSES_FIELD_NUMBER: _ClassVar[int]
    RUN_AT_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    UPDATED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    RETRY_OF_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    LOG_DROPPED_BYTES_FIELD_NUMBER: _ClassVar[int]
    LEFTOVER_UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    WORKER_NAME_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    name: str
    state: str
    reason: str
    message: str
    spec: str
    attempts: int
    priority: int
    correlation_id: str
    actor: str
    worker_id: str
    exit_code: int
    signal: int
    peak_memory_bytes: int
    cpu_s: float
    log_bytes: int
    logs_complete: bool
    created_unix_us: int
    started_unix_us: int
    completed_unix_us: int
    cancel_requested: bool
    waiting_for: str
    leftover_processes: int
    run_at_unix_us: int
    updated_unix_us: int
    retry_of: str
    cancel: str
    log_dropped_bytes: int
    leftover_unknown: int
    worker_name: str
    project: str
    def __init__(self, job_id: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., spec: _Optional[str] = ..., attempts: _Optional[int] = ..., priority: _Optional[int] = ..., correlation_id: _Optional[str] = ..., actor: _Optional[str] = ..., worker_id: _Optional[str] = ..., exit_code: _Optional[int] = ..., signal: _Optional[int] = ..., peak_memory_bytes: _Optional[int] = ..., cpu_s: _Optional[float] = ..., log_bytes: _Optional[int] = ..., logs_complete: _Optional[bool] = ..., created_unix_us: _Optional[int] = ..., started_unix_us: _Optional[int] = ..., completed_unix_us: _Optional[int] = ..., cancel_requested: _Optional[bool] = ..., waiting_for: _Optional[str] = ..., leftover_processes: _Optional[int] = ..., run_at_unix_us: _Optional[int] = ..., updated_unix_us: _Optional[int] = ..., retry_of: _Optional[str] = ..., cancel: _Optional[str] = ..., log_dropped_bytes: _Optional[int] = ..., leftover_unknown: _Optional[int] = ..., worker_name: _Optional[str] = ..., project: _Optional[str] = ...) -> None: ...

class ResolveJobsRequest(_message.Message):
    __slots__ = ("parts",)
    PARTS_FIELD_NUMBER: _ClassVar[int]
    parts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, parts: _Optional[_Iterable[str]] = ...) -> None: ...

class ResolveJobsResponse(_message.Message):
    __slots__ = ("meant",)
    class Meant(_message.Message):
        __slots__ = ("jobs", "more")
        JOBS_FIELD_NUMBER: _ClassVar[int]
        MORE_FIELD_NUMBER: _ClassVar[int]
        jobs: _containers.RepeatedCompositeFieldContainer[Job]
        more: bool
        def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...
    MEANT_FIELD_NUMBER: _ClassVar[int]
    meant: _containers.RepeatedCompositeFieldContainer[ResolveJobsResponse.Meant]
    def __init__(self, meant: _Optional[_Iterable[_Union[ResolveJobsResponse.Meant, _Mapping]]] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("state", "correlation_id", "limit", "before_job_id", "reason", "filter")
    STATE_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_JOB_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    state: str
    correlation_id: str
    limit: int
    before_job_id: str
    reason: str
    filter: JobFilter
    def __init__(self, state: _Optional[str] = ..., correlation_id: _Optional[str] = ..., limit: _Optional[int] = ..., before_job_id: _Optional[str] = ..., reason: _Optional[str] = ..., filter: _Optional[_Union[JobFilter, _Mapping]] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_before_job_id", "filtered", "searched", "by_project")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_BEFORE_JOB_ID_FIELD_NUMBER: _ClassVar[int]
    FILTERED_FIELD_NUMBER: _ClassVar[int]
    SEARCHED_FIELD_NUMBER: _ClassVar[int]
    BY_PROJECT_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    next_before_job_id: str
    filtered: bool
    searched: int
    by_project: bool
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ..., next_before_job_id: _Optional[str] = ..., filtered: _Optional[bool] = ..., searched: _Optional[int] = ..., by_project: _Optional[bool] = ...) -> None: ...

class JobFilter(_message.Message):
    __slots__ = ("states", "reasons", "workers", "name", "labels", "label_names", "since_unix_us", "until_unix_us", "actor", "correlation_id", "project")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STATES_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    LABEL_NAMES_FIELD_NUMBER: _ClassVar[int]
    SINCE_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    UNTIL_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedScalarFieldContainer[str]
    reasons: _containers.RepeatedScalarFieldContainer[str]
    workers: _containers.RepeatedScalarFieldContainer[str]
    name: str
    labels: _containers.ScalarMap[str, str]
    label_names: _containers.RepeatedScalarFieldContainer[str]
    since_unix_us: int
    until_unix_us: int
    actor: str
    correlation_id: str
    project: str
    def __init__(self, states: _Optional[_Iterable[str]] = ..., reasons: _Optional[_Iterable[str]] = ..., workers: _Optional[_Iterable[str]] = ..., name: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., label_names: _Optional[_Iterable[str]] = ..., since_unix_us: _Optional[int] = ..., until_unix_us: _Optional[int] = ..., actor: _Optional[str] = ..., correlation_id: _Optional[str] = ..., project: _Optional[str] = ...) -> None: ...

class FindJobsRequest(_message.Message):
    __slots__ = ("filter", "job_ids", "limit", "before_job_id")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_JOB_ID_FIELD_NUMBER: _ClassVar[int]
    filter: JobFilter
    job_ids: _containers.RepeatedScalarFieldContainer[str]
    limit: int
    before_job_id: str
    def __init__(self, filter: _Optional[_Union[JobFilter, _Mapping]] = ..., job_ids: _Optional[_Iterable[str]] = ..., limit: _Optional[int] = ..., before_job_id: _Optional[str] = ...) -> None: ...

class FindJobsResponse(_message.Message):
    __slots__ = ("entries", "next_before_job_id", "searched", "by_project")
    class Entry(_message.Message):
        __slots__ = ("job_id", "state")
        JOB_ID_FIELD_NUMBER: _ClassVar[int]
        STATE_FIELD_NUMBER: _ClassVar[int]
        job_id: str
        state: str
        def __init__(self, job_id: _Optional[str] = ..., state: _Optional[str] = ...) -> None: ...
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_BEFORE_JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SEARCHED_FIELD_NUMBER: _ClassVar[int]
    BY_PROJECT_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[FindJobsResponse.Entry]
    next_before_job_id: str
    searched: int
    by_project: bool
    def __init__(self, entries: _Optional[_Iterable[_Union[FindJobsResponse.Entry, _Mapping]]] = ..., next_before_job_id: _Optional[str] = ..., searched: _Optional[int] = ..., by_project: _Optional[bool] = ...) -> None: ...

class CancelJobsRequest(_message.Message):
    __slots__ = ("job_ids", "states")
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    job_ids: _containers.RepeatedScalarFieldContainer[str]
    states: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, job_ids: _Optional[_Iterable[str]] = ..., states: _Optional[_Iterable[str]] = ...) -> None: ...

class RetryJobsRequest(_message.Message):
    __slots__ = ("retries",)
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    retries: _containers.RepeatedCompositeFieldContainer[RetryJobRequest]
    def __init__(self, retries: _Optional[_Iterable[_Union[RetryJobRequest, _Mapping]]] = ...) -> None: ...

class ChangeJobsResponse(_message.Message):
    __slots__ = ("entries",)
    class Entry(_message.Message):
        __slots__ = ("job_id", "change", "refusal", "state", "message", "new_job_id")
        JOB_ID_FIELD_NUMBER: _ClassVar[int]
        CHANGE_FIELD_NUMBER: _ClassVar[int]
        REFUSAL_FIELD_NUMBER: _ClassVar[int]
        STATE_FIELD_NUMBER: _ClassVar[int]
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        NEW_JOB_ID_FIELD_NUMBER: _ClassVar[int]
        job_id: str
        change: str
        refusal: str
        state: str
        message: str
        new_job_id: str
        def __init__(self, job_id: _Optional[str] = ..., change: _Optional[str] = ..., refusal: _Optional[str] = ..., state: _Optional[str] = ..., message: _Optional[str] = ..., new_job_id: _Optional[str] = ...) -> None: ...
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[ChangeJobsResponse.Entry]
    def __init__(self, entries: _Optional[_Iterable[_Union[ChangeJobsResponse.Entry, _Mapping]]] = ...) -> None: ...

class RetryJobRequest(_message.Message):
    __slots__ = ("job_id", "new_job_id")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    NEW_JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    new_job_id: str
    def __init__(self, job_id: _Optional[str] = ..., new_job_id: _Optional[str] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class Timeline(_message.Message):
    __slots__ = ("events", "left_out")
    class Event(_message.Message):
        __slots__ = ("occurred_unix_us", "event_type", "aggregate_id", "actor", "correlation_id", "payload", "worker_id", "worker_name")
        OCCURRED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
        EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
        AGGREGATE_ID_FIELD_NUMBER: _ClassVar[int]
        ACTOR_FIELD_NUMBER: _ClassVar[int]
        CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
        PAYLOAD_FIELD_NUMBER: _ClassVar[int]
        WORKER_ID_FIELD_NUMBER: _ClassVar[int]
        WORKER_NAME_FIELD_NUMBER: _ClassVar[int]
        occurred_unix_us: int
        event_type: str
        aggregate_id: str
        actor: str
        correlation_id: str
        payload: str
        worker_id: str
        worker_name: str
        def __init__(self, occurred_unix_us: _Optional[int] = ..., event_type: _Optional[str] = ..., aggregate_id: _Optional[str] = ..., actor: _Optional[str] = ..., correlation_id: _Optional[str] = ..., payload: _Optional[str] = ..., worker_id: _Optional[str] = ..., worker_name: _Optional[str] = ...) -> None: ...
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Timeline.Event]
    left_out: int
    def __init__(self, events: _Optional[_Iterable[_Union[Timeline.Event, _Mapping]]] = ..., left_out: _Optional[int] = ...) -> None: ...

class Attempts(_message.Message):
    __slots__ = ("attempts", "more")
    class Attempt(_message.Message):
        __slots__ = ("attempt", "lease", "worker_id", "started_unix_us", "ended_unix_us", "outcome", "reason", "exit_code", "signal", "log_bytes", "worker_name")
        ATTEMPT_FIELD_NUMBER: _ClassVar[int]
        LEASE_FIELD_NUMBER: _ClassVar[int]
        WORKER_ID_FIELD_NUMBER: _ClassVar[int]
        STARTED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
        ENDED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
        OUTCOME_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
        SIGNAL_FIELD_NUMBER: _ClassVar[int]
        LOG_BYTES_FIELD_NUMBER: _ClassVar[int]
        WORKER_NAME_FIELD_NUMBER: _ClassVar[int]
        attempt: int
        lease: int
        worker_id: str
        started_unix_us: int
        ended_unix_us: int
        outcome: str
        reason: str
        exit_code: int
        signal: int
        log_bytes: int
        worker_name: str
        def __init__(self, attempt: _Optional[int] = ..., lease: _Optional[int] = ..., worker_id: _Optional[str] = ..., started_unix_us: _Optional[int] = ..., ended_unix_us: _Optional[int] = ..., outcome: _Optional[str] = ..., reason: _Optional[str] = ..., exit_code: _Optional[int] = ..., signal: _Optional[int] = ..., log_bytes: _Optional[int] = ..., worker_name: _Optional[str] = ...) -> None: ...
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    attempts: _containers.RepeatedCompositeFieldContainer[Attempts.Attempt]
    more: bool
    def __init__(self, attempts: _Optional[_Iterable[_Union[Attempts.Attempt, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class ReadLogsRequest(_message.Message):
    __slots__ = ("job_id", "follow", "cursor", "attempt", "tail_lines", "since_unix_us", "tell_waiting")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TAIL_LINES_FIELD_NUMBER: _ClassVar[int]
    SINCE_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    TELL_WAITING_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    follow: bool
    cursor: str
    attempt: int
    tail_lines: int
    since_unix_us: int
    tell_waiting: bool
    def __init__(self, job_id: _Optional[str] = ..., follow: _Optional[bool] = ..., cursor: _Optional[str] = ..., attempt: _Optional[int] = ..., tail_lines: _Optional[int] = ..., since_unix_us: _Optional[int] = ..., tell_waiting: _Optional[bool] = ...) -> None: ...

class ReadLogsResponse(_message.Message):
    __slots__ = ("chunks", "cursor", "job", "selected", "waiting_for")
    class Chunk(_message.Message):
        __slots__ = ("stream", "attempt", "byte_offset", "first_line", "read_unix_us", "data", "lease", "seq", "late")
        STREAM_FIELD_NUMBER: _ClassVar[int]
        ATTEMPT_FIELD_NUMBER: _ClassVar[int]
        BYTE_OFFSET_FIELD_NUMBER: _ClassVar[int]
        FIRST_LINE_FIELD_NUMBER: _ClassVar[int]
        READ_UNIX_US_FIELD_NUMBER: _ClassVar[int]
        DATA_FIELD_NUMBER: _ClassVar[int]
        LEASE_FIELD_NUMBER: _ClassVar[int]
        SEQ_FIELD_NUMBER: _ClassVar[int]
        LATE_FIELD_NUMBER: _ClassVar[int]
        stream: Stream
        attempt: int
        byte_offset: int
        first_line: int
        read_unix_us: int
        data: bytes
        lease: int
        seq: int
        late: bool
        def __init__(self, stream: _Optional[_Union[Stream, str]] = ..., attempt: _Optional[int] = ..., byte_offset: _Optional[int] = ..., first_line: _Optional[int] = ..., read_unix_us: _Optional[int] = ..., data: _Optional[bytes] = ..., lease: _Optional[int] = ..., seq: _Optional[int] = ..., late: _Optional[bool] = ...) -> None: ...
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    SELECTED_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    chunks: _containers.RepeatedCompositeFieldContainer[ReadLogsResponse.Chunk]
    cursor: str
    job: Job
    selected: bool
    waiting_for: str
    def __init__(self, chunks: _Optional[_Iterable[_Union[ReadLogsResponse.Chunk, _Mapping]]] = ..., cursor: _Optional[str] = ..., job: _Optional[_Union[Job, _Mapping]] = ..., selected: _Optional[bool] = ..., waiting_for: _Optional[str] = ...) -> None: ...

class WaitJobsRequest(_message.Message):
    __slots__ = ("job_ids", "any", "tell_waiting", "goes_on")
    JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    ANY_FIELD_NUMBER: _ClassVar[int]
    TELL_WAITING_FIELD_NUMBER: _ClassVar[int]
    GOES_ON_FIELD_NUMBER: _ClassVar[int]
    job_ids: _containers.RepeatedScalarFieldContainer[str]
    any: bool
    tell_waiting: bool
    goes_on: bool
    def __init__(self, job_ids: _Optional[_Iterable[str]] = ..., any: _Optional[bool] = ..., tell_waiting: _Optional[bool] = ..., goes_on: _Optional[bool] = ...) -> None: ...

class WaitJobsResponse(_message.Message):
    __slots__ = ("ended", "deleted_job_ids", "waiting_for", "waiting_job_id")
    ENDED_FIELD_NUMBER: _ClassVar[int]
    DELETED_JOB_IDS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    WAITING_JOB_ID_FIELD_NUMBER: _ClassVar[int]
    ended: _containers.RepeatedCompositeFieldContainer[Job]
    deleted_job_ids: _containers.RepeatedScalarFieldContainer[str]
    waiting_for: str
    waiting_job_id: str
    def __init__(self, ended: _Optional[_Iterable[_Union[Job, _Mapping]]] = ..., deleted_job_ids: _Optional[_Iterable[str]] = ..., waiting_for: _Optional[str] = ..., waiting_job_id: _Optional[str] = ...) -> None: ...

class Worker(_message.Message):
    __slots__ = ("worker_id", "name", "state", "labels", "slots", "busy_slots", "heartbeat_age_s", "version", "current_job_id", "registered_unix_us", "revoked", "job_user", "connected_unix_us", "last_heartbeat_unix_us", "draining", "drained_by", "drained_unix_us", "capabilities", "host", "system", "python", "cpus", "memory_bytes", "log_limit_bytes", "on_worker_exit", "on_disconnect", "drain_timeout_s", "server_id", "jobs", "jobs_in_all", "lacking", "current_job_name", "projects", "other_jobs", "credential_since_unix_us", "credential_age_s", "credential_renews_unix_us")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    BUSY_SLOTS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_AGE_S_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CURRENT_JOB_ID_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    JOB_USER_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    LAST_HEARTBEAT_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    DRAINED_BY_FIELD_NUMBER: _ClassVar[int]
    DRAINED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    CPUS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOG_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    ON_WORKER_EXIT_FIELD_NUMBER: _ClassVar[int]
    ON_DISCONNECT_FIELD_NUMBER: _ClassVar[int]
    DRAIN_TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    JOBS_IN_ALL_FIELD_NUMBER: _ClassVar[int]
    LACKING_FIELD_NUMBER: _ClassVar[int]
    CURRENT_JOB_NAME_FIELD_NUMBER: _ClassVar[int]
    PROJECTS_FIELD_NUMBER: _ClassVar[int]
    OTHER_JOBS_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_SINCE_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_AGE_S_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_RENEWS_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    name: str
    state: str
    labels: _containers.ScalarMap[str, str]
    slots: int
    busy_slots: int
    heartbeat_age_s: float
    version: str
    current_job_id: str
    registered_unix_us: int
    revoked: bool
    job_user: str
    connected_unix_us: int
    last_heartbeat_unix_us: int
    draining: bool
    drained_by: str
    drained_unix_us: int
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    host: str
    system: str
    python: str
    cpus: int
    memory_bytes: int
    log_limit_bytes: int
    on_worker_exit: str
    on_disconnect: str
    drain_timeout_s: float
    server_id: str
    jobs: _containers.RepeatedCompositeFieldContainer[WorkerJob]
    jobs_in_all: int
    lacking: _containers.RepeatedCompositeFieldContainer[Lacking]
    current_job_name: str
    projects: _containers.RepeatedScalarFieldContainer[str]
    other_jobs: int
    credential_since_unix_us: int
    credential_age_s: float
    credential_renews_unix_us: int
    def __init__(self, worker_id: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., slots: _Optional[int] = ..., busy_slots: _Optional[int] = ..., heartbeat_age_s: _Optional[float] = ..., version: _Optional[str] = ..., current_job_id: _Optional[str] = ..., registered_unix_us: _Optional[int] = ..., revoked: _Optional[bool] = ..., job_user: _Optional[str] = ..., connected_unix_us: _Optional[int] = ..., last_heartbeat_unix_us: _Optional[int] = ..., draining: _Optional[bool] = ..., drained_by: _Optional[str] = ..., drained_unix_us: _Optional[int] = ..., capabilities: _Optional[_Iterable[str]] = ..., host: _Optional[str] = ..., system: _Optional[str] = ..., python: _Optional[str] = ..., cpus: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., log_limit_bytes: _Optional[int] = ..., on_worker_exit: _Optional[str] = ..., on_disconnect: _Optional[str] = ..., drain_timeout_s: _Optional[float] = ..., server_id: _Optional[str] = ..., jobs: _Optional[_Iterable[_Union[WorkerJob, _Mapping]]] = ..., jobs_in_all: _Optional[int] = ..., lacking: _Optional[_Iterable[_Union[Lacking, _Mapping]]] = ..., current_job_name: _Optional[str] = ..., projects: _Optional[_Iterable[str]] = ..., other_jobs: _Optional[int] = ..., credential_since_unix_us: _Optional[int] = ..., credential_age_s: _Optional[float] = ..., credential_renews_unix_us: _Optional[int] = ...) -> None: ...

class WorkerJob(_message.Message):
    __slots__ = ("job_id", "name", "state", "since_unix_us")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SINCE_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    name: str
    state: str
    since_unix_us: int
    def __init__(self, job_id: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[str] = ..., since_unix_us: _Optional[int] = ...) -> None: ...

class Lacking(_message.Message):
    __slots__ = ("labels", "jobs")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LABELS_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.ScalarMap[str, str]
    jobs: int
    def __init__(self, labels: _Optional[_Mapping[str, str]] = ..., jobs: _Optional[int] = ...) -> None: ...

class WorkerRef(_message.Message):
    __slots__ = ("worker_id",)
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    def __init__(self, worker_id: _Optional[str] = ...) -> None: ...

class DrainWorkerRequest(_message.Message):
    __slots__ = ("worker_id", "undo")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    UNDO_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    undo: bool
    def __init__(self, worker_id: _Optional[str] = ..., undo: _Optional[bool] = ...) -> None: ...

class ListWorkersRequest(_message.Message):
    __slots__ = ("all", "before_worker_id", "states", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ALL_FIELD_NUMBER: _ClassVar[int]
    BEFORE_WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    all: bool
    before_worker_id: str
    states: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    def __init__(self, all: _Optional[bool] = ..., before_worker_id: _Optional[str] = ..., states: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ListWorkersResponse(_message.Message):
    __slots__ = ("workers", "next_before_worker_id")
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_BEFORE_WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[Worker]
    next_before_worker_id: str
    def __init__(self, workers: _Optional[_Iterable[_Union[Worker, _Mapping]]] = ..., next_before_worker_id: _Optional[str] = ...) -> None: ...

class CreateTokenRequest(_message.Message):
    __slots__ = ("ttl_s", "worker_id")
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    ttl_s: float
    worker_id: str
    def __init__(self, ttl_s: _Optional[float] = ..., worker_id: _Optional[str] = ...) -> None: ...

class Token(_message.Message):
    __slots__ = ("token", "token_id", "worker_id", "created_unix_us", "expires_unix_us", "consumed_unix_us", "consumed_by", "state")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_BY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    token: str
    token_id: str
    worker_id: str
    created_unix_us: int
    expires_unix_us: int
    consumed_unix_us: int
    consumed_by: str
    state: str
    def __init__(self, token: _Optional[str] = ..., token_id: _Optional[str] = ..., worker_id: _Optional[str] = ..., created_unix_us: _Optional[int] = ..., expires_unix_us: _Optional[int] = ..., consumed_unix_us: _Optional[int] = ..., consumed_by: _Optional[str] = ..., state: _Optional[str] = ...) -> None: ...

class TokenRef(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class ListTokensRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTokensResponse(_message.Message):
    __slots__ = ("tokens", "more")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[Token]
    more: bool
    def __init__(self, tokens: _Optional[_Iterable[_Union[Token, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Status(_message.Message):
    __slots__ = ("jobs", "workers", "queued", "queued_ready", "oldest_ready_s", "slots", "slots_busy", "tokens_usable", "servers", "version", "schema_version", "database", "root_workers", "root_worker_names", "waiting", "offered", "unservable", "ready_examined", "unservable_sets", "listening", "lost_after_s", "schema_revision", "oldest_servable_s")
    class JobsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class WorkersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class WaitingEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    JOBS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    QUEUED_READY_FIELD_NUMBER: _ClassVar[int]
    OLDEST_READY_S_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_BUSY_FIELD_NUMBER: _ClassVar[int]
    TOKENS_USABLE_FIELD_NUMBER: _ClassVar[int]
    SERVERS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    DATABASE_FIELD_NUMBER: _ClassVar[int]
    ROOT_WORKERS_FIELD_NUMBER: _ClassVar[int]
    ROOT_WORKER_NAMES_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    OFFERED_FIELD_NUMBER: _ClassVar[int]
    UNSERVABLE_FIELD_NUMBER: _ClassVar[int]
    READY_EXAMINED_FIELD_NUMBER: _ClassVar[int]
    UNSERVABLE_SETS_FIELD_NUMBER: _ClassVar[int]
    LISTENING_FIELD_NUMBER: _ClassVar[int]
    LOST_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_REVISION_FIELD_NUMBER: _ClassVar[int]
    OLDEST_SERVABLE_S_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.ScalarMap[str, int]
    workers: _containers.ScalarMap[str, int]
    queued: int
    queued_ready: int
    oldest_ready_s: float
    slots: int
    slots_busy: int
    tokens_usable: int
    servers: int
    version: str
    schema_version: int
    database: str
    root_workers: int
    root_worker_names: _containers.RepeatedScalarFieldContainer[str]
    waiting: _containers.ScalarMap[str, int]
    offered: int
    unservable: int
    ready_examined: int
    unservable_sets: _containers.RepeatedCompositeFieldContainer[Unservable]
    listening: _containers.RepeatedCompositeFieldContainer[Server]
    lost_after_s: float
    schema_revision: int
    oldest_servable_s: float
    def __init__(self, jobs: _Optional[_Mapping[str, int]] = ..., workers: _Optional[_Mapping[str, int]] = ..., queued: _Optional[int] = ..., queued_ready: _Optional[int] = ..., oldest_ready_s: _Optional[float] = ..., slots: _Optional[int] = ..., slots_busy: _Optional[int] = ..., tokens_usable: _Optional[int] = ..., servers: _Optional[int] = ..., version: _Optional[str] = ..., schema_version: _Optional[int] = ..., database: _Optional[str] = ..., root_workers: _Optional[int] = ..., root_worker_names: _Optional[_Iterable[str]] = ..., waiting: _Optional[_Mapping[str, int]] = ..., offered: _Optional[int] = ..., unservable: _Optional[int] = ..., ready_examined: _Optional[int] = ..., unservable_sets: _Optional[_Iterable[_Union[Unservable, _Mapping]]] = ..., listening: _Optional[_Iterable[_Union[Server, _Mapping]]] = ..., lost_after_s: _Optional[float] = ..., schema_revision: _Optional[int] = ..., oldest_servable_s: _Optional[float] = ...) -> None: ...

class Unservable(_message.Message):
    __slots__ = ("labels", "jobs", "oldest_s", "draining")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LABELS_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    OLDEST_S_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.ScalarMap[str, str]
    jobs: int
    oldest_s: float
    draining: bool
    def __init__(self, labels: _Optional[_Mapping[str, str]] = ..., jobs: _Optional[int] = ..., oldest_s: _Optional[float] = ..., draining: _Optional[bool] = ...) -> None: ...

class Server(_message.Message):
    __slots__ = ("server_id", "address", "host", "version", "started_unix_us", "lost_after_s", "workers", "certificate_expires_unix_us", "anonymous_role")
    SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STARTED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    LOST_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_EXPIRES_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    ANONYMOUS_ROLE_FIELD_NUMBER: _ClassVar[int]
    server_id: str
    address: str
    host: str
    version: str
    started_unix_us: int
    lost_after_s: float
    workers: int
    certificate_expires_unix_us: int
    anonymous_role: str
    def __init__(self, server_id: _Optional[str] = ..., address: _Optional[str] = ..., host: _Optional[str] = ..., version: _Optional[str] = ..., started_unix_us: _Optional[int] = ..., lost_after_s: _Optional[float] = ..., workers: _Optional[int] = ..., certificate_expires_unix_us: _Optional[int] = ..., anonymous_role: _Optional[str] = ...) -> None: ...

class WhoAmIRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Identity(_message.Message):
    __slots__ = ("actor", "role", "project", "on_behalf_of", "version")
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    ON_BEHALF_OF_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    actor: str
    role: str
    project: str
    on_behalf_of: str
    version: str
    def __init__(self, actor: _Optional[str] = ..., role: _Optional[str] = ..., project: _Optional[str] = ..., on_behalf_of: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class CreateApiKeyRequest(_message.Message):
    __slots__ = ("name", "role", "project", "expires_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    role: str
    project: str
    expires_s: float
    def __init__(self, name: _Optional[str] = ..., role: _Optional[str] = ..., project: _Optional[str] = ..., expires_s: _Optional[float] = ...) -> None: ...

class ApiKey(_message.Message):
    __slots__ = ("key", "key_id", "name", "role", "state", "project", "created_unix_us", "created_by", "expires_unix_us", "revoked_unix_us", "used_unix_us")
    KEY_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    REVOKED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    USED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    key: str
    key_id: str
    name: str
    role: str
    state: str
    project: str
    created_unix_us: int
    created_by: str
    expires_unix_us: int
    revoked_unix_us: int
    used_unix_us: int
    def __init__(self, key: _Optional[str] = ..., key_id: _Optional[str] = ..., name: _Optional[str] = ..., role: _Optional[str] = ..., state: _Optional[str] = ..., project: _Optional[str] = ..., created_unix_us: _Optional[int] = ..., created_by: _Optional[str] = ..., expires_unix_us: _Optional[int] = ..., revoked_unix_us: _Optional[int] = ..., used_unix_us: _Optional[int] = ...) -> None: ...

class ApiKeyRef(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class ListApiKeysRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListApiKeysResponse(_message.Message):
    __slots__ = ("keys", "more")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[ApiKey]
    more: bool
    def __init__(self, keys: _Optional[_Iterable[_Union[ApiKey, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class ListEventsRequest(_message.Message):
    __slots__ = ("kinds", "with_jobs", "actor", "about", "since_unix_us", "until_unix_us", "limit", "before_event_id")
    KINDS_FIELD_NUMBER: _ClassVar[int]
    WITH_JOBS_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    ABOUT_FIELD_NUMBER: _ClassVar[int]
    SINCE_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    UNTIL_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    BEFORE_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedScalarFieldContainer[str]
    with_jobs: bool
    actor: str
    about: str
    since_unix_us: int
    until_unix_us: int
    limit: int
    before_event_id: int
    def __init__(self, kinds: _Optional[_Iterable[str]] = ..., with_jobs: _Optional[bool] = ..., actor: _Optional[str] = ..., about: _Optional[str] = ..., since_unix_us: _Optional[int] = ..., until_unix_us: _Optional[int] = ..., limit: _Optional[int] = ..., before_event_id: _Optional[int] = ...) -> None: ...

class ListEventsResponse(_message.Message):
    __slots__ = ("events", "next_before_event_id", "searched")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_BEFORE_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SEARCHED_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Timeline.Event]
    next_before_event_id: int
    searched: int
    def __init__(self, events: _Optional[_Iterable[_Union[Timeline.Event, _Mapping]]] = ..., next_before_event_id: _Optional[int] = ..., searched: _Optional[int] = ...) -> None: ...

class Project(_message.Message):
    __slots__ = ("project", "keys", "roles")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    project: str
    keys: int
    roles: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, project: _Optional[str] = ..., keys: _Optional[int] = ..., roles: _Optional[_Iterable[str]] = ...) -> None: ...

class ListProjectsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListProjectsResponse(_message.Message):
    __slots__ = ("projects", "more", "cluster_id")
    PROJECTS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    projects: _containers.RepeatedCompositeFieldContainer[Project]
    more: bool
    cluster_id: str
    def __init__(self, projects: _Optional[_Iterable[_Union[Project, _Mapping]]] = ..., more: _Optional[bool] = ..., cluster_id: _Optional[str] = ...) -> None: ...

class GrantProjectRequest(_message.Message):
    __slots__ = ("role", "project", "undo")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    UNDO_FIELD_NUMBER: _ClassVar[int]
    role: str
    project: str
    undo: bool
    def __init__(self, role: _Optional[str] = ..., project: _Optional[str] = ..., undo: _Optional[bool] = ...) -> None: ...

class SetSecretRequest(_message.Message):
    __slots__ = ("name", "value", "allow_short", "project")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_SHORT_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    allow_short: bool
    project: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ..., allow_short: _Optional[bool] = ..., project: _Optional[str] = ...) -> None: ...

class Secret(_message.Message):
    __slots__ = ("name", "project", "version", "key_id", "created_unix_us", "created_by")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    name: str
    project: str
    version: int
    key_id: str
    created_unix_us: int
    created_by: str
    def __init__(self, name: _Optional[str] = ..., project: _Optional[str] = ..., version: _Optional[int] = ..., key_id: _Optional[str] = ..., created_unix_us: _Optional[int] = ..., created_by: _Optional[str] = ...) -> None: ...

class SecretRef(_message.Message):
    __slots__ = ("name", "project")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    name: str
    project: str
    def __init__(self, name: _Optional[str] = ..., project: _Optional[str] = ...) -> None: ...

class ListSecretsRequest(_message.Message):
    __slots__ = ("project",)
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    project: str
    def __init__(self, project: _Optional[str] = ...) -> None: ...

class ListSecretsResponse(_message.Message):
    __slots__ = ("secrets", "more")
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    secrets: _containers.RepeatedCompositeFieldContainer[Secret]
    more: bool
    def __init__(self, secrets: _Optional[_Iterable[_Union[Secret, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class RotateSecretsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RotateSecretsResponse(_message.Message):
    __slots__ = ("rotated", "key_id")
    ROTATED_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    rotated: int
    key_id: str
    def __init__(self, rotated: _Optional[int] = ..., key_id: _Optional[str] = ...) -> None: ...

class AddProviderRequest(_message.Message):
    __slots__ = ("name", "provider_type", "config", "max_workers", "priority")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_TYPE_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    MAX_WORKERS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    name: str
    provider_type: str
    config: str
    max_workers: int
    priority: int
    def __init__(self, name: _Optional[str] = ..., provider_type: _Optional[str] = ..., config: _Optional[str] = ..., max_workers: _Optional[int] = ..., priority: _Optional[int] = ...) -> None: ...

class ProviderRef(_message.Message):
    __slots__ = ("provider",)
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    provider: str
    def __init__(self, provider: _Optional[str] = ...) -> None: ...

class RemoveProviderRequest(_message.Message):
    __slots__ = ("provider", "force")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    provider: str
    force: bool
    def __init__(self, provider: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class ListProvidersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListProvidersResponse(_message.Message):
    __slots__ = ("providers", "more")
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    providers: _containers.RepeatedCompositeFieldContainer[Provider]
    more: bool
    def __init__(self, providers: _Optional[_Iterable[_Union[Provider, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class Provider(_message.Message):
    __slots__ = ("provider_id", "name", "provider_type", "status", "status_reason", "priority", "max_workers", "workers", "starting", "busy", "demand", "engine_id", "server_id", "failures", "failed_unix_us", "created_unix_us", "wrong", "engine", "image", "network", "slots", "labels", "server_address", "warm_slots", "idle_time_s", "boot_timeout_s", "ephemeral", "docker_socket", "job_user")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_TYPE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STATUS_REASON_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    MAX_WORKERS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    STARTING_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    DEMAND_FIELD_NUMBER: _ClassVar[int]
    ENGINE_ID_FIELD_NUMBER: _ClassVar[int]
    SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    FAILED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNIX_US_FIELD_NUMBER: _ClassVar[int]
    WRONG_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SERVER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    WARM_SLOTS_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIME_S_FIELD_NUMBER: _ClassVar[int]
    BOOT_TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    EPHEMERAL_FIELD_NUMBER: _ClassVar[int]
    DOCKER_SOCKET_FIELD_NUMBER: _ClassVar[int]
    JOB_USER_FIELD_NUMBER: _ClassVar[int]
    provider_id: str
    name: str
    provider_type: str
    status: str
    status_reason: str
    priority: int
    max_workers: int
    workers: int
    starting: int
    busy: int
    demand: int
    engine_id: str
    server_id: str
    failures: int
    failed_unix_us: int
    created_unix_us: int
    wrong: str
    engine: str
    image: str
    network: str
    slots: int
    labels: _containers.ScalarMap[str, str]
    server_address: str
    warm_slots: int
    idle_time_s: float
    boot_timeout_s: float
    ephemeral: bool
    docker_socket: bool
    job_user: str
    def __init__(self, provider_id: _Optional[str] = ..., name: _Optional[str] = ..., provider_type: _Optional[str] = ..., status: _Optional[str] = ..., status_reason: _Optional[str] = ..., priority: _Optional[int] = ..., max_workers: _Optional[int] = ..., workers: _Optional[int] = ..., starting: _Optional[int] = ..., busy: _Optional[int] = ..., demand: _Optional[int] = ..., engine_id: _Optional[str] = ..., server_id: _Optional[str] = ..., failures: _Optional[int] = ..., failed_unix_us: _Optional[int] = ..., created_unix_us: _Optional[int] = ..., wrong: _Optional[str] = ..., engine: _Optional[str] = ..., image: _Optional[str] = ..., network: _Optional[str] = ..., slots: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., server_address: _Optional[str] = ..., warm_slots: _Optional[int] = ..., idle_time_s: _Optional[float] = ..., boot_timeout_s: _Optional[float] = ..., ephemeral: _Optional[bool] = ..., docker_socket: _Optional[bool] = ..., job_user: _Optional[str] = ...) -> None: ...
