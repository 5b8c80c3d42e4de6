"""Why a job waits, in words."""

import dataclasses
import uuid
from typing import Any

import pytest

from hodei.domain.job import JobState
from hodei.domain.worker import WorkerState
from hodei.flow.waiting import WaitKind, wait_of, waiting_for, with_place
from hodei.store.waits import Before, WaitingJob
from hodei.store.workers import Worker

ID = uuid.UUID("01890000-0000-7000-8000-000000000001")


def job(**more: Any) -> WaitingJob:
    nothing: dict[str, Any] = dict.fromkeys(WaitingJob._fields)
    return WaitingJob(**(nothing | {"state": JobState.PENDING, "queued": True} | more))


def worker(name: str, slots: int = 4, busy: int = 4, state: str = "BUSY", **labels: str) -> Worker:
    fields: dict[str, Any] = dict.fromkeys(Worker.__dataclass_fields__)
    return Worker(
        **(
            fields
            | {"id": ID, "name": name, "state": WorkerState(state)}
            | {"labels": labels, "slots": slots, "busy_slots": busy}
        )
    )


def with_labels(name: str, **labels: str) -> Worker:
    return worker(name, 4, 4, "BUSY", **labels)


ONLY = {"hodei/containers-only": "yes", "hodei/executor": "docker"}
LIMITED = [
    dataclasses.replace(worker("w1", zone="a"), projects=["web", "shop"]),
    dataclasses.replace(worker("w2", zone="b"), projects=["web"]),
]
BUSY = [worker("w1", zone="a"), worker("w2", zone="b")]


@pytest.mark.parametrize(
    ("one", "fleet", "cause", "words"),
    [
        (
            job(required={"gpu": "a100"}),
            [worker("w1"), worker("w3", zone="a")],
            WaitKind.LABELS,
            "a worker with gpu=a100: the nearest, w1, lacks it",
        ),
        (
            job(project="blue", required={"zone": "a"}),
            LIMITED,
            WaitKind.PROJECT,
            "a worker that takes jobs of project blue: none with its labels does",
        ),
        (
            job(project="blue"),
            LIMITED,
            WaitKind.PROJECT,
            "a worker that takes jobs of project blue: none does",
        ),
        (
            job(project="shop"),
            LIMITED,
            WaitKind.SLOT,
            "a free slot: all 4 slots of the workers that fit are busy",
        ),
        (
            job(required={"gpu": "a100", "zone": "a"}),
            BUSY,
            WaitKind.LABELS,
            "a worker with gpu=a100, zone=a: the nearest, w1, lacks gpu=a100",
        ),
        (
            job(required={f"l{n}": "x" * 300 for n in range(7)}),
            [worker("w1", zone="a")],
            WaitKind.LABELS,
            " and 2 more: the nearest, w1, lacks l0=",
        ),
        (
            job(),
            [with_labels("w1", **ONLY)],
            WaitKind.LABELS,
            "a worker that runs plain processes: the nearest, w1, runs only containers",
        ),
        (
            job(required={"zone": "a"}),
            [worker("w1"), with_labels("w2", zone="a", **ONLY)],
            WaitKind.LABELS,
            "a worker that runs plain processes with zone=a: the nearest, w2, runs only containers",
        ),
        (job(), BUSY, WaitKind.SLOT, "a free slot: all 8 slots are busy"),
        (
            job(required={"zone": "a"}),
            BUSY,
            WaitKind.SLOT,
            "a free slot: all 4 slots of the workers that fit are busy",
        ),
        (job(), [worker("w1", busy=3)], WaitKind.TURN, "its turn"),
        (job(), [], WaitKind.NO_WORKER, "a worker: none is connected"),
        (job(), [worker("w", state="UNREACHABLE")], WaitKind.NO_WORKER, "none is connected"),
        (job(), [worker("w", state="DRAINING")], WaitKind.DRAINING, "those that fit are draining"),
        (
            job(waiting="RUN_AT", ready_at=1_790_000_000_000_000),
            [],
            WaitKind.TIME,
            "its time, 2026-",
        ),
        (
            job(waiting="BACKOFF", ready_at=1_790_000_000_000_000),
            [],
            WaitKind.BACKOFF,
            "until 2026-",
        ),
        (
            job(accept_by=1_790_000_000_000_000, worker_id=ID),
            [],
            WaitKind.ACCEPT,
            f"worker {ID} to",
        ),
        (job(queued=False), BUSY, WaitKind.NO_QUEUE, "the next look of a server"),
        (job(required=["gpu"]), BUSY, WaitKind.LABELS, "labels that no worker can have"),
        (job(required={"n": 1}), [worker("w", n="1")], WaitKind.SLOT, "all 4 slots are busy"),
    ],
)
def test_the_words_of_each_cause(
    one: WaitingJob, fleet: list[Worker], cause: WaitKind, words: str
) -> None:
    wait = wait_of(one, fleet)
    assert wait
    assert wait.cause == cause
    assert words in wait.words
    assert waiting_for(one, fleet) == wait.words


def test_a_job_that_runs_waits_for_nothing() -> None:
    assert waiting_for(job(state=JobState.RUNNING), BUSY) == ""


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (Before(41, more=False), "a free slot: all 8 slots are busy, 41 jobs before it"),
        (Before(1, more=False), "a free slot: all 8 slots are busy, 1 job before it"),
        (Before(0, more=False), "a free slot: all 8 slots are busy, it is next"),
        (
            Before(1000, more=True),
            "a free slot: all 8 slots are busy, more than 1,000 jobs before it",
        ),
        (None, "a free slot: all 8 slots are busy"),
    ],
)
def test_the_place_in_the_queue(before: Before | None, words: str) -> None:
    wait = wait_of(job(), BUSY)
    assert wait
    assert with_place(wait, before) == words


def test_the_projects_of_workers_that_fit_are_told_unless_one_takes_any() -> None:
    wait = wait_of(job(project="web"), LIMITED)
    assert wait
    assert set(wait.projects) == {"web", "shop"}
    with_any = wait_of(job(project="web"), [*LIMITED, worker("any")])
    assert with_any
    assert with_any.projects == ()
