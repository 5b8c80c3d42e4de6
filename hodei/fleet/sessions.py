"""A worker's session: a stream is opened for a worker whose credential is good, what the worker
still holds goes on, and the end of the stream is written down.

Only the newest session speaks for a worker. Failure: an end that is not written down is found by
the worker's silence."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from loguru import logger

from hodei.domain.errors import (
    Duplicate,
    HodeiError,
    Invalid,
    Revoked,
    Unauthenticated,
    Unavailable,
)
from hodei.domain.job import Reason
from hodei.domain.text import words_of
from hodei.domain.timing import HEARTBEAT_S
from hodei.fleet import hellos
from hodei.fleet.credentials import renew_credential_in_s
from hodei.fleet.messages import Cancel, Drain, GoAway, LeaseSecrets, NextCredentialStored
from hodei.fleet.presence import Presence
from hodei.fleet.reach import Address
from hodei.fleet.registration import fingerprint
from hodei.fleet.stream import WorkerStream
from hodei.secrets.keys import SecretKeys
from hodei.secrets.values import SecretReader
from hodei.store import cluster, leases, sessions, worker_credentials, workers
from hodei.store.database import TROUBLE, Database
from hodei.store.worker_credentials import Refused

SILENT_AFTER_S = 2.5 * HEARTBEAT_S
"""Seconds without a message after which a stream is dead, whatever TCP says."""

MOST_ENDS = 10_000
"""Ends of streams that wait to be written down. When there are more, the database has been away for
long, and silence will tell."""


class HeldLease(NamedTuple):
    """A lease that a worker still has when it connects."""

    lease: int
    running: bool
    ended: bool  # its result is not acknowledged yet


@dataclass(frozen=True, slots=True)
class Hello:
    """What a worker says of itself when it connects."""

    worker_id: uuid.UUID
    secret: bytes
    instance: uuid.UUID
    name: str
    version: str
    slots: int
    labels: dict[str, str]
    job_user: str | None  # whom its jobs run as; None: it does not say
    about: dict[str, Any]  # its host and settings, as JSON, for people
    can_recall: bool
    can_stay: bool
    addresses: list[Address]
    held: list[HeldLease]
    projects: Sequence[str] = ()  # whose jobs alone it takes; empty: of all


class ResumedLease(NamedTuple):
    """Where a lease of a connecting worker goes on."""

    lease: int
    holds: bool  # False: the worker is to kill its job
    log_seq: int  # the next chunk that is not committed
    accepted: bool


class Opened(NamedTuple):
    """A stream that may be answered; `join` makes it known to the others."""

    stream: WorkerStream
    resumed: list[ResumedLease]
    cluster_id: str
    renew_credential_in_s: float  # until the worker is to renew its secret; 0: at once


class Sessions:
    """`slots_freed` is called when a worker has come, or may get offers again."""

    def __init__(
        self,
        database: Database,
        presence: Presence,
        slots_freed: Callable[[], None],
        values: SecretReader | None = None,
    ) -> None:
        """`values`: of secrets."""
        self._values = values or SecretReader(database, SecretKeys())
        self._database = database
        self._presence = presence
        self._slots_freed = slots_freed
        self._ended: asyncio.Queue[tuple[WorkerStream, bool]] = asyncio.Queue(MOST_ENDS)
        self._closing = ""
        self._cluster_id = ""  # read with the first worker

    @property
    def server_id(self) -> str:
        """The id of this server's process."""
        return str(self._presence.server_id)

    @property
    def can_decrypt(self) -> bool:
        """Whether workers of this server can get jobs with secrets."""
        return self._values.can_decrypt

    async def open(self, hello: Hello) -> Opened:
        """Opens a session, which ends every older one of this worker.

        Unavailable: this server is shutting down. Unauthenticated: the credential is unknown.
        Revoked: it was revoked. Duplicate: another process with this worker's id is connected and sends heartbeats.
        """
        if self._closing:
            raise Unavailable(self._closing)
        session = await self._connect(hello)
        stream = WorkerStream(
            hello.worker_id,
            session.session,
            hello.slots,
            hello.labels,
            draining=session.draining,
            name=hello.name,
            can_recall=hello.can_recall,
            can_stay=hello.can_stay,
            addresses=hello.addresses,
            projects=hello.projects,
        )
        resumed = await self._resume(stream, hello.held)
        renew_in_s = (
            0.0
            if session.outdated
            else renew_credential_in_s(hello.worker_id, session.credential_age_s)
        )
        return Opened(stream, resumed, await self._cluster(), renew_in_s)

    async def _cluster(self) -> str:
        """The database's id; empty while it is a copy, whose containers would be taken for those of
        its original."""
        if not self._cluster_id:
            found = await self._database.run(cluster.where)
            self._cluster_id = "" if found.is_copy else str(found.cluster_id)
        return self._cluster_id

    async def _connect(self, hello: Hello) -> sessions.Session:
        running = sum(1 for held in hello.held if held.running)
        greeting = sessions.Greeting(
            hello.worker_id,
            fingerprint(hello.secret),
            hello.instance,
            hello.name,
            hello.version,
            hello.slots,
            min(running, hello.slots),
            hello.labels,
            self._presence.server_id,
            hello.job_user,
            hello.about,
            hello.projects,
        )
        taken = [held.lease for held in hello.held if held.running or held.ended]
        session = await hellos.connect(self._database, greeting, taken, SILENT_AFTER_S)
        if session:
            return session
        raise await self._refusal(hello.worker_id, greeting.credential_sha256)

    async def _refusal(self, worker_id: uuid.UUID, sha256: bytes) -> HodeiError:
        cause = await self._database.run(
            lambda conn: worker_credentials.why_not(conn, worker_id, sha256)
        )
        if cause is Refused.DUPLICATE:
            return Duplicate(
                f"another process with worker id {worker_id} is connected and beating; stop it, or use another --state-dir"
            )
        words = "worker credential unknown or revoked: register with a new bootstrap token"
        return Revoked(words) if cause is Refused.REVOKED else Unauthenticated(words)

    async def _resume(self, stream: WorkerStream, held: list[HeldLease]) -> list[ResumedLease]:
        """Compares what the worker holds with the database. What holds stays with the worker, and
        cancels that were asked for meanwhile are sent to it."""
        numbers = [one.lease for one in held]
        holding = (
            await self._database.run(lambda conn: leases.held_by(conn, stream.worker_id, numbers))
            if numbers
            else {}
        )
        resumed = []
        for one in held:
            here = holding.get(one.lease)
            if here is None:
                resumed.append(ResumedLease(one.lease, holds=False, log_seq=0, accepted=False))
                continue
            resumed.append(ResumedLease(one.lease, True, here.log_seq, here.accepted))
            if not one.ended:
                stream.held[one.lease] = here.job_id
            if here.cancel_requested:
                stream.send(Cancel(one.lease, Reason.CANCELLED, "cancelled"))
        if stream.drained_by_operator:
            stream.send(Drain(on=True))
        await self._send_secrets(
            stream, [lease for lease, one in holding.items() if one.has_secrets]
        )
        return resumed

    async def _send_secrets(self, stream: WorkerStream, numbers: list[int]) -> None:
        """Sends the values of resumed leases: a supervisor that has them needs them no more, and
        another one reads no byte of the output before it has them."""
        for lease, outcome in (await self._values.of_leases(stream.worker_id, numbers)).items():
            if outcome.values is not None:
                stream.send(LeaseSecrets(lease, outcome.values))
                continue
            logger.bind(component="WorkerMonitor", worker_id=stream.worker_id).warning(
                "lease {} goes on, but its output may wait unread: {}",
                lease,
                outcome.missing_key or outcome.refusal,
            )

    async def announce_credential(self, stream: WorkerStream, sha256: bytes) -> None:
        """Stores the hash of a worker's next secret, and tells the worker so. In trouble the worker
        is not told, and says it again. Invalid: the stream has announced another one before."""
        if stream.next_credential not in (b"", sha256):
            raise Invalid(
                "next_credential_sha256: expected the one that this stream announced before"
            )
        if not stream.next_credential:
            try:
                stored = await self._database.run(
                    lambda conn: worker_credentials.announce(
                        conn, stream.worker_id, stream.session, sha256
                    )
                )
            except TROUBLE as error:
                log = logger.bind(component="WorkerMonitor", worker_id=stream.worker_id)
                log.warning("the worker's next credential is not stored: {}", words_of(error))
                return
            if not stored:
                return  # the stream is no longer the newest, or is being closed
            stream.next_credential = sha256
        stream.send(NextCredentialStored(sha256))

    def join(self, stream: WorkerStream) -> None:
        """Makes an answered stream known to the dispatcher and to all others."""
        self._presence.add(stream)
        self._slots_freed()

    def leave(self, stream: WorkerStream) -> None:
        """Takes an ended stream out and has its end written down by `run`: the caller is being
        cancelled, and must not wait for a database."""
        stream.closed.set()
        self._presence.remove(stream)
        if not self._ended.full():
            self._ended.put_nowait((stream, stream.drained_by_worker and not stream.held))

    async def run(self) -> None:
        """Writes down ends of streams, for ever."""
        while True:
            stream, stopped = await self._ended.get()
            write = sessions.leave if stopped else sessions.disconnect
            try:
                await self._database.run(
                    lambda conn, write=write, s=stream: write(conn, s.worker_id, s.session)  # type: ignore[misc]
                )
            except TROUBLE as error:
                logger.bind(component="WorkerMonitor", worker_id=stream.worker_id).warning(
                    "{}", words_of(error)
                )

    def send_away(self, why: str) -> None:
        """Sends every worker to another server and takes no new one; what runs, runs on."""
        self._closing = why
        for number, stream in enumerate(self._presence):
            stream.send(GoAway(0.05 + 0.01 * (number % 100), why))

    async def refresh(self, worker_id: uuid.UUID) -> None:
        """Brings a stream in line with its worker's row, which an operator has changed through any
        server: it is closed when the credential is revoked or the session is not the newest, and
        told when its drain begins or ends."""
        found = await self._database.run(lambda conn: workers.list_all(conn, worker_id=worker_id))
        stream = self._presence.get(worker_id)
        if not found or stream is None:
            return
        worker = found[0]
        if worker.revoked:
            stream.close("its credential was revoked")
        elif worker.session != stream.session:
            stream.close("its session no longer speaks for it")
        elif worker.draining != stream.drained_by_operator:
            stream.drained_by_operator = worker.draining
            stream.send(Drain(on=worker.draining))
            self._slots_freed()
