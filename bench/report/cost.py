"""Sections of docs/performance.md about what Hodei costs: claims, idle workers, memory, start, dead
rows."""

from collections.abc import Iterable

from bench.report.figures import Figures, at
from bench.report.words import (
    number,
    plot,
    prose,
    spread,
    table,
)


def claims(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        f"Milliseconds for a claim of {section['jobs_per_claim']} jobs ({section['claims']} claims",
        "in each case), from a deep queue, and from one with dead rows before the live ones.",
        "While an old snapshot exists (a long report, a forgotten transaction) no vacuum can",
        "remove dead rows; then a server begins its claims behind the dead head, and says so in",
        "its log.",
    )
    cases = dict(claim_rows(section))
    if any("limited" in words for words in cases):
        yield prose(
            "A worker that is limited to a project passes over the jobs of the others; it and a worker",
            "of all projects claimed in turn from the same queue.",
        )
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
        f"A whole server with such a snapshot was given {number(through['fed_per_s'])} jobs a",
        f"second and ran {number(through['jobs_per_s'])} a second (median of",
        f"{len(through['held'])} windows of {number(through['window_s'])} s). After",
        f"{number(end['done'])} jobs {number(end['waiting'])} were waiting. In the first window",
        f"the server took {number(first['server'])} % of a core and PostgreSQL",
        f"{number(first['postgres'])} %, in the last {number(last['server'])} % and",
        f"{number(last['postgres'])} %, and after the snapshot was closed",
        f"{number(after['server'])} % and {number(after['postgres'])} %. Warnings in the server's",
        f"log: {number(len(through['warnings']))}.",
    )


def idle(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        f"{number(section['workers'])} idle workers are connected to one server; then",
        f"{number(section['queued'])} jobs are queued that none of them can run. Processor time is",
        f"in percent of one core, over {number(section['window_s'])} s. Statements are those of",
        "the server, as PostgreSQL logs them. PSS divides shared pages among processes; anonymous",
        "memory belongs to the server alone.",
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
        f"For each worker the server holds {number(section['server_kb_per_worker']['anonymous'])}",
        f"KB. At the end {number(section['connected_at_the_end'])} of {number(section['workers'])}",
        "were connected. The most frequent statements of the server while they are idle:",
    )
    asked = at(section, "figures", "idle workers", "most_frequent_per_s") or {}
    yield table(
        ["statement", "per second"],
        [(f"`{words.replace('|', '¦')}`", number(per_s)) for words, per_s in asked.items()],
    )


def memory(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        f"Servers while {number(section['jobs'])} no-op jobs run, in several rounds (memory that",
        "grows from round to round would be a leak); and a worker with all of its",
        f"{number(section['sleepers'])} slots in use by sleeping jobs, without the memory of the",
        "jobs. Figures are MB of PSS, which counts a shared page once, with RSS in brackets.",
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


def startup(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        "Milliseconds from the start of a program until it has ended, or until its log says that",
        f"it is ready or connected; {section['rounds']} rounds. Every program that talks to a",
        "server has to start the interpreter and import grpc. `bin/hodei` is the wrapper that",
        "finds the environment first. *New*: a worker that has to register.",
    )
    yield table(
        ["program", "ms"], [(f"`{program}`", spread(ms)) for program, ms in section["ms"].items()]
    )


def soak(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        f"{number(section['jobs'])} jobs in {number(section['minutes'])} minutes at",
        f"{number(section['jobs_per_s'])} a second; dead rows were counted every 5 s. The queue",
        f"never held more than {number(section['longest_queue'])} jobs. A job wrote",
        f"{number(section.get('wal_kb_per_job'))} kB of WAL, including checkpoints.",
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
