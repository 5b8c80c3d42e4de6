"""What a server that lies may send: refused in words, and nothing of it is used."""

import inspect
import uuid

import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol.bounds import LONGEST_SPEC
from hodei_worker import checks

ID = str(uuid.uuid4())
NUMBER = (1 << 64) - 1


def test_what_servers_send_passes() -> None:
    checks.check_welcome(
        pb.Welcome(
            protocol=1, heartbeat_s=10, lost_after_s=60, resume=[pb.Resume(lease=1, log_seq=0)]
        )
    )
    checks.check_welcome(pb.Welcome())
    checks.check_frame(
        pb.ServerFrame(
            run=[pb.RunJob(lease=1, attempt=1, job_id=ID, spec="{}")],
            go_away=pb.GoAway(reconnect_after_s=0.5),
        ),
        5,
        8,
    )


@pytest.mark.parametrize(
    "welcome",
    [
        pb.Welcome(heartbeat_s=float("nan")),
        pb.Welcome(heartbeat_s=-1),
        pb.Welcome(heartbeat_s=1e300),
        pb.Welcome(lost_after_s=float("inf")),
        pb.Welcome(lost_after_s=-5),
        pb.Welcome(resume=[pb.Resume(lease=NUMBER)]),
        pb.Welcome(protocol=2),
        pb.Welcome(server_id="x" * 900_000),
        pb.Welcome(cluster_id="-" * 900_000 + ID.replace("-", "")),
        pb.Welcome(capabilities=["word"] * 101),
        pb.Welcome(capabilities=["\x1b[31m"]),
        pb.Welcome(capabilities=["x" * 101]),
        pb.Welcome(resume=[pb.Resume(lease=1, log_seq=NUMBER)]),
    ],
)
def test_a_welcome_out_of_range_is_refused(welcome: pb.Welcome) -> None:
    with pytest.raises(checks.BadFrame, match="expected"):
        checks.check_welcome(welcome)


@pytest.mark.parametrize(
    "frame",
    [
        pb.ServerFrame(run=[pb.RunJob(lease=NUMBER, attempt=1, job_id=ID)]),
        pb.ServerFrame(run=[pb.RunJob(lease=0, attempt=1, job_id=ID)]),
        pb.ServerFrame(run=[pb.RunJob(lease=1, attempt=0, job_id=ID)]),
        pb.ServerFrame(run=[pb.RunJob(lease=1, attempt=1, job_id="../../etc")]),
        pb.ServerFrame(
            run=[pb.RunJob(lease=1, attempt=1, job_id=ID, spec="x" * (LONGEST_SPEC + 1))]
        ),
        pb.ServerFrame(go_away=pb.GoAway(reconnect_after_s=float("nan"))),
        pb.ServerFrame(go_away=pb.GoAway(reconnect_after_s=-1)),
    ],
)
def test_a_frame_out_of_range_is_refused(frame: pb.ServerFrame) -> None:
    with pytest.raises(checks.BadFrame, match="expected"):
        checks.check_frame(frame, 0, 8)


def test_offers_that_wait_are_bounded() -> None:
    """A server sends a worker with 8 slots 520 at most."""
    frame = pb.ServerFrame(run=[pb.RunJob(lease=1, attempt=1, job_id=ID, spec="{}")])
    checks.check_frame(frame, 1039, 8)
    with pytest.raises(checks.BadFrame, match="at most 1040 that wait for 8 slots"):
        checks.check_frame(frame, 1040, 8)


TEXT = ("x" * 900_000, "a\0b")


def offer(**other: object) -> pb.ServerFrame:
    fields: dict[str, object] = {"lease": 1, "attempt": 1, "job_id": ID, "spec": "{}"}
    return pb.ServerFrame(run=[pb.RunJob(**fields | other)])  # type: ignore[arg-type]


BEYOND = [
    *(offer(**{field: text}) for field in ("correlation_id", "actor") for text in TEXT),
    offer(job_id="-" * 900_000 + ID.replace("-", "")),
    offer(secrets={"x" * 201: "value"}),
    offer(secrets={f"s{n}": "value" for n in range(101)}),
    offer(secrets={"s": "x" * 600_000}),
    *(
        pb.ServerFrame(cancel=[pb.CancelJob(lease=1, reason="CANCELLED", message=text)])
        for text in TEXT
    ),
    *(
        pb.ServerFrame(cancel=[pb.CancelJob(lease=1, reason=word)])
        for word in ("", "SUCCEEDED", "WORKER_LOST", "REJECTED", "\x1b[31m", "x" * 900_000)
    ),
    pb.ServerFrame(cancel=[pb.CancelJob(lease=NUMBER, reason="CANCELLED")]),
    *(pb.ServerFrame(refused=[pb.Refusal(lease=1, why=text)]) for text in TEXT),
    pb.ServerFrame(refused=[pb.Refusal(lease=0)]),
    *(pb.ServerFrame(go_away=pb.GoAway(why=text)) for text in TEXT),
    pb.ServerFrame(log_acks=[pb.LogAck(lease=1, next_seq=NUMBER)]),
    pb.ServerFrame(log_acks=[pb.LogAck(lease=NUMBER)]),
    pb.ServerFrame(result_acks=[1, NUMBER]),
    pb.ServerFrame(recall=[1, NUMBER]),
    pb.ServerFrame(abandoned=[1, NUMBER]),
    pb.ServerFrame(next_credential_stored=b"x"),
    pb.ServerFrame(next_credential_stored=b"x" * 900_000),
]


@pytest.mark.parametrize("frame", BEYOND, ids=range(len(BEYOND)))
def test_what_is_refused_is_told_in_one_short_line(frame: pb.ServerFrame) -> None:
    with pytest.raises(checks.BadFrame, match="expected") as refusal:
        checks.check_frame(frame, 0, 8)
    words = str(refusal.value)
    assert len(words) < 400
    assert words.isprintable()


def test_each_field_that_a_server_sends_is_in_a_check() -> None:
    """But for those that nothing uses."""
    said = inspect.getsource(checks)
    frame = pb.ServerFrame.DESCRIPTOR
    parts = [field.message_type for field in frame.fields if field.message_type]
    resume = pb.Resume.DESCRIPTOR
    fields = {
        field.name
        for message in (frame, resume, *parts)
        for field in message.fields
        if field.type != field.TYPE_BOOL
    }
    unchecked = {name for name in fields if f".{name}" not in said}
    assert unchecked == {"session", "beat_unix_us", "welcome"}
