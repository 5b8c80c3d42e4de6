"""Ids of jobs that somebody's open transaction is creating, and that are asked for all the time."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import grpc
import psycopg
import pytest

from hodei.domain.ids import uuid7
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.hostile.conftest import watched
from tests.running import Hodei


def request(job_id: str) -> pb.CreateJobsRequest:
    return pb.CreateJobsRequest(specs=[json.dumps({"id": job_id, "command": "true"})])


@contextmanager
def locked(hodei: Hodei, ids: Sequence[str]) -> Iterator[None]:
    """Each id is held by a transaction of its own."""
    with ExitStack() as transactions:
        for job_id in ids:
            conn = transactions.enter_context(psycopg.connect(hodei.url))
            transactions.callback(conn.rollback)
            conn.execute("SELECT hodei_enqueue(%s::jsonb)", [request(job_id).specs[0]])
        yield


@contextmanager
def asked_for(hodei: Hodei, ids: Sequence[str]) -> Iterator[set[str]]:
    """Each id is asked for ten times a second, whatever the answers; yields their error codes."""
    over, answers = threading.Event(), set[str]()

    def ask(stub: hodei_pb2_grpc.JobServiceStub, job_id: str) -> None:
        calls = []
        while not over.wait(0.1):
            calls.append(stub.CreateJobs.future(request(job_id), timeout=30))
        answers.update(call.result().entries[0].error_code for call in calls)

    with grpc.insecure_channel(hodei.addresses[0]) as channel:
        stub = hodei_pb2_grpc.JobServiceStub(channel)
        threads = [threading.Thread(target=ask, args=(stub, job_id)) for job_id in ids]
        for thread in threads:
            thread.start()
        try:
            yield answers
        finally:
            over.set()
            for thread in threads:
                thread.join()


@pytest.mark.parametrize("many", [1, 20])
def test_an_innocent_create_does_not_wait_for_ids_that_are_locked(many: int, one: Hodei) -> None:
    ids = [str(uuid7()) for _ in range(many)]
    with locked(one, ids):
        with watched(one) as innocent, asked_for(one, ids) as answers:
            time.sleep(12)  # in which the server has looked at each of them again
        innocent.check()
        assert answers == {"UNAVAILABLE"}
    for job_id in ids:
        assert one.submit("--id", job_id, "--command", "true") == job_id


def test_who_is_in_one_batch_with_locked_ids_is_created(one: Hodei) -> None:
    """All in one call, so that they are stored together: as many ids are locked as not."""
    ids = [str(uuid7()) for _ in range(60)]
    with locked(one, ids[::2]), grpc.insecure_channel(one.addresses[0]) as channel:
        specs = [request(job_id).specs[0] for job_id in ids]
        stub = hodei_pb2_grpc.JobServiceStub(channel)
        begun = time.monotonic()
        entries = stub.CreateJobs(pb.CreateJobsRequest(specs=specs), timeout=30).entries
        assert time.monotonic() - begun < 1.0
        assert [entry.error_code for entry in entries] == ["UNAVAILABLE", ""] * 30
    assert {row[0] for row in one.sql("SELECT id::text FROM jobs")} == set(ids[1::2])
