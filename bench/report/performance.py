"""docs/performance.md: the page, its order of sections, and where the time goes."""

from collections.abc import Callable, Iterable
from typing import Any

from bench.report import cost, secrecy, speed
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
            "This page shows how fast Hodei is, what it costs, and how that compares with other",
            "systems. `python -m bench.report` makes the page from [figures.json](figures.json).",
            "Each section was measured in one run on an idle machine, and beside what the machine",
            "allows; throughput, logs, log lines and profiles are newer than the other sections,",
            "also than the other systems. The section on TLS was measured on a machine that did other",
            "work too. Logs are at the level",
            "`success`. On another machine the figures will differ: compare the ratios. Unless a",
            "section says otherwise, a figure is the median of the rounds, with the least and the",
            "greatest in brackets. PostgreSQL is durable and has its default settings.",
        ),
        "## How to repeat it",
        "```sh\nbin/bench           # jobs per second on each path, and what the machine allows\n"
        "bin/bench --peers   # the other systems, installed and measured on this machine\n"
        "bin/bench --docs    # everything; also writes these pages\n```",
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
        "[scaling.md](scaling.md) has curves by servers, workers, slots and queue, a model of "
        "them, and what it predicts for larger fleets."
    )


SECTIONS: list[tuple[str, str, Callable[[Any, Figures], Iterable[str]]]] = [
    ("throughput", "Jobs per second", speed.throughput),
    ("peers", "Compared with other systems", speed.peers),
    ("latency", "Latency: from submit to start", speed.latency),
    ("logs", "One job's log", speed.logs),
    ("telling", "What log lines cost", speed.telling),
    ("tls", "What TLS costs", speed.tls),
    ("keys", "What an API key costs", secrecy.keys),
    ("masking", "What masked logs cost", secrecy.masking),
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
                "Microseconds of processor time for each job, by process, in the last round.",
                "*Worker* is the agent, which speaks gRPC; on the server paths it is the program",
                "that replaces it. *Jobs* are the started processes themselves. *Idle* is time",
                "that no core used.",
            ),
            table(
                ["path", *(name(part) for part in PARTS)],
                [
                    (path, *(number(share.get(part)) for part in PARTS))
                    for path, share in shares.items()
                ],
            ),
            plot("cost", "Microseconds of processor time for each job, by process"),
            *_profiles(sections.get("hot") or {}),
            *([notes.strip()] if notes.strip() else []),
        ]
    )


def _profiles(hot: Figures) -> Iterable[str]:
    for load, parts in hot.get("seen", {}).items():
        for part, rows in parts.items():
            yield f"### Profile of the {part} (py-spy): {load}"
            shown = [
                (f"`{function}`", f"{own:.1%}", f"{below:.1%}") for function, own, below in rows
            ]
            yield table(["function", "itself", "with its callees"], shown)


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
        "After each of these measurements the judge that also checks the chaos runs",
        "([reliability.md](reliability.md)) read the database: speed at the",
        "cost of a lost job, an illegal transition or a missing event would be worth nothing.",
    )
    if not found:
        return ""
    return "\n\n".join(
        [
            "## Were the results correct?",
            prose(*words, "It found:" if bad else "It found no violation."),
            *([bullets(bad)] if bad else []),
        ]
    )
