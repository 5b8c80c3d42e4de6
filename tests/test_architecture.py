"""The floors: imports point down only, transports open no transaction, and nothing runs loose."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from hodei.domain.job import Creation, JobState, Outcome, Reason, Waiting
from hodei.domain.token import TokenState
from hodei.domain.worker import WorkerState
from tests.conftest import TREE

# package → what of ours it may import (docs/architecture.md)
MAY = {
    "hodei.domain": {"hodei.protocol"},  # only words (below)
    "hodei.protocol": {"hodei.domain"},  # only text, by its log (below)
    "hodei.store": {"hodei.domain"},
    "hodei.fleet": {"hodei.domain", "hodei.store"},
    "hodei.flow": {"hodei.domain", "hodei.store", "hodei.fleet"},
    "hodei.rpc": {
        "hodei",
        "hodei.domain",
        "hodei.store",
        "hodei.fleet",
        "hodei.flow",
        "hodei.protocol",
    },
    "hodei.local": {"hodei.cli"},
    "hodei.cli": {
        "hodei.domain",
        "hodei.protocol",
        "hodei.log",
        "hodei.config",
        "hodei.server",
        "hodei.store",
        "hodei.flow",
        "hodei.local",
        "hodei_worker",
    },
    "hodei_worker": {"hodei.protocol"},
}
LIBRARIES = {
    "hodei.domain": set(),
    "hodei.store": {"psycopg", "psycopg_pool", "loguru"},
    "hodei.fleet": {"loguru"},
    "hodei.flow": {"psycopg", "loguru"},
}
PURE = {"asyncio", "loguru", "psycopg", "grpc", "click", "subprocess", "socket"}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def files(package: str) -> list[Path]:
    found = sorted((TREE / package.replace(".", "/")).rglob("*.py"))
    assert found, package
    return [path for path in found if "_pb2" not in path.name]


def test_imports_point_down() -> None:
    wrong = []
    for package, may in MAY.items():
        for path in files(package):
            for name in imports(path):
                if not name.startswith(("hodei.", "hodei_worker.")) or name.startswith(
                    f"{package}."
                ):
                    continue
                floor = (
                    ".".join(name.split(".")[:2]) if name.startswith("hodei.") else "hodei_worker"
                )
                if floor not in may and not (floor == "hodei.__version__" and "hodei" in may):
                    wrong.append(f"{path.relative_to(TREE)} imports {name}")
    assert wrong == []


def test_each_floor_keeps_to_its_libraries() -> None:
    third_party = {
        "psycopg",
        "psycopg_pool",
        "loguru",
        "grpc",
        "click",
        "rich",
        "aiohttp",
        "docker",
        "google",
    }
    for package, may in LIBRARIES.items():
        for path in files(package):
            used = {name.split(".")[0] for name in imports(path)} & third_party
            assert used <= may, path


def test_a_worker_gets_nothing_of_the_domain_but_text() -> None:
    """Through hodei.protocol.log, which both programs write their logs with."""
    used = {name for path in files("hodei.protocol") for name in imports(path)}
    theirs = {name.rpartition(".")[0] for name in used if name.startswith("hodei.domain")}
    assert theirs == {"hodei.domain.text", "hodei.domain.job_line"}


def test_the_domain_takes_only_words_from_the_protocol() -> None:
    used = {name for path in files("hodei.domain") for name in imports(path)}
    theirs = {name.rpartition(".")[0] for name in used if name.startswith("hodei.protocol")}
    assert theirs == {"hodei.protocol.words"}
    assert set(imports(TREE / "hodei/protocol/words.py")) == {"enum.StrEnum"}


def test_the_domain_is_pure() -> None:
    for path in files("hodei.domain"):
        assert not {name.split(".")[0] for name in imports(path)} & PURE, path
        assert "datetime.now" not in path.read_text(), path


def test_the_supervisor_needs_nothing_but_the_standard_library() -> None:
    for path in files("hodei_worker.supervisor"):
        outside = {n.split(".")[0] for n in imports(path)} & {
            "grpc",
            "loguru",
            "click",
            "hodei",
            "google",
        }
        assert not outside, path


def test_transports_open_no_transaction_and_hold_no_sql() -> None:
    for path in files("hodei.rpc"):
        assert not re.search(
            r"\.transact\(|transaction\(|\bSELECT\b|\bINSERT\b|\bUPDATE\b", path.read_text()
        ), path


def test_sql_stands_only_in_the_store() -> None:
    allowed = {
        "hodei/cli/dev.py",
        "hodei/local/stack.py",
    }  # they mint a token as on-call engineers do
    for package in (
        "hodei.domain",
        "hodei.fleet",
        "hodei.flow",
        "hodei.rpc",
        "hodei.cli",
        "hodei.local",
        "hodei_worker",
    ):
        for path in files(package):
            if str(path.relative_to(TREE)) not in allowed:
                assert not re.search(
                    r"\b(SELECT .* FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b", path.read_text()
                ), path


def test_states_and_reasons_are_words_of_the_domain() -> None:
    """In Python they are members of a type; only SQL texts and the types themselves name them."""
    kinds = (JobState, Outcome, Reason, Creation, Waiting, WorkerState, TokenState)
    words = {str(word) for kind in kinds for word in kind}
    for path in files("hodei.store"):
        texts = (
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
        assert words.isdisjoint(texts), path


def test_no_task_runs_loose() -> None:
    for package in MAY:
        for path in files(package):
            text = path.read_text()
            assert "ensure_future" not in text, path
            assert "asyncio.gather" not in text, path
            assert "asyncio.create_task" not in text, path
            assert "preexec_fn" not in text, path
            if path.name != "launcher.py":  # single-threaded, and without gRPC
                assert "os.fork" not in text, path


def nodes_run_in(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Of these statements all that runs with them: not what functions defined there do later."""
    for statement in body:
        yield statement
        for child in ast.iter_child_nodes(statement):
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                yield from nodes_run_in([child])  # type: ignore[list-item]


def raises_in_except_star(tree: ast.AST) -> list[int]:
    """Lines. An await may raise too: a cancel, or what it waits for."""
    handlers = [
        handler
        for node in ast.walk(tree)
        if isinstance(node, ast.TryStar)
        for handler in node.handlers
    ]
    inside = [node for handler in handlers for node in nodes_run_in(handler.body)]
    return [node.lineno for node in inside if isinstance(node, ast.Raise | ast.Await)]


def groups_left_waiting(tree: ast.AST) -> list[int]:
    """Lines of `async with TaskGroup()` whose block waits for nothing, so that a failing task finds
    the group being left."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncWith)
        and any("TaskGroup(" in ast.unparse(item.context_expr) for item in node.items)
        if not any(isinstance(inside, ast.Await) for inside in nodes_run_in(node.body))
    ]


def test_nothing_is_raised_inside_an_except_star() -> None:
    """Before 3.11.4 Python wraps it in an ExceptionGroup, which no `except` of ours expects
    (gh-103590)."""
    assert raises_in_except_star(
        ast.parse("try: pass\nexcept* OSError as e:\n  raise e.exceptions[0]")
    ) == [3]
    paths = [
        path
        for folder in ("hodei", "hodei_worker", "bench", "tests")
        for path in (TREE / folder).rglob("*.py")
    ]
    found = {
        str(path.relative_to(TREE)): raises_in_except_star(ast.parse(path.read_text()))
        for path in paths
    }
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_who_opens_a_task_group_waits_inside_of_it() -> None:
    """Before 3.13 a group that fails while it is being left leaves a cancel counted on its task
    (gh-117407), and before 3.11.3 `asyncio.timeout` takes that for a cancel of now (gh-102780): a
    worker that had lost its server ended in silence."""
    assert groups_left_waiting(
        ast.parse("async def f():\n async with TaskGroup() as g:\n  g.create_task(x())")
    ) == [2]
    for package in MAY:
        for path in files(package):
            assert groups_left_waiting(ast.parse(path.read_text())) == [], path
