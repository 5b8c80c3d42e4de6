"""The headers between agent and supervisor: what both send is what wire.py writes down."""

import asyncio
import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei.tls.address import Address
from hodei_worker.config import Settings
from hodei_worker.link import Link, SupervisorDied
from hodei_worker.outbox import Outbox
from hodei_worker.slots import Slots
from hodei_worker.supervisor import wire
from hodei_worker.supervisor.settings import SupervisorSettings

NEVER_IN_THIS_RUN = {"warning", "capabilities", "leftovers"}
"""Only a folder that cannot be removed makes a warning, and only an engine the other two."""


def headers_by_op(union: Any) -> dict[str, Any]:
    return {get_args(kind.__annotations__["op"])[0]: kind for kind in get_args(union)}


def differences(headers: list[dict[str, Any]], kinds: dict[str, Any]) -> set[str]:
    found = set()
    for header in headers:
        kind = kinds[header["op"]]
        found |= {
            f"{header['op']}: {key} is not written down" for key in header.keys() - every(kind)
        }
        found |= {
            f"{header['op']}: {key} is missing" for key in kind.__required_keys__ - header.keys()
        }
    return found


def every(kind: Any) -> set[str]:
    return set(kind.__required_keys__ | kind.__optional_keys__)


def offer(
    lease: int, command: str, secrets: dict[str, str] | None = None, **more: Any
) -> pb.RunJob:
    job_id = f"00000000-0000-0000-0000-{lease:012}"
    spec = json.dumps({"command": command, **more})
    return pb.RunJob(lease=lease, job_id=job_id, attempt=1, spec=spec, secrets=secrets)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def run_jobs(folder: Path, received: list[dict[str, Any]]) -> None:
    """One job that ends, one that is cancelled, one that is refused, and one that is adopted."""
    settings = Settings((Address("127.0.0.1:1"),), None, 4, {}, folder, "w")
    link = await Link.open(settings)
    slots = Slots(4, link, Outbox())

    def got(op: str, lease: int) -> bool:
        return any(h["op"] == op and h.get("lease") == lease for h in received)

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(link.run(slots.on_supervisor_frame))
        slots.on_offer(offer(1, "echo hello", start_timeout=600))
        env = {"env": {"TOKEN": {"secret": "token"}}}
        slots.on_offer(offer(2, "sleep 600", {"token": "a-long-value"}, **env))
        slots.on_offer(offer(3, "sleep 600"))
        slots.on_offer(offer(4, "sleep 600"))
        await until(lambda: got("ended", 1))
        slots.on_log_ack(1, 1)
        slots.send_late_again()
        slots.on_resume(pb.Resume(lease=1, holds=True, accepted=True, log_seq=1))
        slots.on_result_ack(1)
        slots.on_secrets(2, {"token": "a-long-value"})
        slots.on_cancel(2, "CANCELLED", "cancelled by a test")
        slots.on_refusal(3, "refused by a test")
        await until(lambda: got("ended", 2) and got("ended", 3))
        reading.cancel()
    link.close()
    again = await Link.open(settings)
    assert again.capabilities == ["process", "secrets"]
    assert {job["lease"] for job in again.jobs} == {2, 3, 4}
    slots.adopt_after_supervisor_death(again, [])  # as if all had died: what it had is purged
    assert again._current
    again._current.connection.send("exit")
    with pytest.raises(SupervisorDied):
        await again.run(slots.on_supervisor_frame)
    again.close()


def test_each_header_has_the_keys_that_are_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    received: list[dict[str, Any]] = []

    def dumps(header: dict[str, Any]) -> bytes:
        sent.append(header)
        return orjson.dumps(header)

    def loads(text: bytes) -> Any:
        received.append(orjson.loads(text))
        return received[-1]

    monkeypatch.setattr(wire, "orjson", types.SimpleNamespace(dumps=dumps, loads=loads))
    asyncio.run(run_jobs(tmp_path, received))
    to_supervisor, to_agent = headers_by_op(wire.AgentHeader), headers_by_op(wire.SupervisorHeader)
    assert differences(sent, to_supervisor) | differences(received, to_agent) == set()
    assert {header["op"] for header in sent} == set(to_supervisor) - {"hand_over"}
    assert {header["op"] for header in received} == set(to_agent) - NEVER_IN_THIS_RUN
    hellos = [header for header in received if header["op"] == "hello"]
    assert set(hellos[0]["settings"]) == set(SupervisorSettings.__annotations__)
    assert [set(job) for job in hellos[1]["jobs"]] == 3 * [set(wire.KeptJob.__annotations__)]


def test_a_key_that_is_not_written_down_is_found() -> None:
    kinds = headers_by_op(wire.AgentHeader)
    assert differences([{"op": "forget", "lease": 1, "more": 2}], kinds) == {
        "forget: more is not written down"
    }
    assert differences([{"op": "forget"}], kinds) == {"forget: lease is missing"}
    assert (
        differences([dict.fromkeys(kinds["stop"].__annotations__) | {"op": "stop"}], kinds) == set()
    )
