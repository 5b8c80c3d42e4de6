"""Sections of docs/performance.md about how fast Hodei is: jobs, peers, latency, logs."""

from collections.abc import Iterable

from bench.report import targets
from bench.report.figures import LOG_KINDS, Figures, at, full_worker
from bench.report.words import (
    PARTS,
    PEERS,
    bullets,
    measured,
    name,
    number,
    plot,
    prose,
    spread,
    table,
)


def throughput(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        f"Each of {section['rounds']} rounds runs {number(section['jobs'])} no-op jobs on the",
        "server paths, and half as many where a real worker starts processes; there are two",
        "servers. *Server path*: the gRPC workers run nothing, so that only servers and",
        "PostgreSQL are measured. *Queued*: all jobs are in the queue before the first worker may",
        "take one. *Created*: jobs are created during the measurement. *Real worker*: one worker",
        "with 16 slots. *Ceiling*: a loop in C that starts the same command on all cores and does",
        "nothing else.",
    )
    yield table(
        ["path", "per second"],
        [(path, spread(figure)) for path, figure in section["per_second"].items()],
    )
    yield plot("sh", "Processes per second of Hodei and of other systems, and the ceiling")


def telling(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        "One server and one worker with 8 slots run jobs of `sh -c true` at each log level, in",
        "turn on one database. At the default level, `info`, each job makes six lines.",
    )
    rows = [(path, spread(figure)) for path, figure in section["per_second"].items()]
    yield table(["log level", "per second"], rows)


def tls(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        "Two servers of one database take turns, one of them with TLS (a certificate of ECDSA P-256).",
        "A worker that runs nothing works for each. *Connections* are opened, used for one call and",
        "closed, one after the other; the client's own work is in them. *Server* is the processor",
        "time of both servers: rates depend on what else the machine does, and it hardly does.",
    )
    for title, key in (("per second", "per_second"), ("server, µs a job", "server_us_per_job")):
        yield table(
            [title, "plain text", "TLS"],
            [
                (path, spread(of["plain text"]), spread(of["TLS"]))
                for path, of in section[key].items()
                if of
            ],
        )


def peers(section: Figures, sections: Figures) -> Iterable[str]:
    yield prose(
        "Each system has one worker that may use the whole machine. *Default* means its default",
        "settings, *tuned* means what its own documentation advises for many short jobs. All jobs",
        "are enqueued first. *No-op*: the handler only records its start in memory. *`sh`*: the",
        "handler runs `sh -c true` and waits for it. *µs a job* is processor time of the whole",
        "machine for a no-op job; *MB* is the memory (PSS) of the worker. Hodei's row shows the",
        "server path from a full queue, `sh -c true` on a real worker, and the memory of a worker",
        "with all slots in use.",
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
    yield plot("server-path", "No-op jobs per second of Hodei and of other systems")
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
        number(full_worker("pss_mb")(sections)),
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
                f"Faster than Hodei with {words} ({number(ours)}/s):",
                f"{'; '.join(faster) or 'none'}.",
            )


def latency(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        "Milliseconds from the call that submits a job until the job is where the row says, on an",
        f"idle system: {number(section['samples'])} jobs, one every",
        f"{number(section['spacing_ms'])} ms. No design could avoid the echo, the start of a",
        "process and the bare statement; they are shown for comparison.",
    )
    kinds = ("p50", "p90", "p99", "max")
    yield table(
        ["from, until", *kinds],
        [(words, *(number(ms[kind]) for kind in kinds)) for words, ms in section["ms"].items()],
    )


def logs(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        f"One job writes {number(section['lines'])} lines of 80 bytes as fast as it can; the time",
        "ends when all of them are in PostgreSQL. Equal lines compress to almost nothing, random",
        "lines not at all; real logs are between the two. *Followed*: a reader follows the log,",
        "and *behind* is the age of a line when the reader receives it.",
    )
    ceilings = {
        words.partition("lines_per_s ")[2]: per_s
        for words, per_s in section.items()
        if words.startswith("ceiling: ")
    }
    if ceilings:
        yield prose(
            "The program alone writes "
            f"{', '.join(f'{number(per_s)} lines/s {way}' for way, per_s in ceilings.items())}."
        )
    runs = {kind: section[kind] for kind in LOG_KINDS if kind in section}
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
    yield (
        "Processor time in seconds for the whole log, and the largest memory (PSS, MB) of each "
        "process, with its memory before in brackets:"
    )
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
