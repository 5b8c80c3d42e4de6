"""Faults of every kind, as methods of the system that they befall: processes that die or freeze, a
worker that lies, a network that is cut or slow, a database that restarts.

Each takes its choices from the dice of the run's seed."""

import contextlib
import os
import random
import signal
import time
import uuid
from pathlib import Path

import grpc

from hodei.local.stack import mint_token
from tests.chaos import evil
from tests.chaos.system import System
from verify.fault_proxy import FaultProxy


class Faults(System):
    def __init__(
        self, folder: Path, seed: int, *, pgbouncer: bool = False, other_tree: Path | None = None
    ) -> None:
        super().__init__(folder, pgbouncer=pgbouncer, other_tree=other_tree)
        self._dice = random.Random(seed)
        self.evil: set[str] = set()

    # ── processes ──

    def _server_killed(self) -> None:
        self._replace_server(signal.SIGKILL)

    def _server_deployed(self) -> None:
        self._replace_server(signal.SIGTERM)

    def _replace_server(self, number: signal.Signals) -> None:
        which = self._dice.choice((0, 1))
        self._end(self._servers[which], number)
        self._servers[which] = self._server(which)

    def _worker_killed(self) -> None:
        which = self._dice.choice((0, 1))
        self._end(self._workers[which], signal.SIGKILL)
        self._workers[which] = self._worker(which, None)

    def _worker_upgraded(self) -> None:
        """As `systemctl restart`: TERM, and again because it is not to wait for its jobs."""
        which = self._dice.choice((0, 1))
        part = self._workers[which]
        part.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        self._end(part, signal.SIGTERM)
        self._workers[which] = self._worker(which, None)

    def _supervisor_killed(self) -> None:
        which = str(self._folder / f"w{self._dice.choice((0, 1))}")
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"hodei_worker.supervisor" in words and which.encode() in words:
                    _kill(int(entry.name), signal.SIGKILL)

    def _frozen(self) -> None:
        part = self._dice.choice([*self._servers.values(), *self._workers.values()])
        part.process.send_signal(signal.SIGSTOP)
        time.sleep(self._dice.uniform(0.5, 6))
        part.process.send_signal(signal.SIGCONT)

    def _cancelled(self) -> None:
        with self.connect() as conn:
            found = conn.execute(
                "SELECT id::text FROM jobs WHERE completed_at IS NULL ORDER BY id"
            ).fetchall()
        if found:
            self._cancel(self._dice.choice(found)[0], self._dice.choice((0, 1)))

    # ── a worker that lies ──

    def _lied_to(self) -> None:
        """A burst of 1 to 3 s about the leases that hold and their neighbours, which come next."""
        with self.connect() as conn:
            held = conn.execute("SELECT lease, job_id::text FROM leases ORDER BY lease").fetchall()
            last = int(conn.execute("SELECT last_value FROM hodei_lease_seq").fetchall()[0][0])
        some_job = held[0][1] if held else str(uuid.uuid4())
        guesses = [*held, *((lease, some_job) for lease in range(max(1, last - 20), last + 20))]
        address = f"127.0.0.1:{self._ports[self._dice.choice((0, 1))]}"
        with contextlib.suppress(
            grpc.RpcError
        ):  # a server that a fault has just cut off from the database registers nobody
            self.evil.add(
                evil.burst(
                    self._dice, address, mint_token(self.url), guesses, self._dice.uniform(1, 3)
                )
            )

    # ── the network ──

    def _worker_cut(self) -> None:
        self._dice.choice(list(self._links.values())).cut()

    def _worker_stalled(self) -> None:
        self._for_a_while(self._dice.choice(list(self._links.values())), "stall")

    def _worker_half_open(self) -> None:
        self._for_a_while(
            self._dice.choice(list(self._links.values())),
            "half_open",
            self._dice.choice(("to", "back")),
        )

    def _worker_trickled(self) -> None:
        self._for_a_while(self._dice.choice(list(self._links.values())), "trickle", 3000)

    def _database_cut(self) -> None:
        self._dice.choice(self._to_database).cut()

    def _database_stalled(self) -> None:
        self._for_a_while(self._dice.choice(self._to_database), "stall")

    def _for_a_while(self, proxy: FaultProxy, fault: str, *how: object) -> None:
        getattr(proxy, fault)(*how)
        time.sleep(self._dice.choice([1, 3, 8]))
        proxy.heal()

    def _heal(self) -> None:
        for proxy in (*self._links.values(), *self._to_database):
            proxy.heal()

    # ── the database ──

    def _database_restarted(self) -> None:
        self._database.stop()
        time.sleep(self._dice.uniform(0, 2))
        self._database.start()

    def _database_crashed(self) -> None:
        """Immediate shutdown: every session dies in the middle of what it does, and the log is
        replayed."""
        assert self._database.pid is not None
        _kill(self._database.pid, signal.SIGQUIT)
        self._database_restarted()

    def _sessions_terminated(self) -> None:
        with self.connect() as conn:
            conn.execute("""
                SELECT pg_terminate_backend(pid) FROM (
                    SELECT pid
                    FROM pg_stat_activity
                    WHERE pid <> pg_backend_pid()
                      AND backend_type = 'client backend'
                    ORDER BY random()
                    LIMIT 3) victims""")


def _kill(pid: int, number: signal.Signals) -> None:
    descriptor = os.pidfd_open(pid)
    signal.pidfd_send_signal(descriptor, number)
    os.close(descriptor)
