"""Figures and sentences as Markdown."""

import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 140
NOT_MEASURED = "Not measured."
PARTS = ("server", "worker", "supervisor", "postgres", "jobs", "idle")
NAMES = {"postgres": "PostgreSQL"}

PEERS = {
    "celery+redis": "Celery + Redis",
    "celery+rabbitmq": "Celery + RabbitMQ",
    "dramatiq+redis": "Dramatiq + Redis",
    "procrastinate": "Procrastinate",
    "pgqueuer": "PgQueuer",
    "graphile-worker": "Graphile Worker",
}


def number(value: float | None) -> str:
    """Three digits say what a measurement is worth, more where they stand before the point."""
    if value is None:
        return "–"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"


def measured(value: float | None, unit: str) -> str:
    return (
        number(value)
        + ("" if value is None or not unit or unit.startswith("/") else " ")
        + ("" if value is None else unit)
    )


def prose(*sentences: str) -> str:
    return textwrap.fill(" ".join(sentences), WIDTH, break_long_words=False, break_on_hyphens=False)


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(
        textwrap.fill(
            f"- {line}",
            WIDTH,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in lines
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column has words, the others figures."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, marks, *rows])


def page(*blocks: str) -> str:
    return "\n\n".join(block for block in blocks if block) + "\n"


def plot(name: str, words: str) -> str:
    return f"![{words}](plots/{name}.svg)"


def spread(figure: dict[str, float] | None) -> str:
    """Median, with the least and the most."""
    if figure is None:
        return "–"
    return f"{number(figure['median'])} ({number(figure['least'])} – {number(figure['most'])})"


def name(part: str) -> str:
    return NAMES.get(part, part)
