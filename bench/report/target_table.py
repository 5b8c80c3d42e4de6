"""The first table of docs/performance.md: each target beside its figure, and what is missed."""

from bench.report.figures import Figures
from bench.report.targets import TARGETS, Target
from bench.report.words import (
    bullets,
    measured,
    number,
    prose,
    table,
)


def targets_section(sections: Figures) -> str:
    found = [(target, target.how(sections)) for target in TARGETS]
    rows = [
        (
            target.name,
            "–" if target.bound is None else f"{target.sign} {_round(target.bound)}{_unit(target)}",
            "–" if target.aim is None else f"{_round(target.aim)}{_unit(target)}",
            _figure(target, figure, sections),
            reached(target, figure),
        )
        for target, figure in found
    ]
    bound = [(target, figure) for target, figure in found if target.bound is not None]
    missed = [
        f"{target.name}: {measured(figure, target.unit)}, and should be {target.sign} "
        f"{_round(target.bound)}{_unit(target)}."
        for target, figure in bound
        if target.bound is not None and reached(target, figure) == "**no**"
    ]
    there = sum(figure is not None for _, figure in bound)
    return "\n\n".join(
        [
            "## Targets",
            prose(
                f"Of {len(bound)} targets {there - len(missed)} are reached, {len(missed)} missed",
                f"and {len(bound) - there} not measured. A ratio compares figures of the same run.",
                *(
                    f"One figure has no target ({target.name}): {target.words}."
                    for target, _ in found
                    if target.words
                ),
            ),
            table(["target", "to reach", "aim", "measured", "reached"], rows),
            *(["Missed:", bullets(missed)] if missed else []),
        ]
    )


def _round(bound: float) -> str:
    """As it was set."""
    return f"{bound:,}"


def _unit(target: Target) -> str:
    return measured(0, target.unit).removeprefix("0")


def _figure(target: Target, figure: float | None, sections: Figures) -> str:
    beside = target.beside[1](sections) if target.beside else None
    return measured(figure, target.unit) + (
        f" ({target.beside[0]} {number(beside)})" if target.beside and beside is not None else ""
    )


def reached(target: Target, figure: float | None) -> str:
    if figure is None:
        return "not measured"
    if target.bound is not None and not target.met(figure, target.bound):
        return "**no**"
    if target.aim is not None and target.met(figure, target.aim):
        return "the aim" if target.bound is None else "yes, and the aim"
    if target.bound is None:
        return "no bound" if target.aim is None else "short of the aim"
    return "yes"
