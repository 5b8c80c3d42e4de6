"""docs/performance.md: targets, and a section for each measurement."""

from collections.abc import Callable, Iterable
from typing import Any

from bench.report import targets
from bench.report.targets import TARGETS, Figures, Target, at
from bench.report.words import (
    NOT_MEASURED,
    PARTS,
    PEERS,
    bullets,
    measured,
    name,
    number,
    page,
    plot,
    prose,
    spread,
    table,
)


def performance(figures: Figures, notes: str) -> str:
    sections = figures.get("sections", {})
    return page(
        "# Performance",
        prose(
            "How fast Hodei is, what it costs, and what it is measured against. Everything on this page is made from",
            "[figures.json](figures.json) by `python -m bench.report`: measured section after section on one machine with nothing else to",
            "do; Hodei's jobs per second, the ceilings and all peers in one run. Logs are at the level `success`. A figure alone says",
            "nothing on another machine: read the ratios. Unless said otherwise a figure is the median of the",
            "rounds, with the least and the most in brackets. PostgreSQL is durable and has stock settings.",
        ),
        "## How to repeat it",
        "```sh\nbin/bench           # jobs per second along each path, beside what the machine allows\n"
        "bin/bench --peers   # what users would otherwise choose, set up and measured on this machine\n"
        "bin/bench --docs    # everything, and these pages from it\n```",
        _machine(figures),
        _targets(sections),
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
            f"{figures.get('date', '?')}, the last section at commit `{figures.get('commit', '?')}`",
        ),
    ]
    return "\n\n".join(
        [
            "## The machine",
            "\n".join(["| | |", "|---|---|", *(f"| {what} | {words} |" for what, words in rows)]),
        ]
    )


def _targets(sections: Figures) -> str:
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
        f"{target.name}: {measured(figure, target.unit)}, and should be {target.sign} {_round(target.bound)}{_unit(target)}."
        for target, figure in bound
        if target.bound is not None and reached(target, figure) == "**no**"
    ]
    there = sum(figure is not None for _, figure in bound)
    return "\n\n".join(
        [
            "## Targets",
            prose(
                f"Of {len(bound)} targets {there - len(missed)} are reached, {len(missed)} missed, {len(bound) - there} not measured. A",
                "ratio compares figures of this one run.",
                *(
                    f"One figure has no target, {target.name}: {target.words}."
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


# ── its sections ──


def _throughput(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        f"{number(section['jobs'])} no-op jobs a round along the server's paths, half of them where a real worker starts processes;",
        f"{section['rounds']} rounds, two servers. *Server path*: gRPC workers that run nothing, so that what is left is servers and",
        "PostgreSQL; *queued* means that all jobs wait before the first worker may take one, *created* that they are created meanwhile.",
        "*Real worker*: one worker of 16 slots. *Ceiling*: a loop in C that starts the same command on all cores and does nothing else.",
    )
    yield table(
        ["path", "per second"],
        [(path, spread(figure)) for path, figure in section["per_second"].items()],
    )
    yield plot("sh", "Processes per second of Hodei and of the peers, beside the ceiling")


def _telling(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        "One server and one worker of 8 slots at each level, by turns on one database, with jobs of",
        "`sh -c true`: at the default level, `info`, each makes five lines.",
    )
    rows = [(path, spread(figure)) for path, figure in section["per_second"].items()]
    yield table(["log level", "per second"], rows)


def _peers(section: Figures, sections: Figures) -> Iterable[str]:
    yield prose(
        "What users would otherwise choose, each with one worker that may use the whole machine, as it comes and as its own",
        "documentation advises for many short jobs. All jobs are enqueued first. *No-op*: the handler notes its start in memory; `sh`:",
        "it runs `sh -c true` and waits. The processor's time is that of the whole machine for a no-op job, memory (PSS) that of the",
        "worker. Hodei's row is the server path from a full queue, `sh -c true` on a real worker, and the memory of a worker with all",
        "slots taken.",
    )
    rows = [_hodei_as_peer(sections)] if at(sections, "throughput", "per_second") else []
    settings = [
        (PEERS.get(peer, peer), kind, figures)
        for peer, of in section.items()
        if peer != "skipped"
        for kind, figures in of.items()
    ]
    rows += [
        (
            f"{peer}, {kind}",
            spread(figures["noop_per_s"]),
            spread(figures["sh_per_s"]),
            number(figures["enqueued_per_s"]["median"]),
            number(figures["cpu_us_per_job"]),
            number(figures["pss_mb"]),
        )
        for peer, kind, figures in settings
    ]
    yield table(
        ["system", "no-op per second", "`sh` per second", "enqueued per second", "µs a job", "MB"],
        rows,
    )
    yield from _ahead(settings, sections)
    yield plot("server-path", "No-op jobs per second of Hodei and of the peers")
    yield bullets(
        f"{peer}, {kind}: {figures['setting']} ({figures['versions']})."
        for peer, kind, figures in settings
    )
    if skipped := section.get("skipped"):
        yield "Left out:"
        yield bullets(f"{peer}: {why}" for peer, why in skipped.items())


def _hodei_as_peer(sections: Figures) -> tuple[str, ...]:
    paths = at(sections, "throughput", "per_second")
    share = at(sections, "throughput", "cpu_us_per_job", "server path, queued") or {}
    busy = sum(us for part, us in share.items() if part != "idle")
    noop, sh = paths.get("server path, queued"), paths.get("sh -c true, real worker")
    return (
        "**Hodei**",
        spread(noop),
        spread(sh),
        "–",
        number(busy),
        number(targets.full_worker("pss_mb")(sections)),
    )


def _ahead(settings: list[tuple[str, str, Figures]], sections: Figures) -> Iterable[str]:
    for kind, words, ours in (
        ("noop", "no-op jobs", targets.QUEUED(sections)),
        ("sh", "`sh -c true`", targets.SH(sections)),
    ):
        rates = [
            (peer, setting, figures[f"{kind}_per_s"]["median"])
            for peer, setting, figures in settings
        ]
        faster = [
            f"{peer}, {setting} ({number(rate)}/s)"
            for peer, setting, rate in rates
            if ours is not None and rate > ours
        ]
        if ours is not None:
            yield prose(
                f"Ahead of Hodei with {words} ({number(ours)}/s): {'; '.join(faster) or 'none of them'}."
            )


def _latency(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        f"From the call that submits a job until it is there, with nothing else to do: {number(section['samples'])} jobs, one every",
        f"{number(section['spacing_ms'])} ms; milliseconds. The echo, the spawn and the bare statement are what no design could save.",
    )
    kinds = ("p50", "p90", "p99", "max")
    yield table(
        ["from, until", *kinds],
        [(words, *(number(ms[kind]) for kind in kinds)) for words, ms in section["ms"].items()],
    )


def _logs(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        f"One job writes {number(section['lines'])} lines of 80 bytes as fast as it can; the time ends when all of them are in",
        "PostgreSQL. Lines that are alike compress to nearly nothing, random ones not at all; real logs lie between. *Followed*:",
        "somebody reads along, and *behind* is how old a line is when it is in the reader's hands.",
    )
    ceilings = {
        words.partition("lines_per_s ")[2]: per_s
        for words, per_s in section.items()
        if words.startswith("ceiling: ")
    }
    if ceilings:
        yield prose(
            f"The program alone writes {', '.join(f'{number(per_s)} lines/s {way}' for way, per_s in ceilings.items())}."
        )
    runs = {kind: section[kind] for kind in targets.LOG_KINDS if kind in section}
    yield table(
        ["log", "lines/s", "MB/s", "behind, p50", "behind, p99", "all stored", "MB in PostgreSQL"],
        [
            (
                kind,
                number(run["lines_per_s"]),
                number(run["mb_per_s"]),
                measured(at(run, "follower", "seconds_behind", "p50"), "s"),
                measured(at(run, "follower", "seconds_behind", "p99"), "s"),
                "yes" if run["stored"]["all"] and run["stored"]["no_hole"] else "**no**",
                number(run["stored"]["mb_in_postgres"]),
            )
            for kind, run in runs.items()
        ],
    )
    yield "Seconds of processor for the whole log, and the most memory (PSS, MB) that each process held, with what it held before:"
    parts = ("server", "agent", "supervisor")
    yield table(
        ["log", *(f"{name(part)}, s" for part in PARTS), *(f"{part}, MB" for part in parts)],
        [
            (
                kind,
                *(number(run["cpu_s"].get(part)) for part in PARTS),
                *(f"{_pss(run, 'most', part)} ({_pss(run, 'idle', part)})" for part in parts),
            )
            for kind, run in runs.items()
        ],
    )


def _pss(run: Figures, when: str, part: str) -> str:
    return number(at(run, "memory", when, part, "pss_mb"))


def _claims(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        f"What a claim of {section['jobs_per_claim']} jobs takes (milliseconds, {section['claims']} claims of each case), where the queue",
        "is deep, and where dead rows stand before the live ones. An old snapshot (a long report, a forgotten transaction) forbids every",
        "vacuum: then a server begins its claims behind the head that it knows to be dead, and says so in its log.",
    )
    cases = dict(claim_rows(section))
    kinds = ("p50", "p99", "most", "first")
    yield table(
        ["queue", *kinds],
        [(words, *(number(ms[kind]) for kind in kinds)) for words, ms in cases.items()],
    )
    yield plot("claims", "Milliseconds of a claim, p50 and p99, by the state of the queue")
    if through := section.get("through_a_server"):
        yield _through_a_server(through)


def claim_rows(section: Figures) -> Iterable[tuple[str, dict[str, float]]]:
    for case, ms in section["ms"].items():
        if "p50" in ms:
            yield case, ms
        else:
            yield from (
                (f"{case}: {state}", spread)
                for state, spread in ms.items()
                if isinstance(spread, dict)
            )


def _through_a_server(through: Figures) -> str:
    first, last, after = (
        window["cpu_percent"]
        for window in (through["held"][0], through["at_the_end"], through["released"][-1])
    )
    end = through["at_the_end"]
    return prose(
        f"A whole server under such a snapshot, given {number(through['fed_per_s'])} jobs a second: {number(through['jobs_per_s'])} done",
        f"a second (median of {len(through['held'])} windows of {number(through['window_s'])} s), after {number(end['done'])} of them",
        f"{number(end['waiting'])} waited. In the first window the server took {number(first['server'])} % of a core and PostgreSQL",
        f"{number(first['postgres'])} %, in the last {number(last['server'])} % and {number(last['postgres'])} %, and once the snapshot",
        f"was gone {number(after['server'])} % and {number(after['postgres'])} %. Warnings in the server's log:",
        f"{number(len(through['warnings']))}.",
    )


def _idle(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        f"{number(section['workers'])} connected workers that have nothing to do, on one server; then {number(section['queued'])} queued",
        f"jobs that none of them can run. Processor in percent of one core, over {number(section['window_s'])} s; statements are the",
        "server's, by PostgreSQL's own log. PSS shares out common pages, anonymous memory is the server's own.",
    )
    yield table(
        ["scene", "server, %", "PostgreSQL, %", "statements/s", "PSS, MB", "anonymous, MB"],
        [
            (
                scene,
                number(of["cpu_percent"]["server"]),
                number(of["cpu_percent"]["postgres"]),
                number(of["statements_per_s"]),
                number(of["server_mb"]["pss"]),
                number(of["server_mb"]["anonymous"]),
            )
            for scene, of in section["figures"].items()
        ],
    )
    yield prose(
        f"For each worker the server holds {number(section['server_kb_per_worker']['anonymous'])} KB. At the end",
        f"{number(section['connected_at_the_end'])} of {number(section['workers'])} were connected. What the server asks while they are",
        "idle:",
    )
    asked = at(section, "figures", "idle workers", "most_frequent_per_s") or {}
    yield table(
        ["statement", "per second"],
        [(f"`{words.replace('|', '¦')}`", number(per_s)) for words, per_s in asked.items()],
    )


def _memory(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        f"Servers while {number(section['jobs'])} no-op jobs are drained, round by round (what is not flat is a leak); a worker with all",
        f"of its {number(section['sleepers'])} slots taken by jobs that sleep, without the jobs' own memory. MB of PSS, which counts a",
        "shared page once, with RSS in brackets.",
    )
    drain, rows = section["drain"], []
    for server, before in drain["idle"].items():
        rows.append((f"{server}, idle", _held(before)))
        rows += [
            (f"{server}, most in round {n}", _held(of["most"].get(server)))
            for n, of in enumerate(drain["rounds"], 1)
        ]
    rows += [
        (f"worker's {process}, {when}", _held(of))
        for when, parts in section["worker"].items()
        for process, of in parts.items()
    ]
    yield table(["process", "MB"], rows)


def _held(memory: dict[str, float] | None) -> str:
    return "–" if memory is None else f"{number(memory['pss_mb'])} ({number(memory['rss_mb'])})"


def _startup(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        f"Milliseconds from a program's start until it has ended, or until its log says that it is there; {section['rounds']} rounds. The",
        "interpreter and `import grpc` are what all that talk to a server begin with; `bin/hodei` is the wrapper that finds the",
        "environment first. *New*: a worker that has to register.",
    )
    yield table(
        ["program", "ms"], [(f"`{program}`", spread(ms)) for program, ms in section["ms"].items()]
    )


def _soak(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        f"{number(section['jobs'])} jobs in {number(section['minutes'])} minutes at {number(section['jobs_per_s'])} a second, dead rows",
        f"sampled every 5 s. The queue never held more than {number(section['longest_queue'])} jobs. A job wrote",
        f"{number(section.get('wal_kb_per_job'))} kB of WAL, checkpoints and all.",
    )
    yield table(
        ["table", "dead rows, median", "most", "HOT updates", "MB at the end"],
        [
            (
                f"`{of}`",
                number(dead["median"]),
                number(dead["max"]),
                f"{section['hot_updates'][of]:.0%}",
                number(section["bytes"][of] / 1e6),
            )
            for of, dead in section["dead_tuples"].items()
        ],
    )


def _scaling_pointer(_: Figures, __: Figures) -> Iterable[str]:
    yield "Curves by servers, workers, slots and queue, a model of them, and what it says of larger fleets: [scaling.md](scaling.md)."


SECTIONS: list[tuple[str, str, Callable[[Any, Figures], Iterable[str]]]] = [
    ("throughput", "Jobs per second", _throughput),
    ("peers", "Beside what users would otherwise choose", _peers),
    ("latency", "From submit to start", _latency),
    ("logs", "One job's log", _logs),
    ("telling", "What log lines cost", _telling),
    ("claims", "Claims from a deep or dirty queue", _claims),
    ("idle", "A thousand idle workers", _idle),
    ("memory", "Memory", _memory),
    ("startup", "Starting", _startup),
    ("soak", "Dead rows under steady load", _soak),
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
                "Microseconds of processor for each job, by who spends them, in the last round. *Worker* is the agent, which speaks",
                "gRPC, or the program that stands for it on the server's paths; *jobs* is what the started processes themselves use;",
                "*idle* is what no core did meanwhile.",
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
        "After each of these measurements the judge of the chaos runs ([reliability.md](reliability.md)) read the database: speed at the",
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
