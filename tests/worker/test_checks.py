"""What a server that lies may send: refused in words, and nothing of it is used."""

import uuid

import pytest

from hodei.protocol import hodei_pb2 as pb
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
            run=[pb.RunJob(lease=1, attempt=1, job_id=ID, spec="x" * (checks.LONGEST_SPEC + 1))]
        ),
        pb.ServerFrame(go_away=pb.GoAway(reconnect_after_s=float("nan"))),
        pb.ServerFrame(go_away=pb.GoAway(reconnect_after_s=-1)),
    ],
)
def test_a_frame_out_of_range_is_refused(frame: pb.ServerFrame) -> None:
    with pytest.raises(checks.BadFrame, match="expected"):
        checks.check_frame(frame, 0)


def test_offers_that_wait_are_bounded() -> None:
    offer = pb.RunJob(lease=1, attempt=1, job_id=ID, spec="{}")
    with pytest.raises(checks.BadFrame, match="at most 20000"):
        checks.check_frame(pb.ServerFrame(run=[offer]), checks.MOST_OFFERS)
