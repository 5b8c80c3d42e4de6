"""The table of roles: each method of a server is in it, and the page says what it says."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

from hodei.access.roles import LADDER, LEAST, OF_KEYS, WITHOUT_KEY, Role, may
from hodei.cli import apikey
from hodei.config import Listener, Settings
from hodei.rpc.queues import WITH_OWN_QUEUE, SharedQueue
from hodei.server import Server
from tests.conftest import TREE


class Recorder:
    """Takes the place of gRPC's server, and writes down which methods are added to it."""

    def __init__(self) -> None:
        self.methods: set[str] = set()
        self.shared: list[SharedQueue] = []

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        self.methods |= {f"{service}/{name}" for name in handlers}

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        for handler in handlers:
            assert isinstance(handler, SharedQueue), f"these methods pass no gate: {handler}"
            self.shared.append(handler)


def registered() -> set[str]:
    recorder = Recorder()

    async def add() -> None:
        settings = Settings("postgres://x", "postgres://x", (Listener("127.0.0.1:0"),))
        Server(settings)._services_of_grpc()(recorder, True)  # type: ignore[arg-type]

    asyncio.run(add())
    (shared,) = recorder.shared
    apart = {path.removeprefix("/") for path in shared.handlers}
    assert not apart & recorder.methods
    return recorder.methods | apart


def test_each_method_that_a_server_registers_is_in_the_table() -> None:
    methods = registered()
    assert len(methods) > 30
    assert methods == set(LEAST)


def test_each_method_with_a_queue_of_its_own_exists() -> None:
    assert {method.rpartition("/")[2] for method in LEAST} >= WITH_OWN_QUEUE


def test_only_open_methods_read_no_key() -> None:
    assert {LEAST[method] for method in WITHOUT_KEY} == {Role.NONE}


def test_each_role_may_what_the_roles_below_it_may() -> None:
    for place, role in enumerate(LADDER):
        assert [least for least in LADDER if may(role, least)] == list(LADDER[: place + 1])
        assert not may(role, Role.REGISTRAR)
    assert [least for least in Role if may(Role.REGISTRAR, least)] == [Role.NONE, Role.REGISTRAR]


def test_the_command_line_offers_the_roles_that_a_key_may_have() -> None:
    """It has them as words: each of its starts would pay for the module."""
    assert tuple(map(str, OF_KEYS)) == apikey.ROLES


def rows() -> Iterator[tuple[str, str]]:
    page = (TREE / "docs/security.md").read_text()
    table = page.partition("| role | what it may do besides | methods |")[2].partition("\n\n")[0]
    for role, methods in re.findall(r"^\| (\w+) \| .*? \| (.*?) \|$", table, re.MULTILINE):
        yield from ((method, role) for method in re.findall(r"`(.+?)`", methods))


def test_the_page_has_the_table() -> None:
    short = {method.rpartition(".")[2]: str(least) for method, least in LEAST.items()}
    of_workers = {"WorkerService/Register", "WorkerService/Connect"}
    assert dict(rows()) == {m: role for m, role in short.items() if m not in of_workers}
    assert {short[method] for method in of_workers} == {"none"}
