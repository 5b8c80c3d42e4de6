"""docs/performance.md: the page, its order of sections, and where the time goes."""

from collections.abc import Callable, Iterable
from typing import Any

from bench.report import cost, speed
from bench.report.figures import Figures, at
from bench.report.target_table import targets_section
from bench.report.words import (
    NOT_MEASURED,
    PARTS,
    bullets,
    name,
    number,
    page,
    plot,
    prose,
    table,
)


def performance(figures: Figures, notes: str) -> str:
    sections = figures.get("sections", {})
    return page(
        "# Performance",
        prose(
            "How fast Hodei is, what it costs, and what it is measured against. Everything on this",
            "page is made from [figures.json](figures.json) by `python -m bench.report`: measured",
            "section after section on one machine with nothing else to do; Hodei's jobs per",
            "second, the ceilings and all peers in one run. Logs are at the level `success`. A",
            "figure alone says nothing on another machine: read the ratios. Unless said otherwise",
            "a figure is the median of the rounds, with the least and the most in brackets.",
            "PostgreSQL is durable and has stock settings.",
        ),
        "## How to repeat it",
        "```sh\nbin/bench           # jobs per second along each path, beside what the machine "
        "allows\n"
        "bin/bench --peers   # what users would otherwise choose, set up and measured on this "
        "machine\n"
        "bin/bench --docs    # everything, and these pages from it\n```",
        _machine(figures),
        targets_section(sections),
        *(
            _section(title, sections.get(key), write, sections)
            for key, title, write in SECTIONS[:2]
        ),
        _where_the_time_goes(sections, notes),
        *(
            _section(title, sections.get(key), write, sections)
            for key, title, write in SECTIONS[2:]
        ),
        _judged(sections),
    )


def _section(
    title: str, section: Any, write: Callable[[Any, Figures], Iterable[str]], sections: Figures
) -> str:
    return "\n\n".join([f"## {title}", *(write(section, sections) if section else [NOT_MEASURED])])


def _machine(figures: Figures) -> str:
    machine = figures.get("machine", {})
    rows = [
        (
            "processor",
            f"{machine.get('processor', '?')}, {machine.get('cores', '?')} cores for everything",
        ),
        ("memory", f"{number(machine.get('memory_gb'))} GB"),
        ("kernel", str(machine.get("kernel", "?"))),
        ("Python", str(machine.get("python", "?"))),
        ("PostgreSQL", str(machine.get("postgres", "?"))),
        (
            "measured",
            f"{figures.get('date', '?')}, the last section at commit "
            f"`{figures.get('commit', '?')}`",
        ),
    ]
    return "\n\n".join(
        [
            "## The machine",
            "\n".join(["| | |", "|---|---|", *(f"| {what} | {words} |" for what, words in rows)]),
        ]
    )


def _scaling_pointer(_: Figures, __: Figures) -> Iterable[str]:
    yield (
        "Curves by servers, workers, slots and queue, a model of them, and what it says of larger "
        "fleets: [scaling.md](scaling.md)."
    )


SECTIONS: list[tuple[str, str, Callable[[Any, Figures], Iterable[str]]]] = [
    ("throughput", "Jobs per second", speed.throughput),
    ("peers", "Beside what users would otherwise choose", speed.peers),
    ("latency", "From submit to start", speed.latency),
    ("logs", "One job's log", speed.logs),
    ("telling", "What log lines cost", speed.telling),
    ("claims", "Claims from a deep or dirty queue", cost.claims),
    ("idle", "A thousand idle workers", cost.idle),
    ("memory", "Memory", cost.memory),
    ("startup", "Starting", cost.startup),
    ("soak", "Dead rows under steady load", cost.soak),
    ("scaling", "Scaling", _scaling_pointer),
]


def _where_the_time_goes(sections: Figures, notes: str) -> str:
    shares = at(sections, "throughput", "cpu_us_per_job")
    if not shares:
        return "\n\n".join(["## Where the time goes", NOT_MEASURED, notes.strip()]).strip()
    return "\n\n".join(
        [
            "## Where the time goes",
            prose(
                "Microseconds of processor for each job, by who spends them, in the last round.",
                "*Worker* is the agent, which speaks gRPC, or the program that stands for it on",
                "the server's paths; *jobs* is what the started processes themselves use; *idle*",
                "is what no core did meanwhile.",
            ),
            table(
                ["path", *(name(part) for part in PARTS)],
                [
                    (path, *(number(share.get(part)) for part in PARTS))
                    for path, share in shares.items()
                ],
            ),
            plot("cost", "Microseconds of processor for each job, by who spends them"),
            *_profiles(sections.get("hot") or {}),
            *([notes.strip()] if notes.strip() else []),
        ]
    )


def _profiles(hot: Figures) -> Iterable[str]:
    for load, parts in hot.get("seen", {}).items():
        for part, rows in parts.items():
            yield f"### What py-spy sees of the {part}: {load}"
            shown = [
                (f"`{function}`", f"{own:.1%}", f"{below:.1%}") for function, own, below in rows
            ]
            yield table(["function", "itself", "with what it calls"], shown)


def _judged(sections: Figures) -> str:
    found = {
        key: section["violations"]
        for key, section in sections.items()
        if isinstance(section, dict) and "violations" in section
    }
    bad = [
        f"{key}: {len(violations)}, the first: {violations[0]}"
        for key, violations in found.items()
        if violations
    ]
    words = (
        "After each of these measurements the judge of the chaos runs "
        "([reliability.md](reliability.md)) read the database: speed at the",
        "cost of a lost job, an illegal transition or a missing event would be worth nothing.",
    )
    if not found:
        return ""
    return "\n\n".join(
        [
            "## Was it right",
            prose(*words, "It found:" if bad else "It found no violation."),
            *([bullets(bad)] if bad else []),
        ]
    )
