"""The peers: what each is started with, as it comes and as its own documentation advises for many
short jobs.

Nobody logs each job, here or on our side: that costs as much as the job. Each runs one worker,
which may use the whole machine."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers.setup import Tools

PROGRAMS = Path(__file__).with_name("programs")

Argv = Callable[[Tools], list[str]]


@dataclass(frozen=True)
class Setting:
    words: str
    noop: int  # how many of those: about three seconds of work on two cores
    sh: int
    argv: tuple[str, ...] = ()
    options: dict[str, object] = field(default_factory=dict)  # in the peer's own names
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    name: str
    service: str
    package: str
    worker: Argv
    enqueue: Argv  # takes the kind and the number of jobs behind it
    settings: dict[str, Setting]
    left: str | None = None  # the question to the database that says how many jobs are not done


def _python(*argv: str) -> Argv:
    return lambda tools: [str(tools["python"]), *argv]


def _node(*argv: str) -> Argv:
    return lambda tools: [str(tools["node"]), str(PROGRAMS / "graphile.js"), *argv]


def _enqueue(module: str) -> Argv:
    return _python(str(PROGRAMS / "enqueue.py"), module)


CELERY = _python(
    "-m", "celery", "-A", "celery_app", "worker", "--loglevel=WARNING", "-n", "bench@localhost"
)
CELERY_TUNED: dict[str, object] = {
    "worker_prefetch_multiplier": 64,
    "worker_disable_rate_limits": True,
    "task_ignore_result": True,
}
CELERY_QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
CELERY_DEFAULT_WORDS = "as it comes: a process per core"
CELERY_TUNED_WORDS = "prefetch 64, no rate limits, no results, without gossip, mingle and heartbeat"

PEERS = [
    Peer(
        "celery+redis",
        "redis",
        "celery",
        CELERY,
        _enqueue("celery_app"),
        {
            "default": Setting(CELERY_DEFAULT_WORDS, 4_000, 1_500),
            "tuned": Setting(CELERY_TUNED_WORDS, 4_000, 1_500, CELERY_QUIET, CELERY_TUNED),
        },
    ),
    Peer(
        "celery+rabbitmq",
        "rabbitmq",
        "celery",
        CELERY,
        _enqueue("celery_app"),
        {
            "default": Setting(CELERY_DEFAULT_WORDS, 8_000, 2_000),
            "tuned": Setting(CELERY_TUNED_WORDS, 8_000, 2_000, CELERY_QUIET, CELERY_TUNED),
        },
    ),
    Peer(
        "dramatiq+redis",
        "redis",
        "dramatiq",
        _python("-m", "dramatiq", "dramatiq_app"),
        _enqueue("dramatiq_app"),
        {
            "default": Setting("as it comes: a process per core, 8 threads each", 10_000, 3_000),
            "tuned": Setting(
                "a process per core, 2 threads each, prefetch 200",
                20_000,
                3_000,
                ("--threads", "2"),
                environment={"dramatiq_queue_prefetch": "200"},
            ),
        },
    ),
    Peer(
        "procrastinate",
        "postgres",
        "procrastinate",
        _python(str(PROGRAMS / "procrastinate_app.py")),
        _enqueue("procrastinate_app"),
        {
            "default": Setting("as it comes: one job at a time", 1_500, 800),
            "tuned": Setting(
                "20 jobs at a time, done jobs deleted",
                1_500,
                800,
                options={"concurrency": 20, "delete_jobs": "always"},
            ),
        },
        "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')",
    ),
    Peer(
        "pgqueuer",
        "postgres",
        "pgqueuer",
        _python(str(PROGRAMS / "pgqueuer_app.py")),
        _enqueue("pgqueuer_app"),
        {
            "default": Setting("as it comes: batches of 10", 8_000, 1_500),
            "tuned": Setting(
                "batches of 200, 800 jobs at a time",
                40_000,
                3_000,
                options={"batch_size": 200, "max_concurrent_tasks": 800},
            ),
        },
        "SELECT count(*) FROM pgqueuer",
    ),
    Peer(
        "graphile-worker",
        "postgres",
        "graphile-worker",
        _node("work"),
        _node("enqueue"),
        {
            "default": Setting("as it comes: one job at a time", 4_000, 1_000),
            "tuned": Setting(
                "24 jobs at a time, a local queue of 500, completions in batches",
                60_000,
                2_000,
                options={
                    "concurrentJobs": 24,
                    "maxPoolSize": 24,
                    "localQueue": {"size": 500},
                    "completeJobBatchDelay": 0,
                    "failJobBatchDelay": 0,
                },
            ),
        },
        "SELECT count(*) FROM graphile_worker._private_jobs",
    ),
]
