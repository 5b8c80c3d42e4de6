"""A worker that runs only containers gets no plain process, whatever its labels; each statement that
compares labels says so, as domain/worker.py does."""

import json
import uuid

import pytest

from hodei.domain.worker import can_take
from hodei.store import claims, queue_view, waits
from hodei.store.claims import ClaimRequest
from hodei.store.database import Connection as AsyncConnection
from tests.conftest import Connection
from tests.factories import on, pending_job, ready_worker

ONLY = {"hodei/containers-only": "yes", "hodei/executor": "docker", "zone": "a"}
BOTH = {"hodei/executor": "docker", "zone": "a"}


def test_a_claim(database_url: str) -> None:
    async def story(conn: AsyncConnection) -> tuple[list[uuid.UUID], list[uuid.UUID]]:
        worker = await ready_worker(conn, labels=ONLY)
        await pending_job(conn, command="x", priority=9)
        await pending_job(conn, command="x", labels={"zone": "a"})
        contained = await pending_job(conn, image="i", command="x")
        request = ClaimRequest([worker.id] * 3, ONLY)
        assert await claims.claimable(conn, request) == [contained]
        taken = await claims.claim(conn, request, 10.0)
        assert [offer.job_id for offer in taken.offers] == [contained]
        rest = await claims.claim(conn, ClaimRequest([worker.id] * 3, BOTH), 10.0)
        return [offer.job_id for offer in taken.offers], [offer.job_id for offer in rest.offers]

    taken, rest = on(database_url, story)
    assert (len(taken), len(rest)) == (1, 2)


def test_what_no_worker_can_take_and_what_is_before_a_job(
    db: Connection, database_url: str
) -> None:
    async def story(conn: AsyncConnection) -> uuid.UUID:
        await ready_worker(conn, labels=ONLY)
        await pending_job(conn, command="x")
        await pending_job(conn, image="i", command="x")
        return await pending_job(conn, image="i", command="x")

    last = on(database_url, story)
    found = on(database_url, queue_view.unservable)
    assert (found.looked_at, found.jobs, len(found.sets)) == (3, 1, 1)
    assert found.sets[0].labels == {}
    assert not found.sets[0].draining

    def before(labels: dict[str, str]) -> waits.Before | None:
        return on(database_url, lambda conn: waits.before(conn, last, [json.dumps(labels)]))

    assert before(ONLY) == waits.Before(1, more=False)
    assert before(BOTH) == waits.Before(2, more=False)


@pytest.mark.parametrize(
    ("offered", "required", "takes"),
    [
        (ONLY, {}, False),
        (ONLY, {"zone": "a"}, False),
        (ONLY, {"hodei/executor": "docker"}, True),
        (ONLY, {"hodei/executor": "docker", "zone": "b"}, False),
        (BOTH, {}, True),
        (BOTH, {"zone": "a", "hodei/executor": "docker"}, True),
        ({}, {"hodei/executor": "docker"}, False),
    ],
)
def test_the_same_in_python(offered: dict[str, str], required: dict[str, str], takes: bool) -> None:
    assert can_take(offered, required) is takes
