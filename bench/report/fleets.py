"""What the model says of a fleet on machines of its own: the least of several walls decides."""

from dataclasses import dataclass
from typing import Any

from bench.report.figures import at
from bench.report.model import CLAIM_AT_MOST, ROUND_S, Model, batch_of, frames_of
from hodei.store import database

CONNECTIONS = database.POOL_SIZE + 1
"""Of one server: its pool and its listener."""

HEARTBEAT_S = 10.0
STATEMENTS_A_ROUND = 2
"""The claim, and what is recorded of accepts and results together."""

WAL_KB = 5.1
"""A job's whole story, where the figures do not say."""

BUSY = 0.8
"""Of its cores a database can use so much before answers become slow. An assumption."""

DISK_MB_PER_S = 500.0
"""What the disk of a large database takes of WAL. An assumption."""


@dataclass(frozen=True)
class Fleet:
    """What the model says of these numbers of servers and workers and one database; each wall in jobs per
    second."""

    servers: int
    workers: int
    database_cores: int
    walls: dict[str, float]
    server_us: float
    postgres_us: float
    wal_kb: float
    statements_per_s: float

    @property
    def wall(self) -> str:
        return min(self.walls, key=lambda name: self.walls[name])

    @property
    def per_s(self) -> float:
        return self.walls[self.wall]

    @property
    def cores_of_servers(self) -> float:
        return self.per_s * self.server_us / 1e6

    @property
    def cores_of_database(self) -> float:
        return self.per_s * self.postgres_us / 1e6

    @property
    def wal_mb_per_s(self) -> float:
        return self.per_s * self.wal_kb / 1e3

    @property
    def heartbeats_per_s(self) -> float:
        return self.workers / HEARTBEAT_S

    @property
    def connections(self) -> int:
        return self.servers * CONNECTIONS


SERVERS, PROCESSOR, WAL = "servers", "database's processor", "database's WAL"


def fleet(
    model: Model,
    sections: dict[str, Any],
    servers: int = 10,
    workers: int = 5_000,
    database_cores: int = 32,
) -> Fleet:
    wal_kb = float(at(sections, "soak", "wal_kb_per_job") or WAL_KB)
    idle = float(at(sections, "idle", "figures", "idle workers", "statements_per_s") or 2.0)
    frames, rate, walls = frames_of(servers, workers), 10_000.0, dict[str, float]()
    for _ in range(50):
        batch = batch_of(rate, servers)
        server_us, postgres_us = model.server.us(batch, frames), model.postgres.us(batch, frames)
        walls = {
            SERVERS: servers * 1e6 / (server_us + postgres_us),
            PROCESSOR: BUSY * database_cores * 1e6 / postgres_us,
            WAL: DISK_MB_PER_S * 1e3 / wal_kb,
        }
        rate = (rate + min(walls.values())) / 2
    rounds = max(servers / ROUND_S, rate / CLAIM_AT_MOST)
    return Fleet(
        servers,
        workers,
        database_cores,
        walls,
        server_us,
        postgres_us,
        wal_kb,
        STATEMENTS_A_ROUND * rounds + servers * idle,
    )


def servers_until_the_database(
    model: Model, sections: dict[str, Any], workers: int = 5_000, database_cores: int = 32
) -> Fleet:
    """With how many servers they are not the first wall any more."""
    servers = 1
    while (
        found := fleet(model, sections, servers, workers, database_cores)
    ).wall == SERVERS and servers < workers:
        servers += 1
    return found


def alone_per_s(model: Model) -> float:
    """One server and two workers: it and its statements take turns. What the wall of the servers is
    tested by."""
    frames, rate = frames_of(1, 2), 10_000.0
    for _ in range(50):
        batch = batch_of(rate, 1)
        rate = (
            rate + 1e6 / (model.server.us(batch, frames) + model.postgres.us(batch, frames))
        ) / 2
    return rate
