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
        f"{number(section['jobs'])} no-op jobs a round along the server's paths, half of them",
        f"where a real worker starts processes; {section['rounds']} rounds, two servers. *Server",
        "path*: gRPC workers that run nothing, so that what is left is servers and PostgreSQL;",
        "*queued* means that all jobs wait before the first worker may take one, *created* that",
        "they are created meanwhile. *Real worker*: one worker of 16 slots. *Ceiling*: a loop in",
        "C that starts the same command on all cores and does nothing else.",
    )
    yield table(
        ["path", "per second"],
        [(path, spread(figure)) for path, figure in section["per_second"].items()],
    )
    yield plot("sh", "Processes per second of Hodei and of the peers, beside the ceiling")


def telling(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        "One server and one worker of 8 slots at each level, by turns on one database, with jobs",
        "of `sh -c true`: at the default level, `info`, each makes five lines.",
    )
    rows = [(path, spread(figure)) for path, figure in section["per_second"].items()]
    yield table(["log level", "per second"], rows)


def peers(section: Figures, sections: Figures) -> Iterable[str]:
    yield prose(
        "What users would otherwise choose, each with one worker that may use the whole machine,",
        "as it comes and as its own documentation advises for many short jobs. All jobs are",
        "enqueued first. *No-op*: the handler notes its start in memory; `sh`: it runs `sh -c",
        "true` and waits. The processor's time is that of the whole machine for a no-op job,",
        "memory (PSS) that of the worker. Hodei's row is the server path from a full queue, `sh -c",
        "true` on a real worker, and the memory of a worker with all slots taken.",
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
                f"Ahead of Hodei with {words} ({number(ours)}/s): "
                f"{'; '.join(faster) or 'none of them'}."
            )


def latency(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        "From the call that submits a job until it is there, with nothing else to do:",
        f"{number(section['samples'])} jobs, one every {number(section['spacing_ms'])} ms;",
        "milliseconds. The echo, the spawn and the bare statement are what no design could save.",
    )
    kinds = ("p50", "p90", "p99", "max")
    yield table(
        ["from, until", *kinds],
        [(words, *(number(ms[kind]) for kind in kinds)) for words, ms in section["ms"].items()],
    )


def logs(section: Figures, _: Figures) -> Iterable[str]:
    yield prose(
        f"One job writes {number(section['lines'])} lines of 80 bytes as fast as it can; the time",
        "ends when all of them are in PostgreSQL. Lines that are alike compress to nearly",
        "nothing, random ones not at all; real logs lie between. *Followed*: somebody reads",
        "along, and *behind* is how old a line is when it is in the reader's hands.",
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
        "Seconds of processor for the whole log, and the most memory (PSS, MB) that each process "
        "held, with what it held before:"
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
