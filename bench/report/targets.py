"""What Hodei has set itself, as data: each target names a figure of docs/figures.json, and what it
is to be.

Ratios compare figures of one run on one machine: they are what holds elsewhere."""

import operator
from dataclasses import dataclass

from bench.report.figures import (
    How,
    behind,
    claim,
    dead_rows,
    full_worker,
    idle,
    level,
    loaded_server,
    log_memory,
    peer,
    per_s,
    percent,
    ratio,
    slowest_log,
    start,
    value,
)


@dataclass(frozen=True)
class Target:
    name: str
    unit: str
    how: How
    sign: str  # ≥, ≤ or <: on which side of the bound it is to be
    bound: float | None  # None: there is only an aim, or only a word
    aim: float | None = None
    beside: tuple[str, How] | None = None  # another figure in the same unit that belongs to it
    words: str = ""  # instead of a bound

    def met(self, figure: float, bound: float) -> bool:
        return bool(
            {"≥": operator.ge, "≤": operator.le, "<": operator.lt}[self.sign](figure, bound)
        )


QUEUED, SH, ARGV = (
    per_s("server path, queued"),
    per_s("sh -c true, real worker"),
    per_s("argv true, real worker"),
)
TOLD = level("default")
NO_ROOM = "idle workers, jobs that none can run"
SHALLOW = claim("shallow", "p99")

SPEED = [
    Target("no-op jobs from a full queue", "/s", QUEUED, "≥", 12_000, 20_000),
    Target(
        "no-op jobs, beside Celery + Redis as it comes",
        "×",
        ratio(QUEUED, peer("celery+redis", "noop")),
        "≥",
        10,
    ),
    Target(
        "no-op jobs, beside Procrastinate as it comes",
        "×",
        ratio(QUEUED, peer("procrastinate", "noop")),
        "≥",
        15,
    ),
    Target(
        "no-op jobs, beside PgQueuer as it comes",
        "×",
        ratio(QUEUED, peer("pgqueuer", "noop")),
        "≥",
        2,
    ),
    Target(
        "no-op jobs, created in batches of 500 meanwhile",
        "/s",
        per_s("server path, created in batches of 500"),
        "≥",
        8_000,
        13_000,
    ),
    Target(
        "single creates, 64 at once", "/s", per_s("single creates, 64 at once"), "≥", 2_500, 5_000
    ),
    Target(
        "`sh -c true`, of what a C loop can start",
        "%",
        percent(SH, per_s("ceiling: sh -c true")),
        "≥",
        50,
        65,
    ),
    Target(
        "`sh -c true`, beside Celery + Redis as it comes",
        "×",
        ratio(SH, peer("celery+redis", "sh")),
        "≥",
        1.7,
    ),
    Target(
        "`sh -c true`, beside Celery + RabbitMQ as it comes",
        "×",
        ratio(SH, peer("celery+rabbitmq", "sh")),
        "≥",
        1.3,
    ),
    Target(
        "`sh -c true`, beside Dramatiq + Redis as it comes",
        "×",
        ratio(SH, peer("dramatiq+redis", "sh")),
        "≥",
        None,
        1,
    ),
    Target(
        "`/bin/true`, of what a C loop can start",
        "%",
        percent(ARGV, per_s("ceiling: argv true")),
        "≥",
        50,
        65,
    ),
    Target(
        "`sh -c true` at the default log level, beside the quiet one",
        "%",
        percent(TOLD, level("quiet")),
        "≥",
        95,
    ),
    Target(
        "`sh -c true` at the default log level, of what a C loop can start",
        "%",
        percent(TOLD, level("ceiling")),
        "≥",
        50,
    ),
    Target(
        "10 log lines a job, beside `sh -c true`",
        "%",
        percent(per_s("10 log lines, real worker"), SH),
        "≥",
        90,
    ),
    Target(
        "submit to worker, idle system, p50",
        "ms",
        value("latency", "ms", "submit to the worker", "p50"),
        "≤",
        3,
        2,
    ),
    Target(
        "submit to worker, idle system, p99",
        "ms",
        value("latency", "ms", "submit to the worker", "p99"),
        "≤",
        6,
        4,
    ),
]

DEPTH = [
    Target(
        "claim p99 in the deep queue, beside a shallow one",
        "×",
        ratio(claim("deep", "p99"), SHALLOW),
        "≤",
        2,
    ),
    Target(
        "claim p99 after many dead rows, vacuumed",
        "×",
        ratio(claim("dead", "vacuumed", "p99"), SHALLOW),
        "≤",
        2,
    ),
    Target(
        "claim p99 among dead rows that an old snapshot keeps",
        "ms",
        claim("old", "held, from where the last claim ended", "p99"),
        "≤",
        None,
        beside=("from the head", claim("old", "held, from the head", "p99")),
        words="no vacuum can remove them, so that a claim from the head reads all of them; a "
        "server begins where its last claim ended",
    ),
    Target("dead rows of `job_queue` in the soak, median", "", dead_rows("job_queue"), "≤", 2_000),
    Target("dead rows of `leases` in the soak, median", "", dead_rows("leases"), "≤", 2_000),
]

LOGS = [
    Target("one job's log: the slowest case", "lines/s", slowest_log, "≥", 300_000, 1_000_000),
    Target("one job's log: server's memory above idle", "MB", log_memory("server"), "≤", 100),
    Target(
        "one job's log: worker's memory above idle",
        "MB",
        log_memory("agent", "supervisor"),
        "≤",
        100,
    ),
    Target("one job's log: a reader is behind, p99", "s", behind("p99"), "<", 1),
]

COST = [
    Target(
        "idle workers: server's processor", "% of a core", idle("cpu_percent", "server"), "<", 10
    ),
    Target("idle workers: statements", "/s", idle("statements_per_s"), "≤", 2),
    Target(
        "server's memory for each idle worker",
        "KB",
        value("idle", "server_kb_per_worker", "anonymous"),
        "≤",
        60,
    ),
    Target(
        "idle workers and jobs none can run: server",
        "% of a core",
        idle("cpu_percent", "server", scene=NO_ROOM),
        "<",
        10,
    ),
    Target(
        "a server's memory under load",
        "MB",
        loaded_server("pss_mb"),
        "≤",
        150,
        beside=("RSS", loaded_server("rss_mb")),
    ),
    Target(
        "a worker's memory with all slots taken",
        "MB",
        full_worker("pss_mb"),
        "≤",
        60,
        beside=("RSS", full_worker("rss_mb")),
    ),
    Target("`hodei --help`", "ms", start("hodei --help"), "≤", 150),
    Target("`hodei job submit`", "ms", start("hodei job submit"), "≤", 250),
    Target(
        "`hodei-worker` until it is connected", "ms", start("hodei-worker to connected"), "≤", 1_000
    ),
]

TARGETS = [*SPEED, *LOGS, *DEPTH, *COST]
