"""The floors: imports point down only, transports open no transaction, and nothing runs loose."""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hodei.domain.api_key import KeyState
from hodei.domain.job import Creation, JobState, Outcome, Reason, Waiting
from hodei.domain.provider import Status
from hodei.domain.token import TokenState
from hodei.domain.worker import WorkerState
from tests.conftest import TREE

ARCHITECTURE = TREE / "docs/architecture.md"
RELEASE = {
    "hodei",
    "hodei.__version__",
    "hodei_worker",
    "hodei_worker.__version__",
}  # any may know its own


class Floor(NamedTuple):
    """A row of the table in docs/architecture.md."""

    package: str
    may_import: set[str]  # packages and modules of ours, as paths
    libraries: set[str]

    @property
    def files(self) -> list[Path]:
        """Without those of a package below it that has a row of its own."""
        folder, _, pattern = self.package.partition("*")
        found = (TREE / folder).glob(f"*{pattern}") if pattern else (TREE / folder).rglob("*.py")
        return [
            path
            for path in sorted(found)
            if "_pb2" not in path.name
            and not (
                self.package == "hodei_worker" and {"supervisor", "containers"} & {*path.parts}
            )
        ]


def _floors() -> list[Floor]:
    table = ARCHITECTURE.read_text().partition("| package |")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| `")]
    return [
        Floor(
            package.strip("`"),
            {"hodei", "hodei_worker"}
            if ours == "everything"
            else set(re.findall(r"`(hodei[\w/.]*)`", ours)),
            set(re.findall(r"`(\w+)`", libraries)),
        )
        for package, _, ours, libraries in rows
    ]


FLOORS = _floors()
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


def test_each_package_has_a_row_in_the_table_of_floors() -> None:
    there = {f"hodei/{path.parent.name}" for path in (TREE / "hodei").glob("*/__init__.py")}
    there |= {"hodei/*.py"}
    there |= {"hodei_worker", "hodei_worker/supervisor", "hodei_worker/containers"}
    assert {floor.package for floor in FLOORS} == there


def place_of(name: str) -> Path:
    """The module that holds what an import names, or its package."""
    path = TREE / name.replace(".", "/")
    while not path.is_dir() and not path.with_suffix(".py").exists():
        path = path.parent
    return (path if path.is_dir() else path.with_suffix(".py")).relative_to(TREE)


def out_of_bounds(floor: Floor, name: str) -> bool:
    """Whether an import of this name is one that the table does not give to this floor."""
    top = name.partition(".")[0]
    if top not in {"hodei", "hodei_worker"}:
        return top not in sys.stdlib_module_names and top not in floor.libraries
    may = {floor.package, *floor.may_import}
    above = {str(place) for place in (place_of(name), *place_of(name).parents)}
    if floor.package.startswith("hodei_worker/"):
        above.discard("hodei_worker")
    return name not in RELEASE and not above & may


def test_imports_keep_to_the_table_of_floors() -> None:
    wrong = [
        f"{path.relative_to(TREE)} imports {name}"
        for floor in FLOORS
        for path in floor.files
        for name in imports(path)
        if out_of_bounds(floor, name)
    ]
    assert wrong == [], "docs/architecture.md has the table"


def test_the_table_gives_no_more_than_is_used() -> None:
    for floor in FLOORS:
        names = {name for path in floor.files for name in imports(path)}
        assert floor.libraries <= {name.partition(".")[0] for name in names}, floor.package
        for given in floor.may_import - {"hodei", "hodei_worker"}:
            assert any(Path(given) in (p := place_of(n), *p.parents) for n in names), (
                floor.package,
                given,
            )


def test_an_import_that_points_up_is_found() -> None:
    of = {floor.package: floor for floor in FLOORS}
    assert out_of_bounds(of["hodei/domain"], "hodei.store.jobs.get")
    assert out_of_bounds(of["hodei/domain"], "orjson")
    assert out_of_bounds(of["hodei_worker"], "hodei.domain.text.shown")
    assert out_of_bounds(of["hodei_worker/supervisor"], "hodei_worker.slots.Slots")
    assert out_of_bounds(of["hodei_worker/supervisor"], "grpc")
    assert out_of_bounds(of["hodei/cli"], "hodei.fleet.presence")
    assert not out_of_bounds(of["hodei/cli"], "hodei.log.start")
    assert not out_of_bounds(of["hodei/store"], "hodei.domain.job.Reason")


def test_each_rule_and_decision_that_a_text_refers_to_is_there() -> None:
    section = ARCHITECTURE.read_text().partition("## The rules")[2].partition("\n## ")[0]
    rules = [int(number) for number in re.findall(r"^(\d+)\. \*\*", section, re.MULTILINE)]
    assert rules == list(range(1, len(rules) + 1))
    decisions = {int(path.name[:4]) for path in (TREE / "docs/adr").glob("*.md")}
    texts = {str(path.relative_to(TREE)): path.read_text() for path in texts_of_ours()}
    referred = [
        (path, int(number))
        for path, text in texts.items()
        for several in re.findall(r"\b[Rr]ules?\s+(\d+(?:(?:, | and | to )\d+)*)", text)
        for number in re.findall(r"\d+", several)
    ]
    assert len(referred) > 10
    assert [(path, number) for path, number in referred if number not in rules] == []
    assert {
        (path, number)
        for path, text in texts.items()
        for number in re.findall(r"\bADR (\d+)", text)
        if int(number) not in decisions
    } == set()
    short = re.compile(r"\bR\d{1,2}\b(?! =)")  # how they were called when they stood elsewhere
    assert [path for path, text in texts.items() if short.search(text)] == []


def texts_of_ours() -> Iterator[Path]:
    """Source, pages and scripts; not this file, which has patterns for what it looks for."""
    for place in ("hodei", "hodei_worker", "verify", "tests", "bench", "docs", "tools", "bin"):
        for path in sorted((TREE / place).rglob("*")):
            text = path.is_file() and path.suffix in {".py", ".md", ".proto", ".sql", ""}
            if text and path != Path(__file__):
                yield path
    yield from (TREE / name for name in ("schema.sql", "README.md", "CONTRIBUTING.md", "justfile"))


def test_one_jobs_way_visits_each_file_once() -> None:
    way = ARCHITECTURE.read_text().partition("## One job's way")[2].partition("\n## ")[0]
    paragraphs = [part for part in way.split("\n\n") if part.startswith("**")]
    assert len(paragraphs) == 3
    for paragraph in paragraphs:
        files = re.findall(r"`(\w+/\w+)`", paragraph)
        assert len(files) > 10
        assert [name for name in set(files) if files.count(name) > 1] == []
        for name in files:
            root = "hodei_worker/" if name.startswith("supervisor/") else "hodei/"
            path = name if name.startswith("hodei_worker/") else root + name
            here = TREE / path
            assert here.with_suffix(".py").exists() or (here / "__init__.py").exists(), name


def test_a_worker_gets_nothing_of_the_domain_but_text() -> None:
    """Through hodei.protocol.log, which both programs write their logs with."""
    used = {name for path in files("hodei.protocol") for name in imports(path)}
    theirs = {name.rpartition(".")[0] for name in used if name.startswith("hodei.domain")}
    assert theirs == {"hodei.domain.text", "hodei.domain.job_line"}


def test_the_words_need_nothing() -> None:
    """The domain takes them from the protocol, and workers do: they bring nothing along."""
    assert set(imports(TREE / "hodei/protocol/words.py")) == {"enum.StrEnum"}


def test_the_domain_is_pure() -> None:
    for path in files("hodei.domain"):
        assert not {name.split(".")[0] for name in imports(path)} & PURE, path
        assert "datetime.now" not in path.read_text(), path


def test_transports_open_no_transaction_and_hold_no_sql() -> None:
    for path in files("hodei.rpc"):
        assert not re.search(
            r"\.transact\(|transaction\(|\bSELECT\b|\bINSERT\b|\bUPDATE\b", path.read_text()
        ), path


def test_transports_only_translate() -> None:
    """Every verb lives in flow or fleet: a way in takes nothing of the store but the records that
    the verbs take."""
    for path in files("hodei.rpc"):
        for name in imports(path):
            if name.startswith("hodei.store"):
                module, _, thing = name.rpartition(".")
                record = getattr(importlib.import_module(module), thing)
                assert inspect.isclass(record), f"{path} imports {name}"
                assert hasattr(record, "_fields"), f"{path} imports {name}, which is no record"


def test_sql_stands_only_in_the_store() -> None:
    allowed = {
        "hodei/cli/dev.py",
        "hodei/local/stack.py",
    }  # they mint a token as on-call engineers do
    for package in (
        "hodei.domain",
        "hodei.shapes",
        "hodei.access",
        "hodei.fleet",
        "hodei.flow",
        "hodei.rpc",
        "hodei.cli",
        "hodei.client",
        "hodei.local",
        "hodei_worker",
    ):
        for path in files(package):
            if str(path.relative_to(TREE)) not in allowed:
                assert not re.search(
                    r"\b(SELECT .* FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b", path.read_text()
                ), path


STATUSES_OF_GRPC = {"hodei/cli/client.py": {"INTERNAL"}, "hodei/client/errors.py": {"CANCELLED"}}
"""Words of gRPC that are the same as words of ours."""


def test_states_and_reasons_are_words_of_the_domain() -> None:
    """In Python they are members of a type; only SQL texts and the types themselves name them."""
    kinds = (JobState, Outcome, Reason, Waiting, WorkerState, TokenState, KeyState, Status)
    words = {str(word) for kind in kinds for word in kind}
    types = {"hodei/protocol/words.py", "hodei/flow/waiting.py"}
    paths = {
        str(path.relative_to(TREE)): path for path in [*files("hodei"), *files("hodei_worker")]
    }
    assert len(paths) > 300
    for name, path in paths.items():
        if name not in types and not name.startswith("hodei/domain/"):
            assert bare_words(path).isdisjoint(words - STATUSES_OF_GRPC.get(name, set())), name


def test_outcomes_of_a_create_are_words_of_the_domain() -> None:
    """Elsewhere the same words name columns and the states of an engine."""
    words = set(map(str, Creation))
    for package in ("hodei.store", "hodei.flow", "hodei.rpc", "hodei_worker"):
        for path in files(package):
            assert bare_words(path).isdisjoint(words), path


def bare_words(path: Path) -> set[str]:
    return {
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
