"""docs/scaling.md: the curves, the model, what it says of a larger fleet, and where the wall is."""

import statistics
from collections.abc import Callable, Iterable

from bench.report import fleets, model
from bench.report.figures import Figures, at
from bench.report.words import NOT_MEASURED, PARTS, bullets, name, number, page, plot, prose, table

CURVES = {
    "servers": (
        "servers",
        "Two workers that run nothing for each server; no-op jobs from a full queue.",
    ),
    "workers": (
        "workers",
        "Workers of 16 slots that run nothing, on two servers: more of them share a claim, and "
        "fewer jobs share a frame.",
    ),
    "depths": (
        "queued jobs",
        "Two servers, two workers; the first jobs of a queue that stays so deep.",
    ),
    "slots": (
        "slots",
        "One real worker and jobs of `sh -c true`: more slots start more processes at once, until "
        "the processor is full.",
    ),
}


def scaling(figures: Figures) -> str:
    sections = figures.get("sections", {})
    measures = sections.get("scaling")
    intro = prose(
        "How jobs per second change with servers, workers, slots and queue; a model fitted to some",
        "of the points and checked against the others; what it says of a larger fleet, and where",
        "the wall is. Everything is made from [figures.json](figures.json) by `python -m",
        "bench.report`.",
    )
    if not measures:
        return page("# Scaling", intro, NOT_MEASURED)
    cores = number(measures["cores"])
    everything = prose(
        f"Servers, workers, PostgreSQL and whoever enqueues share {cores} cores here, so that more",
        f"of everything soon means less for each. A point is the median of {measures['rounds']}",
        f"rounds of {number(measures['jobs'])} jobs (a tenth of them on a real worker). In the",
        "plots a full point was used to fit the model, a ring was held out, small points are",
        "single rounds, the line is the model. Under the parts stand microseconds of processor",
        "for each job; *idle* is what no core did.",
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
        yield "Too few of the points to fit it to were measured."
        return
    yield prose(
        "A job costs each part of the system *fixed + per batch ÷ jobs of a batch + per frame ×",
        "frames of a job* microseconds of processor. The jobs of a batch are what one server",
        f"gathers in {number(model.ROUND_S * 1e3)} ms (jobs/s × {number(model.ROUND_S * 1e3)} ms ÷",
        "servers): the rate decides the batch, the batch the rate, and the model takes what",
        f"agrees with itself. The frames of a job follow from how the {model.CLAIM_AT_MOST} jobs",
        "of a claim fall on the server's workers: with few workers many jobs share a frame, with",
        "very many each has one of its own. On one machine",
    )
    yield f"    time of a job = (server + worker + PostgreSQL) ÷ {fitted.cores} cores + wait ÷ servers"
    yield prose(
        "The wait is what one server cannot do at the same time as anything else: its claims and",
        "its commits, one after the other. Work and wait are added, instead of the larger one",
        "taken, because neither hides behind the other entirely. The constants are fitted by least",
        "squares of the relative errors; none may be below zero. A queue's depth is not in the",
        "model: claims walk an index.",
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
        "µs ÷ slots: with one slot a job waits for"
        " all that happens between two jobs, with many only for the processor."
    )


def _commit_words(sections: Figures) -> str:
    ms = at(sections, "latency", "ms", "creating statement by psycopg", "p50")
    if ms is None:
        return ""
    return (
        f"A durable commit with its round trip takes {number(ms)} ms here (p50 of a creating "
        "statement): whoever creates one job after the"
        f" other gets {number(1000 / ms)} a second at most, and a server that commits batches "
        "does not notice."
    )


def _errors(fitted: model.Model, points: list[model.Point]) -> Iterable[str]:
    held = [point for point in points if not point.fitted and _said_of(point, fitted)[0] != "–"]
    yield "### How wrong it is"
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
        f"At the points that it was fitted to it is wrong by {number(_mean(used))} % on average,",
        f"by {number(max(map(abs, used)))} % at worst; at those that it had not seen by",
        f"{number(_mean(errors))} % on average, by {number(max(map(abs, errors)))} % at worst:",
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
            "The wall of the servers below is not fitted but follows from the constants: a server",
            "and its statements take turns, so that it does 1 ÷ (server + PostgreSQL) jobs a",
            "second. For one server by itself, with cores to spare, that is",
            f"{number(fleets.alone_per_s(fitted))}; measured were {number(alone[0].per_s)}.",
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
        "Nobody has measured this: it is what the constants say of servers, workers and database",
        "on machines of their own, where the least of the walls decides. Two of them rest on",
        f"assumptions: a database can use {fleets.BUSY * 100:.0f} % of its cores, and its",
        f"disk takes {number(fleets.DISK_MB_PER_S)} MB of WAL a second. A job writes "
        f"{number(ten.wal_kb)} kB of WAL"
        + (
            ", as in the soak. The"
            if at(sections, "soak", "wal_kb_per_job")
            else ", which is a guess until the soak is measured. The"
        ),
        "second column is",
        "the number of servers from which they are not the first wall any more.",
    )
    rows: list[tuple[str, Callable[[fleets.Fleet], str]]] = [
        ("no-op jobs per second", lambda of: number(of.per_s)),
        ("the first wall", lambda of: of.wall),
        *(
            (f"wall: {wall}", lambda of, wall=wall: f"{number(of.walls[wall])}/s")
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
        "Statements are a claim and a record of results for each round of a server, and what it",
        "asks when idle; who creates jobs adds his own. Heartbeats stay on the streams: a server",
        "writes those of a second in one statement. A server has a pool of",
        f"{fleets.CONNECTIONS - 1} connections and a listener.",
    )
    yield from _wall(fitted, ten, enough)


def _wall(fitted: model.Model, ten: fleets.Fleet, enough: fleets.Fleet) -> Iterable[str]:
    yield "## The wall, and how to move it"
    processor, wal = ten.walls[fleets.PROCESSOR], ten.walls[fleets.WAL]
    if ten.wall == fleets.SERVERS:
        first = (
            f"With {ten.servers} servers the servers are the first wall, at {number(ten.per_s)} "
            "jobs/s, and the database uses"
            f" {number(ten.cores_of_database)} of {ten.database_cores} cores. Servers hold no "
            f"state: from {enough.servers} of them on the "
            "wall is"
            f" the {enough.wall}, at {number(enough.per_s)} jobs/s."
        )
    else:
        first = (
            f"With {ten.servers} servers the first wall is the {ten.wall}, at "
            f"{number(ten.per_s)} jobs/s; more servers do not move it."
        )
    yield prose(
        first,
        "The database is the wall that cannot be moved by starting another process. What can be",
        "done, with the model's figures:",
    )
    reads = fitted.postgres.per_batch
    yield bullets(
        [
            f"**Its processor**: {number(processor)} jobs/s of {fleets.BUSY * 100:.0f} % of "
            f"{ten.database_cores} cores, "
            f"{number(ten.postgres_us)} µs a job. Of those {number(fitted.postgres.fixed)} µs are "
            "the job's own, the rest is its share "
            f"of a batch's {number(fitted.postgres.per_batch)} µs: more cores move this wall in "
            "proportion, larger batches to "
            f"{number(fleets.BUSY * ten.database_cores * 1e6 / max(1.0, fitted.postgres.fixed))} "
            "jobs/s at best.",
            f"**Its WAL**: {number(wal)} jobs/s at {number(fleets.DISK_MB_PER_S)} MB/s. A disk "
            "that takes twice as much moves it to "
            f"{number(2 * wal)}.",
            "**Partition by queue** (a queue table for each): it parts those who meet at the head "
            "of one queue, and the dead rows that "
            "they leave. The model has no cost for meeting, so it promises nothing from it: "
            "processor and WAL of a job stay what they "
            "are.",
            "**A second database**, each queue in one of them: every wall of the database twice "
            "as far, "
            f"{number(2 * min(processor, wal))} jobs/s, and twice the servers of the second "
            f"column ({2 * enough.servers}).",
            "**A read replica for the console**: it takes no job's cost away, only that of "
            "reading. If a read costs what a batch's "
            f"statements cost ({number(reads)} µs), 1,000 reads a second are "
            f"{number(1000 * reads / 1e6)} cores of the database that a "
            "replica takes over.",
        ]
    )
    yield prose(
        "What the model does not know: locks that many cores contend for (it was fitted on",
        f"{fitted.cores}), round trips over a network, caches that are too small for the tables,",
        "checkpoints on a busy disk, logs of jobs, and jobs that do something:",
        f"{number(ten.workers)} workers with 16 slots and jobs of ten seconds end",
        f"{number(ten.workers * 16 / 10)} jobs a second, whatever the servers could do.",
    )
