"""What is done about a provider's workers, for each state in which they may be."""

import uuid
from typing import Any

import pytest

from hodei.domain.provider import Settings
from hodei.domain.worker import WorkerState
from hodei.providers.contract import Instance
from hodei.providers.plan import ACTOR, MOST_MADE, Known, Plan, View, backoff_s, plan

PROVIDER, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)
NOW = 1_000_000.0


def settings(max_workers: int = 3, **keys: Any) -> Settings:
    return Settings(PROVIDER, "Docker", "docker", max_workers, **keys)


def an_instance(
    number: int = 1, age_s: float = 1.0, provider: uuid.UUID = PROVIDER, *, ended: bool = False
) -> Instance:
    worker = uuid.uuid5(provider, str(number))
    name = f"hodei-worker-{number}"
    return Instance(name, provider, worker, number, NOW - age_s, ended)


def ready(**fields: Any) -> Known:
    return Known(**{"state": WorkerState.READY} | fields)


def planned(*pairs: tuple[Instance, Known | None], demand: int = 0, **view: Any) -> Plan:
    """The plan for instances, each with what is known of its worker."""
    fields: dict[str, Any] = {
        "settings": settings(),
        "now_s": NOW,
        "demand": demand,
        "instances": [instance for instance, _ in pairs],
        "workers": {one.worker_id: known for one, known in pairs if known},
        "providers": frozenset({PROVIDER}),
    }
    return plan(View(**fields | view))


def removed(found: Plan) -> list[tuple[int, bool]]:
    return [(one.instance.number, one.failed) for one in found.remove]


def test_a_burst_makes_as_many_as_there_may_be_and_no_demand_none() -> None:
    assert planned(demand=200).make == [1, 2, 3]
    assert planned().make == []
    assert planned(demand=2).make == [1, 2]
    assert planned(demand=200, settings=settings(0)).make == []


def test_at_most_so_many_are_made_at_once() -> None:
    assert len(planned(demand=500, settings=settings(500)).make) == MOST_MADE


def test_slots_and_workers_that_are_starting_count() -> None:
    starting = (an_instance(), None)
    assert planned(starting, demand=1).make == []
    assert planned(starting, demand=2).make == [2]
    four = settings(slots=4)
    assert planned(starting, demand=4, settings=four).make == []
    assert planned(starting, demand=5, settings=four).make == [2]
    half_busy = (an_instance(), ready(slots=4, busy=2))
    assert planned(half_busy, demand=2, settings=four).make == []


def test_a_number_is_given_again_only_when_its_instance_is_gone() -> None:
    ended = (an_instance(1, ended=True), ready())
    found = planned(ended, demand=3)
    assert removed(found) == [(1, False)]
    assert found.make == [2, 3]


def test_warm_slots_are_kept_free() -> None:
    warm = settings(5, warm_slots=2)
    assert planned(settings=warm).make == [1, 2]
    idle = [(an_instance(n), ready(idle_s=1e6)) for n in (1, 2, 3)]
    assert len(planned(*idle, settings=warm).drain) == 1


def test_idle_workers_are_drained_then_removed_and_busy_ones_never() -> None:
    young = (an_instance(1), ready(idle_s=299))
    old = (an_instance(2), ready(idle_s=300))
    busy = (an_instance(3), ready(idle_s=300, busy=1))
    found = planned(young, old, busy)
    assert found.drain == [old[0].worker_id]
    assert found.remove == []
    for fields, gone in [
        ({"drained_for_s": 2.9}, []),
        ({"drained_for_s": 3.0}, [(1, False)]),
        ({"drained_for_s": 3.0, "busy": 1}, []),
    ]:
        drained = ready(draining=True, drained_by=ACTOR, **fields)
        assert removed(planned((an_instance(), drained))) == gone


def test_drained_workers_are_taken_back_before_new_ones_are_made() -> None:
    ours = (an_instance(1), ready(draining=True, drained_by=ACTOR, drained_for_s=9.0))
    operators = (an_instance(2), ready(draining=True, drained_by="cli:ana", drained_for_s=1.0))
    found = planned(ours, operators, demand=2)
    assert found.undrain == [ours[0].worker_id]
    assert found.make == [3]
    assert found.remove == []


@pytest.mark.parametrize(
    ("instance", "known", "ends"),
    [
        (an_instance(age_s=119), None, []),
        (an_instance(age_s=120), None, [(1, True)]),
        (
            an_instance(age_s=120),
            ready(state=WorkerState.REGISTERING, has_heartbeat=False),
            [(1, True)],
        ),
        (an_instance(ended=True), None, [(1, True)]),
        (an_instance(ended=True), ready(), [(1, False)]),
        (an_instance(), ready(revoked=True), [(1, False)]),
        (an_instance(), ready(state=WorkerState.UNREACHABLE, idle_s=1e6), []),
        (an_instance(), ready(state=WorkerState.TERMINATED, idle_s=120), []),
        (an_instance(), ready(state=WorkerState.TERMINATED, idle_s=121), [(1, False)]),
    ],
)
def test_when_an_instance_is_removed_and_whether_that_is_a_failure(
    instance: Instance, known: Known | None, ends: list[tuple[int, bool]]
) -> None:
    assert removed(planned((instance, known))) == ends


def test_after_failures_one_is_tried_at_a_time_and_ever_more_rarely() -> None:
    assert [backoff_s(n) for n in (0, 1, 2, 3, 8, 1000)] == [0, 5, 10, 20, 600, 600]
    assert planned(demand=9, failures=2, failed_ago_s=9.9).make == []
    assert planned(demand=9, failures=2, failed_ago_s=10.0).make == [1]
    came_up = (an_instance(1, age_s=50), ready(came_up_s=NOW - 5))
    before = (an_instance(1, age_s=50), ready(came_up_s=NOW - 45))
    assert planned(came_up, failures=2, failed_ago_s=10.0).recovered
    assert not planned(before, failures=2, failed_ago_s=10.0).recovered
    assert planned(came_up, demand=9, failures=2, failed_ago_s=10.0).make == [2, 3]


@pytest.mark.parametrize(
    ("failed", "counts"),
    [
        (an_instance(2, 4, ended=True), True),
        (an_instance(2, 5, ended=True), False),
        (an_instance(2, 130), False),
        (an_instance(2, 130, OTHER), False),
    ],
)
def test_a_failure_counts_unless_a_worker_made_with_it_or_later_is_there(
    failed: Instance, counts: bool
) -> None:
    came_up = (an_instance(1, age_s=5), ready())
    (removal,) = planned(came_up, (failed, None)).remove
    assert (removal.failed, removal.counts) == (True, counts)
    (alone,) = planned((failed, None)).remove
    assert alone.counts == (failed.provider_id == PROVIDER)


def test_a_paused_provider_makes_none_and_lets_idle_ones_go() -> None:
    idle = (an_instance(), ready(idle_s=1e6))
    found = planned(idle, paused=True, settings=settings(warm_slots=3))
    assert (found.make, found.undrain, found.drain) == ([], [], [idle[0].worker_id])


def test_what_may_not_be_made_is_not_made() -> None:
    assert planned(demand=9, may_make=False).make == []


def test_workers_beyond_max_workers_are_drained() -> None:
    pairs = [(an_instance(n), ready(busy=1)) for n in (1, 2, 3)]
    assert planned(*pairs, settings=settings(2)).drain == [pairs[2][0].worker_id]


def test_workers_of_a_provider_that_is_gone_are_drained_and_removed_others_left() -> None:
    orphan = (an_instance(1, provider=OTHER), ready(busy=1))
    drained = (an_instance(2, 9, OTHER), ready(draining=True, drained_for_s=9.0))
    never_came = (an_instance(3, 500, OTHER), None)
    found = planned(orphan, drained, never_came, demand=1)
    assert found.drain == [orphan[0].worker_id]
    assert removed(found) == [(2, False), (3, True)]
    assert found.make == [1]
    both = frozenset({PROVIDER, OTHER})
    left = planned(orphan, drained, never_came, providers=both)
    assert (left.drain, left.remove) == ([], [])
