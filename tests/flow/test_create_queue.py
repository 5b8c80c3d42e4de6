"""Creates of one id: what each comes to, and for whom a locked id is a wait."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import psycopg

from hodei.domain.errors import Duplicate, Locked
from hodei.domain.ids import uuid7
from hodei.domain.project import DEFAULT
from hodei.fleet.presence import Presence
from hodei.flow.dispatch import JobDispatcher
from hodei.flow.enqueue import Created, Enqueuer
from hodei.store.database import Database

Create = Callable[[list[str]], Coroutine[Any, Any, list[Created]]]


def played(url: str, story: Callable[[Create], Awaitable[Any]]) -> Any:
    async def play() -> Any:
        async with Database(url) as database, asyncio.TaskGroup() as group:
            enqueuer = Enqueuer(database, JobDispatcher(database, Presence()))
            service = group.create_task(enqueuer.run())
            found = await story(lambda specs: enqueuer.create(specs, "cli:ana", DEFAULT))
            service.cancel()
        assert enqueuer._queue._under_way == {}
        return found

    return asyncio.run(play())


def spec(job_id: object, command: str = "true") -> str:
    return json.dumps({"id": str(job_id), "command": command})


def outcome(one: Created) -> str:
    return type(one.error).__name__ if one.error else "existed" if one.existed else "created"


def test_an_id_that_comes_again_meets_the_first_of_it(database_url: str) -> None:
    """In one call, and in calls that come at once."""
    one, two = uuid7(), uuid7()

    async def story(create: Create) -> list[str]:
        mine = await create([spec(one), spec(two), spec(one), spec(one, "false"), spec(one)])
        other = uuid7()
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(create([spec(uuid7()), spec(other)])) for _ in range(20)]
        told = sorted(outcome(call.result()[1]) for call in calls)
        assert {outcome(call.result()[0]) for call in calls} == {"created"}
        return [outcome(each) for each in mine] + told

    found = played(database_url, story)
    assert found[:5] == ["created", "created", "existed", Duplicate.__name__, "existed"]
    assert found[5:] == ["created"] + ["existed"] * 19


def test_many_creates_of_a_locked_id_hold_up_no_other(database_url: str) -> None:
    """Also when it comes a thousand times in one call, and when its callers leave."""
    locked = uuid7()

    async def story(create: Create) -> list[str]:
        async with asyncio.TaskGroup() as group:
            leaving = [group.create_task(create([spec(locked)])) for _ in range(15)]
            await asyncio.sleep(0)
            for call in leaving:
                call.cancel()
            calls = [group.create_task(create([spec(locked)])) for _ in range(15)]
            calls += [group.create_task(create([spec(locked)] * 1000))]
            begun = time.monotonic()
            for _ in range(10):
                (innocent,) = await create(['{"command": "true"}'])
                assert outcome(innocent) == "created"
            assert time.monotonic() - begun < 2.0
        return [outcome(each) for call in calls for each in call.result()]

    with psycopg.connect(database_url) as other:
        other.execute("SELECT hodei_enqueue(%s::jsonb)", [spec(locked)])
        found = played(database_url, story)
        other.rollback()
    assert set(found) == {Locked.__name__}
    assert len(found) == 1015
