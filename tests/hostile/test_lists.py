"""Whatever the rows hold, each answer stays under 4 MiB and says when it is cut."""

import json
from collections.abc import Iterator

import grpc
import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.hostile.conftest import server_process
from tests.running import Hodei

LATER = "2900-01-01T00:00:00Z"
WIDE = "語"  # three bytes in UTF-8


@pytest.fixture
def channel(one: Hodei) -> Iterator[grpc.Channel]:
    """As a client without options: it takes 4 MiB."""
    with grpc.insecure_channel(one.addresses[0]) as channel:
        yield channel


@pytest.fixture
def jobs(channel: grpc.Channel) -> hodei_pb2_grpc.JobServiceStub:
    return hodei_pb2_grpc.JobServiceStub(channel)


@pytest.fixture
def fleet(channel: grpc.Channel) -> hodei_pb2_grpc.FleetServiceStub:
    return hodei_pb2_grpc.FleetServiceStub(channel)


def create(jobs: hodei_pb2_grpc.JobServiceStub, count: int, **spec: object) -> list[str]:
    specs = [json.dumps({"command": "true", "run_at": LATER, **spec})] * count
    return [entry.job_id for entry in jobs.CreateJobs(pb.CreateJobsRequest(specs=specs)).entries]


def test_jobs_with_large_specs_are_listed(one: Hodei, jobs: hodei_pb2_grpc.JobServiceStub) -> None:
    made = [job_id for _ in range(30) for job_id in create(jobs, 1, stdin="x" * 240_000)]
    before = server_process(one).memory_info().rss
    shown = one.ok("job", "list", "--limit", "1000", "--format", "json").json
    assert {row["job_id"] for row in shown} == set(made)
    assert made[-1] in one.ok("job", "list").text
    answer = jobs.ListJobs(pb.ListJobsRequest(limit=1000))
    assert {job.spec for job in answer.jobs} == {"{}"}
    assert answer.ByteSize() < 30 * 1000
    assert server_process(one).memory_info().rss - before < 20 << 20
    assert json.loads(jobs.GetJob(pb.JobRef(job_id=made[0])).spec)["stdin"] == "x" * 240_000


def test_a_page_of_jobs_ends_by_its_bytes_and_says_so(
    one: Hodei, jobs: hodei_pb2_grpc.JobServiceStub
) -> None:
    made = create(jobs, 1000, name=WIDE * 200)
    one.sql("UPDATE jobs SET message = repeat(%s, 5000)", WIDE)
    request, found = pb.ListJobsRequest(limit=1000), []
    while True:
        answer = jobs.ListJobs(request)
        assert answer.ByteSize() < 300_000
        found += [job.job_id for job in answer.jobs]
        if not answer.next_before_job_id:
            break
        assert answer.next_before_job_id == found[-1]
        request.before_job_id = answer.next_before_job_id
    assert sorted(found) == sorted(made)
    shown = one.ok("job", "list", "--limit", "999", "--format", "json").json
    assert [row["job_id"] for row in shown] == found[:999]


def test_a_timeline_gives_its_last_events_and_counts_the_others(
    one: Hodei, jobs: hodei_pb2_grpc.JobServiceStub
) -> None:
    (job_id,) = create(jobs, 1)
    one.sql(
        """
        INSERT INTO domain_events
            (occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
        SELECT now() + n * interval '1 millisecond', 'Noted', %s, repeat('c', 9000),
               repeat('a', 9000),
               jsonb_build_object(
                   'n', n, 'text', repeat('x', CASE n WHEN 3000 THEN 5000000 ELSE 10000 END))
        FROM generate_series(1, 3000) n
        """,
        job_id,
    )
    answer = jobs.GetTimeline(pb.JobRef(job_id=job_id))
    assert answer.ByteSize() < 3_000_000
    assert len(answer.events) + answer.left_out == 3001
    assert json.loads(answer.events[-2].payload)["n"] == 2999
    assert json.loads(answer.events[-1].payload)["left_out_bytes"] > 5_000_000
    times = [event.occurred_unix_us for event in answer.events]
    assert times == sorted(times)
    ran = one.ok("job", "timeline", job_id)
    assert f"hodei: {answer.left_out} older events are not shown" in ran.err


def test_attempts_are_the_last_thousand(one: Hodei, jobs: hodei_pb2_grpc.JobServiceStub) -> None:
    (job_id,) = create(jobs, 1)
    for old, new, extra in (
        ("PENDING", "RUNNING", ""),
        ("RUNNING", "PENDING", ", 'reason', repeat('r', 57000)"),
    ):
        one.sql(
            f"""
            INSERT INTO domain_events
                (occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
            SELECT now() + n * interval '2 ms' + %s * interval '1 ms', 'JobStatusChanged', %s, 'c',
                   'a',
                   jsonb_build_object(
                       'old_state', %s::text, 'new_state', %s::text, 'lease', n,
                       'attempt', n{extra})
            FROM generate_series(1, 1200) n
            """,
            int(old == "RUNNING"),
            job_id,
            old,
            new,
        )
    answer = jobs.GetAttempts(pb.JobRef(job_id=job_id))
    assert answer.more
    assert [one.attempt for one in answer.attempts] == list(range(201, 1201))
    assert answer.ByteSize() < 1 << 20


def test_workers_with_many_labels_are_listed_page_by_page(
    one: Hodei, jobs: hodei_pb2_grpc.JobServiceStub, fleet: hodei_pb2_grpc.FleetServiceStub
) -> None:
    """As many as a door lets through, and more by hand."""
    one.sql(
        """
        INSERT INTO workers (id, name, state, slots, connected, labels)
        SELECT gen_random_uuid(), repeat('w', 9000), 'READY', 1, true,
               (SELECT jsonb_object_agg(
                    'label' || i, repeat('v', CASE n WHEN 1 THEN 100000 ELSE 1000 END))
                FROM generate_series(1, 30) i)
        FROM generate_series(1, 300) n
        """
    )
    answer = fleet.ListWorkers(pb.ListWorkersRequest())
    assert answer.ByteSize() < 300_000
    assert answer.next_before_worker_id == answer.workers[-1].worker_id
    assert len(one.ok("worker", "list", "--format", "json").json) == 300
    create(jobs, 200, labels={f"label{n}": "other" * 50 for n in range(30)})
    one.sql("UPDATE job_queue SET waiting = NULL, ready_at = NULL")
    listed = jobs.ListJobs(pb.ListJobsRequest(limit=1000))
    assert "and 25 more" in listed.jobs[0].waiting_for
    assert listed.ByteSize() < 300_000
    assert server_process(one).memory_info().rss < 256 << 20


def test_tokens_are_the_newest_thousand(one: Hodei, fleet: hodei_pb2_grpc.FleetServiceStub) -> None:
    one.sql(
        """
        INSERT INTO worker_bootstrap_tokens (created_by)
        SELECT repeat('x', 100000)
        FROM generate_series(1, 1100)
        """
    )
    answer = fleet.ListTokens(pb.ListTokensRequest())
    assert len(answer.tokens) == 1000
    assert answer.more
    assert answer.ByteSize() < 1 << 20


def test_refused_specs_are_answered_in_few_words(jobs: hodei_pb2_grpc.JobServiceStub) -> None:
    """A reason names the key at fault, and a key may be as long as a spec."""
    specs = [json.dumps({"command": "true", "env": {"K" * 3900: 1}})] * 1000
    answer = jobs.CreateJobs(pb.CreateJobsRequest(specs=specs))
    assert {entry.error_code for entry in answer.entries} == {"INVALID_ARGUMENT"}
    assert max(len(entry.error) for entry in answer.entries) <= 300


def test_a_chunk_that_was_made_larger_by_hand_can_be_read(
    one: Hodei, jobs: hodei_pb2_grpc.JobServiceStub
) -> None:
    (job_id,) = create(jobs, 1)
    one.sql(
        """
        INSERT INTO job_logs
            (job_id, lease, seq, attempt, stream, byte_offset, first_line, read_at, data)
        SELECT %s, 1, n, 1, 1, 0, 1, now(), convert_to(repeat('x', 6000000), 'UTF8')
        FROM generate_series(0, 3) n
        """,
        job_id,
    )
    messages = list(jobs.ReadLogs(pb.ReadLogsRequest(job_id=job_id)))
    assert [len(chunk.data) for message in messages for chunk in message.chunks] == [1 << 20] * 4


def test_words_of_an_error_fit_into_a_header(jobs: hodei_pb2_grpc.JobServiceStub) -> None:
    for cursor in (WIDE * 4000, "9" * 4000, f"{2**63}.0", "-5.0", "1.-2"):
        with pytest.raises(grpc.RpcError) as refused:
            list(jobs.ReadLogs(pb.ReadLogsRequest(job_id="0" * 32, cursor=cursor)))
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
