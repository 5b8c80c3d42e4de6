"""The worker's stream to a server: register once, connect for ever, resume what is held, beat.

One task reads, one writes, neither is ever cancelled alone (that would kill the call). Failure:
whatever ends a stream, nothing of what is held is touched; the next stream says all of it again."""

import asyncio
import time
from typing import Any

import grpc
import grpc.aio
from loguru import logger

import hodei_worker
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei_worker import checks
from hodei_worker.addresses import Addresses, turns
from hodei_worker.backoff import Backoff
from hodei_worker.config import Settings
from hodei_worker.identity import Identity, instance
from hodei_worker.job_user import job_user
from hodei_worker.outbox import Outbox
from hodei_worker.pace import Pace
from hodei_worker.registration import CHANNEL_OPTIONS, GiveUp, Registration
from hodei_worker.slots import Slots

MISSED_AFTER_S = 30.0
"""Without a server's word: servers call a worker UNREACHABLE that was silent for so long."""

LOG_ACK_S = 5.0
"""For the acknowledgement of a log batch, before it is said that it takes too long."""

FINAL = {
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.PERMISSION_DENIED,
}


class StreamOver(Exception):
    """This stream is over; connect again."""


class SentAway(StreamOver):
    """By a server that ends or has too many workers, or by ourselves: nothing is wrong."""


class Session:
    def __init__(
        self, settings: Settings, identity: Identity, slots: Slots, outbox: Outbox
    ) -> None:
        self._settings = settings
        self._registration = Registration(settings, identity)
        self._addresses = Addresses(settings.servers)
        self._slots = slots
        self._outbox = outbox
        self._instance = instance(settings.state_dir)
        self._heartbeat_s = 10.0
        self._heard_at = time.monotonic()
        self._lost_after_s = 60.0  # until a server says it
        self._pause_s = 0.0  # asked for by a server that sends us away
        self.leaving = asyncio.Event()  # set: say goodbye instead of connecting again
        self.connected = False

    async def run(self) -> None:
        """For ever, on any server, until leaving; GiveUp says what a person must do."""
        backoff = Backoff()
        for address in turns(self._settings.servers):
            if self.leaving.is_set():
                return
            sent_away = False
            try:
                await self._once(address, backoff)
            except SentAway as over:
                logger.info("leaving {}: {}", address, over)
                sent_away = True
            except StreamOver as over:
                logger.warning("stream to {} ended: {}", address, over)
            except grpc.aio.AioRpcError as error:
                if await self._register_instead(address, error):
                    continue
            finally:
                self.connected = False
                if self._slots.unacknowledged_for_s() > 0:
                    self._say_of_unacknowledged(sent_away=sent_away)
            try:
                async with asyncio.timeout(max(backoff.next_s(), self._pause_s)):
                    await self.leaving.wait()
            except TimeoutError:
                self._pause_s = 0.0

    @staticmethod
    def _say_of_unacknowledged(*, sent_away: bool) -> None:
        if sent_away:
            logger.info("log batches without acknowledgement go to the next server")
        else:
            logger.warning(
                "Failed to send log batch to server: the stream ended; it is kept and sent again"
            )

    async def watch_contact(self) -> None:
        """With --on-disconnect stop: when no server has answered for as long as it takes to be
        given up, our jobs run elsewhere by now."""
        while self._settings.on_disconnect == "stop":
            await asyncio.sleep(0.5)
            if self._slots.running and time.monotonic() - self._heard_at > self._lost_after_s:
                logger.warning(
                    "no server has answered for {:g} s: {} running jobs are stopped",
                    self._lost_after_s,
                    self._slots.running,
                )
                self._slots.stop_all(
                    f"no server answered for {self._lost_after_s:g} s, and this worker stops its jobs then"
                )
                await asyncio.sleep(10.0)

    # ── registration ──

    async def _register_instead(self, address: str, error: grpc.aio.AioRpcError) -> bool:
        """After a failed call: True when the worker has registered and may connect at once; GiveUp
        when nothing can help."""
        code, words = error.code(), error.details() or ""
        if code == grpc.StatusCode.UNAUTHENTICATED:
            if self._settings.token is None:
                raise GiveUp(
                    f"{words}; give a new token by HODEI_OTP_TOKEN or --token-file (`hodei token create`)"
                ) from error
            logger.info(
                "{} does not know this worker's credential: registering with the token", address
            )
            await self._registration.register(address, self._level)
            return True
        if code in FINAL:
            raise GiveUp(words) from error
        logger.log(self._level(), "{} {}: {}", address, code.name, words)
        return False

    def _level(self) -> str:
        """Of a server that does not answer: in a deploy that passes before anybody misses this
        worker."""
        return "WARNING" if time.monotonic() - self._heard_at > MISSED_AFTER_S else "INFO"

    # ── one stream ──

    async def _once(self, address: str, backoff: Backoff) -> None:
        async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
            call = hodei_pb2_grpc.WorkerServiceStub(channel).Connect(
                metadata=self._registration.identity.metadata
            )
            try:
                await self._open(call, address)
            except (grpc.aio.AioRpcError, StreamOver) as end:
                # A server that refuses us is there all the same.
                if (
                    isinstance(end, StreamOver)
                    or channel.get_state() is not grpc.ChannelConnectivity.READY
                ):
                    self._addresses.failed(address)
                raise
            backoff.reset()
            logger.success("connected to {}", address)
            self.connected = True
            ended: BaseException | None = None
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._read(call))
                    group.create_task(self._write(call))
                    group.create_task(self._beat())
                    await self._watch(call)
            except* (
                grpc.aio.AioRpcError,
                StreamOver,
            ) as ends:  # reader and writer may both have found it; its status says most
                ended = min(ends.exceptions, key=lambda end: isinstance(end, StreamOver))
            finally:
                call.cancel()
            if ended:
                raise ended from None

    async def _open(self, call: Any, address: str) -> None:
        try:
            async with asyncio.timeout(15.0):
                await call.write(pb.WorkerFrame(hello=self._hello(address)))
                frame = await call.read()
        except TimeoutError:
            raise StreamOver("no welcome within 15 s") from None
        except asyncio.InvalidStateError:
            frame = grpc.aio.EOF
        if not isinstance(frame, pb.ServerFrame):
            await self._raise_status(call)
        try:
            checks.welcome(frame.welcome)
        except checks.BadFrame as error:
            raise StreamOver(f"the server's welcome is refused: {error}") from None
        self._addresses.met(address, frame.welcome.server_id)
        self._heartbeat_s = frame.welcome.heartbeat_s or 10.0
        self._lost_after_s = frame.welcome.lost_after_s or self._lost_after_s
        skew_s = time.time() - frame.welcome.clock_unix_us / 1e6
        if abs(skew_s) > 5:
            logger.warning(
                "this host's clock differs from the server's by {:.0f} s; times of log lines will show it",
                skew_s,
            )
        # of the last stream and since: a result among it could overtake its log, which begins anew
        self._outbox.clear()
        for resume in frame.welcome.resume:
            self._slots.resumed(resume)
        self._slots.say_late_again()
        self._heard_at = time.monotonic()

    def _hello(self, address: str) -> pb.Hello:
        return pb.Hello(
            protocol_min=1,
            protocol_max=1,
            instance=self._instance,
            name=self._settings.name,
            version=hodei_worker.__version__,
            slots=self._settings.slots,
            labels=self._settings.labels,
            capabilities=["process", "recall"],
            held=self._slots.held(),
            addresses=self._addresses.said(address),
            job_user=job_user(self._settings),
        )

    async def _read(self, call: Any) -> None:
        while True:
            frame = await call.read()
            if not isinstance(frame, pb.ServerFrame):
                await self._raise_status(call)
            self._heard_at = time.monotonic()
            self._take(frame)

    def _take(self, frame: pb.ServerFrame) -> None:
        try:
            checks.frame(frame, self._slots.waiting)
        except checks.BadFrame as error:
            raise StreamOver(f"the server's frame is refused: {error}") from None
        for ack in frame.log_acks:
            self._slots.log_acked(ack.lease, ack.next_seq)
        for lease in frame.result_acks:
            self._slots.result_acked(lease)
        for refusal in frame.refused:
            self._slots.refused(refusal.lease, refusal.why)
        for offer in frame.run:
            self._slots.offered(offer)
        if frame.recall:
            self._slots.recalled(frame.recall)
        for cancel in frame.cancel:
            self._slots.cancel(cancel.lease, cancel.reason, cancel.message)
        if frame.drain:
            logger.info("drained by request: no new jobs come, those that run go on")
        if frame.undrain:
            logger.info("drained no more: new jobs come again")
        if frame.HasField("go_away"):
            self._pause_s = min(5.0, frame.go_away.reconnect_after_s)
            raise SentAway(frame.go_away.why)

    async def _write(self, call: Any) -> None:
        pace = Pace()
        while True:
            await self._outbox.something()
            if (wait_s := pace.wait_s(time.monotonic())) > 0:
                await self._outbox.gather(wait_s)
            pace.sent(time.monotonic())
            frame = self._outbox.frame()
            self._slots.lines.flush()
            try:
                await call.write(frame)
            except asyncio.InvalidStateError:
                raise StreamOver("closed while writing") from None

    async def _beat(self) -> None:
        """Every heartbeat_s, and within a second of a change in what is held."""
        while True:
            self._slots.changed.clear()
            self._outbox.heartbeat(self._slots.heartbeat())
            await asyncio.sleep(min(1.0, self._heartbeat_s))
            try:
                async with asyncio.timeout(max(0.0, self._heartbeat_s - 1.0)):
                    await self._slots.changed.wait()
            except TimeoutError:
                continue

    async def _watch(self, call: Any) -> None:
        """Ends the stream when the server is silent, or when this worker leaves; says when logs go
        unacknowledged."""
        told = False
        while not self.leaving.is_set():
            try:
                async with asyncio.timeout(1.0):
                    await self.leaving.wait()
            except TimeoutError:
                stalled = self._slots.unacknowledged_for_s() > LOG_ACK_S
                if stalled and not told:
                    logger.warning(
                        "Log batch send timed out after {:g} seconds without acknowledgement; it is kept",
                        LOG_ACK_S,
                    )
                told = stalled
                if time.monotonic() - self._heard_at > 2.5 * self._heartbeat_s:
                    raise StreamOver(
                        f"the server was silent for {2.5 * self._heartbeat_s:g} s"
                    ) from None
        await call.done_writing()
        raise SentAway("this worker is ending")

    @staticmethod
    async def _raise_status(call: Any) -> None:
        """The call has ended: as its error, or, when the server closed it without one, as
        StreamOver."""
        code, details = await call.code(), await call.details()
        if code == grpc.StatusCode.OK:
            raise StreamOver("closed by the server")
        raise grpc.aio.AioRpcError(
            code, await call.initial_metadata(), await call.trailing_metadata(), details=details
        )
