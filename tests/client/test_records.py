"""What the client gives and takes follows the shapes and the keys of a spec, and is typed."""

import dataclasses
import inspect
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import hodei.client
from hodei.client import AsyncHodei, Hodei, Job, Spec
from hodei.client.channels import ADDRESS
from hodei.client.reading import record, when
from hodei.client.specs import LONGEST_SPEC, Ready
from hodei.domain.spec_keys import KNOWN
from hodei.flow.enqueue import LONGEST_TEXT
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol.pieces import PIECE_BYTES, pieces
from hodei.shapes.records import source
from tests.conftest import TREE


def test_the_records_are_those_of_the_shapes() -> None:
    assert (TREE / "hodei/client/records.py").read_text() == source(), "run tools/json-docs"


def test_a_record_has_types_of_python() -> None:
    message = pb.Job(
        job_id="x",
        state="FAILED",
        spec='{"command": "true"}',
        exit_code=0,
        created_unix_us=1_500_000,
    )
    job = record(Job, message)
    assert job.spec == {"command": "true"}
    assert job.created_at == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert (job.exit_code, job.signal, job.started_at, job.reason) == (0, None, None, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        job.state = "SUCCEEDED"  # type: ignore[misc]


def test_a_time_beyond_the_calendar_is_its_end() -> None:
    assert when((1 << 63) - 1) == datetime.max.replace(tzinfo=UTC)
    assert when(-(1 << 63)) == datetime.min.replace(tzinfo=UTC)


def test_a_spec_has_each_key_that_there_is() -> None:
    assert set(Spec.__annotations__) == set(KNOWN)


def test_pieces_fit_a_message() -> None:
    small, large = Ready("id", "x"), Ready("id", "é" * (PIECE_BYTES // 4))
    assert [len(piece) for piece in pieces([small] * 2001)] == [1000, 1000, 1]
    assert [len(piece) for piece in pieces([large] * 3)] == [1, 1, 1], "bytes count, not characters"
    assert list(pieces([])) == []
    assert LONGEST_SPEC == LONGEST_TEXT


def test_both_clients_have_the_same_verbs() -> None:
    def verbs(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(value).parameters)
            for name, value in vars(kind).items()
            if inspect.isfunction(value) and not name.startswith("_")
        }

    assert verbs(Hodei) == verbs(AsyncHodei)
    assert {"submit", "submit_many", "wait", "get", "list", "logs", "cancel", "retry"} <= set(
        verbs(Hodei)
    )


def test_the_client_looks_where_the_command_line_does() -> None:
    from hodei.cli.main import cli

    (server,) = [option for option in cli.params if option.name == "server"]
    assert server.default == ADDRESS
    assert server.envvar == ["HODEI_SERVER_ADDRESS", "HODEI_SERVER"]


def test_an_import_brings_nothing_heavy() -> None:
    """Neither gRPC nor a driver nor asyncio: they are imported when they are used."""
    code = (
        "import sys, hodei.client; "
        "print({'grpc', 'google', 'psycopg', 'asyncio', 'click', 'loguru'} & {*sys.modules})"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


TYPED = """
from hodei.client import AsyncHodei, Hodei, enqueue

def use(client: Hodei) -> None:
    reveal_type(client.submit(command="true", timeout=10))
    reveal_type(client.wait("x").created_at)
    reveal_type(client.list(limit=1)[0].state)
    reveal_type(next(client.logs("x")).data)
    client.submit(comand="true")
    client.submit(command="true", retries="two")

async def use_too(client: AsyncHodei) -> None:
    reveal_type(await client.submit_many([{"command": "true"}]))
    reveal_type([chunk.text async for chunk in client.logs("x", follow=True)])
"""


@pytest.mark.slow
def test_a_type_checker_knows_the_client(tmp_path: Path) -> None:
    """What is right, and what is wrong with a call (tests/test_programs.py has py.typed)."""
    program = tmp_path / "program.py"
    program.write_text(TYPED)
    config = ["--strict", "--config-file=", "--follow-imports=silent"]
    config.append(f"--cache-dir={TREE / '.mypy_cache/client'}")
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", *config, program],
        cwd=tmp_path,
        env={"MYPYPATH": str(TREE), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    revealed = [
        line.partition("Revealed type is ")[2].strip('"') for line in ran.stdout.splitlines()
    ]
    assert [words for words in revealed if words] == [
        "str",
        "datetime.datetime | None",
        "str",
        "bytes",
        "list[str]",
        "list[str]",
    ], ran.stdout
    lines = ran.stdout.splitlines()
    errors = [line for line in lines if line.startswith("program.py:") and ": error: " in line]
    assert len(errors) == 2
    assert 'Unexpected keyword argument "comand"' in errors[0]
    assert 'Argument "retries" to "submit" of "Hodei" has incompatible type "str"' in errors[1]


def test_all_that_the_page_names_is_there() -> None:
    page = (TREE / "docs/client.md").read_text()
    kinds: list[Any] = [getattr(hodei.client, name) for name in hodei.client.__all__]
    errors = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Exception)]
    assert [kind.__name__ for kind in errors if f"`{kind.__name__}`" not in page] == []
