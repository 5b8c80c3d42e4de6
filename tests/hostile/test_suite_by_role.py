"""The attacks of clients again, with a key of each role and with one that is not valid: a role gets
what it may have or a refusal in words, nothing that it may not do is done, and the server is there for
another caller all the while.

The attacks are those of test_bounds, test_lists, test_many_jobs, test_rows (locks) and test_waits,
smaller; odd requests are in test_roles, odd command lines in test_odd_calls, frames in
test_worker_with_key."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from google.protobuf.message import Message

from hodei.access.roles import LEAST, OF_KEYS, Role, may
from hodei.domain import api_key
from hodei.domain.ids import uuid7
from hodei.protocol import hodei_pb2 as pb
from tests.hostile.conftest import Attacker, through_another_address, watched
from tests.hostile.keyed import LATER, Keyed
from tests.hostile.test_bounds import LIST_A_THOUSAND, fill_log

WRONG = "wrong"


@dataclass
class Scene:
    keyed: Keyed
    with_log: str
    with_events: str
    locked: str  # an id that an open transaction holds
    jobs: list[str]  # a thousand


@dataclass
class Case:
    """`number` calls of a method by the function `attack`; `ends`: how they may end for a role that
    may call it."""

    method: str
    attack: str
    number: int
    arguments: Callable[[Scene], list[object]]
    ends: set[str]

    def check(self, role: str, counts: dict[str, int]) -> None:
        print(role, self.attack, self.method, counts)
        codes = {word for word, count in counts.items() if word.isupper() and count}
        if role == WRONG:
            assert codes <= {"UNAUTHENTICATED", "RESOURCE_EXHAUSTED"}
        elif may(Role(role), self.least):
            assert codes <= self.ends
            assert "over" not in counts or counts["over"] < self.number
            return
        else:  # a call is counted before its key is looked at
            assert not codes or codes - {EXHAUSTED} == {"PERMISSION_DENIED"}
        assert counts.get("left") or counts.get("over", sum(counts.values())) == self.number
        assert all(word.count(" ") > 5 for word in counts if word.startswith("words: "))

    @property
    def least(self) -> Role:
        """Register is open to tokens; without one it needs a registrar's key."""
        return Role.REGISTRAR if self.method.endswith("/Register") else LEAST[self.method]


OK, EXHAUSTED, INVALID = "OK", "RESOURCE_EXHAUSTED", "INVALID_ARGUMENT"
NO_SECRET_KEY = "FAILED_PRECONDITION"


def asks(
    method: str, number: int, request: Callable[[Scene], Message], *ends: str, connections: int = 4
) -> Case:
    def arguments(scene: Scene) -> list[object]:
        raw = request(scene).SerializeToString().hex()
        return [number, connections, f"/hodei.v1.{method}", raw]

    return Case(f"hodei.v1.{method}", "ask", number, arguments, {OK, EXHAUSTED, *ends})


def makes(method: str, attack: str, number: int, *arguments: object, ends: str = OK) -> Case:
    at = [number, *arguments]
    return Case(f"hodei.v1.{method}", attack, number, lambda _: at, {OK, EXHAUSTED, ends})


def follows(scene: Scene) -> list[object]:
    return [scene.with_log, 410]


def waits(scene: Scene) -> list[object]:
    return [25, ",".join(scene.jobs)]


def leaves(method: str, request: Callable[[Scene], Message]) -> Case:
    def arguments(scene: Scene) -> list[object]:
        return [100, 4, f"/hodei.v1.{method}", request(scene).SerializeToString().hex()]

    return Case(f"hodei.v1.{method}", "leave", 100, arguments, set())


def job(scene: Scene) -> Message:
    return pb.JobRef(job_id=scene.with_events)


def creates_locked(scene: Scene) -> Message:
    return pb.CreateJobsRequest(specs=[json.dumps({"id": scene.locked, "command": "true"})])


def creates(_: Scene) -> Message:
    return pb.CreateJobsRequest(specs=[json.dumps({"command": "true", "run_at": LATER})] * 20)


def retries(scene: Scene) -> Message:
    return pb.RetryJobsRequest(
        retries=[pb.RetryJobRequest(job_id=job_id) for job_id in scene.jobs[:500]]
    )


def registers(_: Scene) -> Message:
    return pb.RegisterRequest(worker_id=str(uuid7()), secret_sha256=b"x" * 32, name="evil")


def worker(scene: Scene) -> Message:
    return pb.DrainWorkerRequest(worker_id=scene.keyed.ids[5])


REFLECTION = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

CASES = [
    Case("hodei.v1.JobService/ReadLogs", "follow_and_read_nothing", 410, follows, {OK, EXHAUSTED}),
    Case("hodei.v1.JobService/WaitJobs", "wait_for_jobs", 25, waits, {OK, EXHAUSTED}),
    Case(REFLECTION, "open_and_say_nothing", 200, lambda _: [200, f"/{REFLECTION}"], {EXHAUSTED}),
    makes("JobService/CreateJobs", "create_large", 30, 10),
    makes("FleetService/GetStatus", "get_status", 1000, 50),
    makes("JobService/GetJob", "large_questions", 60, 10, ends=INVALID),
    makes("JobService/ListJobs", "take_nothing", 200, 4, "/hodei.v1.JobService/ListJobs", LIST_A_THOUSAND),
    makes("JobService/CreateJobs", "stall", 40, 4, "/hodei.v1.JobService/CreateJobs"),
    makes("JobService/GetJob", "stall", 40, 4, "/hodei.v1.JobService/GetJob"),
    leaves("JobService/CreateJobs", creates),
    leaves("JobService/CancelJobs", lambda scene: pb.CancelJobsRequest(job_ids=scene.jobs)),
    leaves("JobService/ReadLogs", lambda scene: pb.ReadLogsRequest(job_id=scene.with_log)),
    asks("JobService/CreateJobs", 30, creates_locked),
    asks("JobService/ListJobs", 50, lambda _: pb.ListJobsRequest(limit=1000)),
    asks("JobService/FindJobs", 50, lambda _: pb.FindJobsRequest(filter=pb.JobFilter(name="n*g"))),
    asks("JobService/GetTimeline", 20, job),
    asks("JobService/GetAttempts", 20, job),
    asks("JobService/CancelJobs", 10, lambda scene: pb.CancelJobsRequest(job_ids=scene.jobs)),
    asks("JobService/RetryJobs", 4, retries),
    asks("FleetService/ListWorkers", 20, lambda _: pb.ListWorkersRequest()),
    asks("FleetService/DrainWorker", 50, worker),
    asks("FleetService/CreateToken", 100, lambda _: pb.CreateTokenRequest()),
    asks("FleetService/ListTokens", 20, lambda _: pb.ListTokensRequest()),
    asks("AccessService/ListApiKeys", 50, lambda _: pb.ListApiKeysRequest()),
    asks("AccessService/ListEvents", 20, lambda _: pb.ListEventsRequest()),
    asks("WorkerService/Register", 200, registers),
]  # fmt: skip


@pytest.fixture
def scene(keyed: Keyed) -> Iterator[Scene]:
    """Rows as large as test_lists has them."""
    one = keyed.hodei
    enqueue = "SELECT hodei_enqueue(%s::jsonb)::text FROM generate_series(1, 1000)"
    spec = json.dumps({"command": "true", "run_at": LATER, "name": "many"})
    jobs = [job_id for (job_id,) in one.sql(enqueue, spec)]
    one.sql("UPDATE jobs SET message = repeat('m', 15000)")
    one.sql(
        """
        INSERT INTO domain_events
            (occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
        SELECT now() + n * interval '1 ms', 'JobStatusChanged', %s, 'c', 'a',
               jsonb_build_object('old_state', 'PENDING', 'new_state', 'RUNNING', 'lease', n,
                                  'attempt', n, 'text', repeat('x', 10000))
        FROM generate_series(1, 2000) n
        """,
        jobs[0],
    )
    one.sql(
        """
        INSERT INTO workers (id, name, state, slots, connected, labels)
        SELECT gen_random_uuid(), repeat('w', 9000), 'READY', 1, true,
               (SELECT jsonb_object_agg('label' || i, repeat('v', 1000))
                FROM generate_series(1, 30) i)
        FROM generate_series(1, 300) n
        """
    )
    fill_log(one, jobs[1], megabytes=8)
    locked = str(uuid7())
    with psycopg.connect(one.url) as other:
        held = json.dumps({"id": locked, "command": "true"})
        other.execute("SELECT hodei_enqueue(%s::jsonb)", [held])
        yield Scene(keyed, jobs[1], jobs[0], locked, jobs)
        other.rollback()


@pytest.mark.parametrize("role", [*OF_KEYS, WRONG])
def test_attacks_of_clients_with_a_key_of_each_role(
    scene: Scene, attacker: Attacker, role: str
) -> None:
    keyed = scene.keyed
    key = api_key.make("admin").text if role == WRONG else keyed.keys[Role(role)]
    before = keyed.rows()
    with through_another_address(keyed.address) as other:
        for case in CASES:
            arguments: list[Any] = case.arguments(scene)
            with watched(keyed.hodei, other, key=keyed.innocent) as seen:
                counts = attacker(case.attack, keyed.address, *arguments, key=key)
            case.check(role, counts)
            print(seen.rss >> 20, max(seen.creates_s))
            seen.check()
    keyed.check_unchanged(Role.NONE if role == WRONG else Role(role), before)
