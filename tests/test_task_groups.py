"""Tasks run in groups, nobody raises inside an `except*`, and who opens a group waits in it."""

import ast
from collections.abc import Iterator

from tests.conftest import TREE
from tests.test_architecture import FLOORS


def test_no_task_runs_loose() -> None:
    for floor in FLOORS:
        for path in floor.files:
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
    for floor in FLOORS:
        for path in floor.files:
            assert groups_left_waiting(ast.parse(path.read_text())) == [], path
