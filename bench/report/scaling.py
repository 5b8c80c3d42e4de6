"""docs/scaling.md: the curves, the model, what it says of a larger fleet, and where the wall is."""

import statistics
from collections.abc import Callable, Iterable

from bench.report import fleets, model
from bench.report.figures import Figures, at
from bench.report.words import NOT_MEASURED, PARTS, bullets, name, number, page, plot, prose, table

CURVES = {
    "servers": (
        "servers",
        "For each server there are two workers that run nothing; the no-op jobs come from a full "
        "queue.",
    ),
    "workers": (
        "workers",
        "Workers with 16 slots that run nothing, on two servers: with more workers, more of them "
        "share a claim, and fewer jobs share a frame.",
    ),
    "depths": (
        "queued jobs",
        "Two servers, two workers; the first jobs of a queue with that many jobs.",
    ),
    "slots": (
        "slots",
        "One real worker and jobs of `sh -c true`: more slots start more processes at once, until "
        "the processor is fully used.",
    ),
}


def scaling(figures: Figures) -> str:
    sections = figures.get("sections", {})
    measures = sections.get("scaling")
    intro = prose(
        "This page shows how jobs per second change with the number of servers, workers, slots",
        "and queued jobs. A model is fitted to some of the points and compared with the others;",
        "it predicts the throughput of a larger fleet, and what limits it. `python -m",
        "bench.report` makes the page from [figures.json](figures.json).",
    )
    if not measures:
        return page("# Scaling", intro, NOT_MEASURED)
    cores = number(measures["cores"])
    everything = prose(
        f"Servers, workers, PostgreSQL and the programs that enqueue share {cores} cores here, so",
        "that more processes soon means less for each. A point is the median of",
        f"{measures['rounds']} rounds of {number(measures['jobs'])} jobs (a tenth of that on a",
        "real worker). In the plots a filled point was used to fit the model, a ring was held",
        "out, small points are single rounds, and the line is the model. The columns of the parts",
        "are microseconds of processor time for each job; *idle* is time that no core used.",
    )
    fitted, points = model.fit(measures), model.points(measures)
    curves = [
        _curve(curve, [point for point in points if point.curve == curve], fitted)
        for curve in CURVES
    ]
    return page(
        "# Scaling", intro, "## The curves", everything, *curves, *_model(fitted, points, sections)
    )


def _curve(curve: str, points: list[model.Point], fitted: model.Model | None) -> str:
    title, words = CURVES[curve]
    if not points:
        return "\n\n".join([f"### By {title}", words, NOT_MEASURED])
    parts = ("server", "worker", "postgres", "idle") if curve != "slots" else PARTS
    rows = [
        (
            number(point.x),
            f"{number(point.per_s)} ({number(min(point.all))} – {number(max(point.all))})",
            *(number(point.cpu_us.get(part)) for part in parts),
            *_said_of(point, fitted),
        )
        for point in points
    ]
    head = [title, "jobs/s", *(name(part) for part in parts), "model", "error", "used"]
    return "\n\n".join(
        [
            f"### By {title}",
            words,
            table(head, rows),
            plot(f"scaling-{curve}", f"Jobs per second by {title}"),
        ]
    )


def _said_of(point: model.Point, fitted: model.Model | None) -> tuple[str, str, str]:
    used = "to fit" if point.fitted else "held out"
    if fitted is None or (point.curve == "slots" and fitted.slots_us is None):
        return "–", "–", used
    return number(fitted.predicted(point)), f"{round(fitted.error(point)):+d} %", used


def _model(
    fitted: model.Model | None, points: list[model.Point], sections: Figures
) -> Iterable[str]:
    yield "## The model"
    if fitted is None:
        yield "Too few points were measured to fit a model."
        return
    yield prose(
        "A job costs each part of the system *fixed + per batch ÷ jobs of a batch + per frame ×",
        "frames of a job* microseconds of processor time. The jobs of a batch are what one server",
        f"gathers in {number(model.ROUND_S * 1e3)} ms (jobs/s × {number(model.ROUND_S * 1e3)} ms ÷",
        "servers). The rate depends on the batch and the batch on the rate; the model takes the",
        f"rate that fits both. The frames of a job depend on how the {model.CLAIM_AT_MOST} jobs of",
        "a claim are spread over the server's workers: with few workers many jobs share a frame,",
        "with very many each job has its own. On one machine",
    )
    yield f"    time of a job = (server + worker + PostgreSQL) ÷ {fitted.cores} cores + wait ÷ servers"
    yield prose(
        "The wait is the time of a server's claims and commits, which run one after the other and",
        "overlap with nothing. Work and wait are added, because neither overlaps with the other",
        "completely. The constants are fitted by least squares of the relative errors; none may",
        "be below zero. The depth of the queue is not in the model, because claims use an index.",
    )
    costs = {"server": fitted.server, "worker": fitted.worker, "PostgreSQL": fitted.postgres}
    rows = [
        (part, *(number(round(us, 1)) for us in (cost.fixed, cost.per_batch, cost.per_frame)))
        for part, cost in costs.items()
    ]
    yield table(["µs", "fixed", "per batch", "per frame of a job"], rows)
    yield prose(
        f"The wait is {number(fitted.wait_us)} µs a job. {_slots_words(fitted)}",
        _commit_words(sections),
    )
    yield from _errors(fitted, points)
    yield from _predictions(fitted, sections)


def _slots_words(fitted: model.Model) -> str:
    if fitted.slots_us is None:
        return "Slots were not measured."
    fixed, shared = fitted.slots_us
    return (
        f"A real worker takes {number(fixed)} µs for a job of `sh -c true`, and {number(shared)} "
        "µs ÷ slots: with one slot a job waits for everything that happens between two jobs, with "
        "many slots only for the processor."
    )


def _commit_words(sections: Figures) -> str:
    ms = at(sections, "latency", "ms", "creating statement by psycopg", "p50")
    if ms is None:
        return ""
    return (
        f"A durable commit with its round trip takes {number(ms)} ms here (p50 of a creating "
        "statement). A client that creates one job after the other can create at most "
        f"{number(1000 / ms)} a second; a server that commits batches is not limited by this."
    )


def _errors(fitted: model.Model, points: list[model.Point]) -> Iterable[str]:
    held = [point for point in points if not point.fitted and _said_of(point, fitted)[0] != "–"]
    yield "### Errors of the model"
    if not held:
        yield "No held-out point was measured."
        return
    errors = [fitted.error(point) for point in held]
    used = [
        fitted.error(point)
        for point in points
        if point.fitted and _said_of(point, fitted)[0] != "–"
    ]
    yield prose(
        f"At the points that it was fitted to, the model is wrong by {number(_mean(used))} % on",
        f"average and by {number(max(map(abs, used)))} % at most; at the points that were held",
        f"out, by {number(_mean(errors))} % on average and by {number(max(map(abs, errors)))} % at",
        "most:",
    )
    yield table(
        ["held out", "measured, jobs/s", "model, jobs/s", "error"],
        [
            (
                f"{number(point.x)} {CURVES[point.curve][0]}",
                number(point.per_s),
                *_said_of(point, fitted)[:2],
            )
            for point in held
        ],
    )
    if alone := [point for point in points if point.curve == "servers" and point.x == 1]:
        yield prose(
            "The limit of the servers below is not fitted; it follows from the constants. A server",
            "and its statements take turns, so that a server runs 1 ÷ (server + PostgreSQL) jobs a",
            f"second. For one server with enough cores that is {number(fleets.alone_per_s(fitted))}",
            f"jobs a second; {number(alone[0].per_s)} were measured.",
        )


def _mean(errors: list[float]) -> float:
    return statistics.fmean(abs(error) for error in errors)


def _predictions(fitted: model.Model, sections: Figures) -> Iterable[str]:
    ten, enough = (
        fleets.fleet(fitted, sections),
        fleets.servers_until_the_database(fitted, sections),
    )
    cores = ten.database_cores
    yield f"## {ten.servers} servers, {number(ten.workers)} workers, a database of {cores} cores"
    yield prose(
        "This is a prediction from the constants, not a measurement. It is for servers, workers and",
        "a database on machines of their own, where the lowest limit decides. Two limits are",
        f"assumptions: a database can use {fleets.BUSY * 100:.0f} % of its cores, and its",
        f"disk can write {number(fleets.DISK_MB_PER_S)} MB of WAL a second. A job writes "
        f"{number(ten.wal_kb)} kB of WAL"
        + (
            ", as in the soak. The"
            if at(sections, "soak", "wal_kb_per_job")
            else ", which is a guess until the soak is measured. The"
        ),
        "second",
        "column has the number of servers from which on the servers are not the lowest limit.",
    )
    rows: list[tuple[str, Callable[[fleets.Fleet], str]]] = [
        ("no-op jobs per second", lambda of: number(of.per_s)),
        ("the lowest limit", lambda of: of.wall),
        *(
            (f"limit: {wall}", lambda of, wall=wall: f"{number(of.walls[wall])}/s")
            for wall in ten.walls
        ),
        ("µs of a server for a job", lambda of: number(of.server_us)),
        ("µs of PostgreSQL for a job", lambda of: number(of.postgres_us)),
        ("cores of the servers, all together", lambda of: number(of.cores_of_servers)),
        ("cores of the database", lambda of: number(of.cores_of_database)),
        ("statements per second", lambda of: number(of.statements_per_s)),
        ("heartbeats per second, on streams", lambda of: number(of.heartbeats_per_s)),
        ("connections to the database", lambda of: number(of.connections)),
        ("WAL, MB per second", lambda of: number(of.wal_mb_per_s)),
    ]
    servers = [f"{of.servers} servers" for of in (ten, enough)]
    yield table(["", *servers], [(words, how(ten), how(enough)) for words, how in rows])
    yield prose(
        "Statements are one claim and one statement for results in each round of a server, and those",
        "of an idle server; creating jobs adds more. Heartbeats are sent on the streams; a server",
        "writes those of each second in one statement. A server has a pool of",
        f"{fleets.CONNECTIONS - 1} connections and one more for LISTEN.",
    )
    yield from _wall(fitted, ten, enough)


def _wall(fitted: model.Model, ten: fleets.Fleet, enough: fleets.Fleet) -> Iterable[str]:
    yield "## The limit, and how to raise it"
    processor, wal = ten.walls[fleets.PROCESSOR], ten.walls[fleets.WAL]
    if ten.wall == fleets.SERVERS:
        first = (
            f"With {ten.servers} servers the servers are the lowest limit, at {number(ten.per_s)} "
            f"jobs/s, and the database uses {number(ten.cores_of_database)} of "
            f"{ten.database_cores} cores. Servers hold no state; from {enough.servers} servers on "
            f"the limit is the {enough.wall}, at {number(enough.per_s)} jobs/s."
        )
    else:
        first = (
            f"With {ten.servers} servers the lowest limit is the {ten.wall}, at "
            f"{number(ten.per_s)} jobs/s; more servers do not raise it."
        )
    yield prose(
        first,
        "The limit of the database cannot be raised by starting another process. The possibilities,",
        "with the model's figures:",
    )
    reads = fitted.postgres.per_batch
    yield bullets(
        [
            f"**Its processor**: {number(processor)} jobs/s with {fleets.BUSY * 100:.0f} % of "
            f"{ten.database_cores} cores, {number(ten.postgres_us)} µs a job. Of these, "
            f"{number(fitted.postgres.fixed)} µs are for the job itself, and the rest is its share "
            f"of a batch's {number(fitted.postgres.per_batch)} µs. More cores raise this limit in "
            "proportion; larger batches raise it to "
            f"{number(fleets.BUSY * ten.database_cores * 1e6 / max(1.0, fitted.postgres.fixed))} "
            "jobs/s at best.",
            f"**Its WAL**: {number(wal)} jobs/s at {number(fleets.DISK_MB_PER_S)} MB/s. A disk "
            f"that is twice as fast raises it to {number(2 * wal)}.",
            "**Partition by queue** (a queue table for each): claims of different queues no "
            "longer meet at one head, nor read each other's dead rows. The model has no cost for "
            "such contention, so it predicts no gain: the processor time and WAL of a job stay "
            "the same.",
            "**A second database**, each queue in one of them: every limit of the database is "
            f"doubled, {number(2 * min(processor, wal))} jobs/s, with twice the servers of the "
            f"second column ({2 * enough.servers}).",
            "**A read replica for the console**: it does not reduce the cost of jobs, only that "
            f"of reading. If a read costs as much as the statements of a batch ({number(reads)} "
            f"µs), 1,000 reads a second are {number(1000 * reads / 1e6)} cores that a replica "
            "takes over.",
        ]
    )
    yield prose(
        "The model does not include contention of many cores for locks (it was fitted on",
        f"{fitted.cores}), round trips over a network, caches that are too small for the tables,",
        "checkpoints on a busy disk, logs of jobs, and the time of jobs that do real work:",
        f"{number(ten.workers)} workers with 16 slots and jobs of ten seconds finish",
        f"{number(ten.workers * 16 / 10)} jobs a second, whatever the servers could do.",
    )
