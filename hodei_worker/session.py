"""The worker's stream to a server: it registers once, then connects again and again, resumes the
leases it holds, and sends heartbeats.

One task reads and one writes; neither is ever cancelled alone, because that would end the call.
When a stream ends, for whatever reason, the worker keeps all its leases and reports them again on
the next stream."""

import asyncio
import time
from typing import Any

import grpc
import grpc.aio
from loguru import logger

from hodei.protocol import hodei_pb2 as pb
from hodei.tls.address import Address
from hodei.tls.bad import BadTls
from hodei.tls.caller import open_channel
from hodei_worker import checks, containers_only, leftovers, limited, stream_end
from hodei_worker.addresses import Addresses, address_rounds
from hodei_worker.backoff import Backoff
from hodei_worker.config import Settings
from hodei_worker.credentials import Credentials
from hodei_worker.elsewhere import Elsewhere
from hodei_worker.hello import hello
from hodei_worker.identity import Identity, instance
from hodei_worker.outbox import Outbox
from hodei_worker.pace import Pace
from hodei_worker.refusals import Refusals
from hodei_worker.registration import CHANNEL_OPTIONS, GiveUp, Registration
from hodei_worker.slots import Slots
from hodei_worker.stream_end import NewCredential, SentAway, StreamOver
from hodei_worker.unconnected import Unconnected

UNREACHABLE_AFTER_S = 30.0
"""Seconds of silence after which servers call a worker UNREACHABLE. From then on failed connections
are logged as warnings."""

LOG_ACK_S = 5.0
"""Seconds after which a missing acknowledgement of a log batch is logged as a warning."""

DRAINED = "draining by request: no new jobs; {} running jobs will finish"
UNDRAINED = "draining was ended by request: new jobs are accepted again"


class Session:
    def __init__(
        self, settings: Settings, identity: Identity, slots: Slots, outbox: Outbox
    ) -> None:
        self._settings = settings
        self._said: list[str] = []  # on this stream
        self._drained = False  # as the log last said, on this stream
        self._credentials = Credentials(settings.state_dir, identity)
        self._addresses = Addresses(settings.servers)
        self._refusals = Refusals(self._addresses)
        self._registration = Registration(settings, self._credentials, self._refusals.is_last)
        self._unconnected = Unconnected(settings.tls)
        self._slots = slots
        self._outbox = outbox
        self._elsewhere = Elsewhere(settings.servers, settings.tls)
        self._instance = instance(settings.state_dir)
        self._heartbeat_s = 10.0
        self._last_frame_at = time.monotonic()
        self._lost_after_s = 60.0  # the server's welcome replaces it
        self._pause_s = 0.0  # least pause before the next connection; a server asked for it
        self.leaving = asyncio.Event()  # set: end the stream, and do not connect again
        self.connected = False

    async def run(self) -> None:
        """Keeps a stream to one of the servers until `leaving` is set. Raises GiveUp, which says
        what a person must do."""
        backoff = Backoff()
        for address in address_rounds(self._settings.servers):
            here = True
            while here and not self.leaving.is_set():
                here = await self._run_once(address, backoff)
            if self.leaving.is_set():
                return
            try:
                async with asyncio.timeout(max(backoff.next_s(), self._pause_s)):
                    await self.leaving.wait()
            except TimeoutError:
                self._pause_s = 0.0

    async def _run_once(self, address: Address, backoff: Backoff) -> bool:
        """Opens a stream and keeps it to its end. Returns True if the next stream is to go to the
        same server at once: with another secret, or because the worker has registered. Raises GiveUp."""
        sent_away = here = False
        self._refusals.drop(address)
        try:
            await self._run_stream(address, backoff)
        except SentAway as over:
            logger.info("leaving {}: {}", address, over)
            sent_away, here = True, isinstance(over, NewCredential)
        except (StreamOver, BadTls) as over:
            if isinstance(over, BadTls):
                self._addresses.mark_failed(address)
            logger.warning("stream to {} ended: {}", address, over)
        except grpc.aio.AioRpcError as error:
            here = await self._after_error(address, error)
        finally:
            self.connected = False
            if self._slots.unacknowledged_for_s() > 0:
                stream_end.log_unacknowledged(sent_away=sent_away)
        self._refusals.check()
        return here

    async def watch_contact(self) -> None:
        """With --on-disconnect stop: stops the running jobs when no server has answered for
        `lost_after_s` seconds. By then servers have reported them lost and run them elsewhere."""
        while self._settings.on_disconnect == "stop":
            await asyncio.sleep(0.5)
            if self._slots.running and time.monotonic() - self._last_frame_at > self._lost_after_s:
                logger.warning(
                    "no server has answered for {:g} s: stopping {} running jobs",
                    self._lost_after_s,
                    self._slots.running,
                )
                self._slots.stop_running_jobs(
                    f"no server answered for {self._lost_after_s:g} s (--on-disconnect stop)"
                )
                await asyncio.sleep(10.0)

    async def _after_error(self, address: Address, error: grpc.aio.AioRpcError) -> bool:
        """Called after a failed call. Returns True if the worker may connect at once: it presents
        another secret, or has registered. Raises GiveUp if no server is left to ask."""
        code, words = error.code(), error.details() or ""
        try:
            if code == grpc.StatusCode.UNAUTHENTICATED:
                return await self._registration.after_refusal(address, error, self._log_level)
            if code in stream_end.FINAL_CODES:
                raise GiveUp(words) from error
        except GiveUp as final:
            self._refusals.add(address, final)
            return False
        await self._unconnected.log(self._log_level(), address, error)
        return False

    def _log_level(self) -> str:
        """The level for a failed connection. For the first UNREACHABLE_AFTER_S seconds it is INFO:
        a server that is being deployed is back before that."""
        return "WARNING" if time.monotonic() - self._last_frame_at > UNREACHABLE_AFTER_S else "INFO"

    # ── one stream ──

    async def _run_stream(self, address: Address, backoff: Backoff) -> None:
        async with open_channel(grpc.aio, address, self._settings.tls, CHANNEL_OPTIONS) as channel:
            call = stream_end.connect(channel, self._credentials.metadata)
            try:
                await self._open_stream(call, address)
            except (grpc.aio.AioRpcError, StreamOver) as end:
                # A server that refuses this worker can be reached all the same.
                if (
                    isinstance(end, StreamOver)
                    or channel.get_state() is not grpc.ChannelConnectivity.READY
                ):
                    self._addresses.mark_failed(address)
                raise
            backoff.reset()
            self._refusals.clear()
            logger.success("connected to {}", address)
            self.connected = True
            ended: BaseException | None = None
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._read_frames(call))
                    group.create_task(self._write_frames(call))
                    group.create_task(self._send_heartbeats())
                    group.create_task(self._elsewhere.look())
                    await self._watch_stream(call)
            except* (grpc.aio.AioRpcError, StreamOver) as ends:
                # Reader and writer may both have failed; the error with a status explains more.
                ended = min(ends.exceptions, key=lambda end: isinstance(end, StreamOver))
            finally:
                call.cancel()
            if ended:
                raise ended from None

    async def _open_stream(self, call: Any, address: Address) -> None:
        self._said = self._slots.supervisor.capabilities
        addresses = self._addresses.as_messages(address)
        said = hello(self._settings, self._instance, self._slots, addresses)
        try:
            async with asyncio.timeout(15.0):
                await call.write(pb.WorkerFrame(hello=said))
                frame = await call.read()
        except TimeoutError:
            raise StreamOver("the server sent no welcome within 15 s") from None
        except asyncio.InvalidStateError:
            frame = grpc.aio.EOF
        if not isinstance(frame, pb.ServerFrame):
            await stream_end.raise_status(call, frame)
        try:
            if not frame.HasField("welcome"):
                raise checks.BadFrame("expected it as the first frame, got another one")
            checks.check_welcome(frame.welcome)
        except checks.BadFrame as error:
            raise StreamOver(f"the server's welcome is invalid: {error}") from None
        containers_only.check_welcome(frame.welcome, processes=self._settings.processes)
        limited.check_welcome(frame.welcome, self._settings.projects)
        self._addresses.mark_reached(address, frame.welcome.server_id)
        self._slots.cluster_id = frame.welcome.cluster_id
        can_renew = frame.welcome.HasField("renew_credential_in_s")
        self._credentials.record_accepted(
            frame.welcome.renew_credential_in_s if can_renew else None
        )
        self._heartbeat_s = frame.welcome.heartbeat_s or 10.0
        self._lost_after_s = frame.welcome.lost_after_s or self._lost_after_s
        checks.compare_clocks(frame.welcome)
        # What was added since the last stream is dropped: its logs are sent again from the first
        # unacknowledged chunk, and a result that was kept here would be sent before them.
        self._outbox.clear()
        for resume in frame.welcome.resume:
            self._slots.on_resume(resume)
        self._slots.send_late_again()
        self._last_frame_at = time.monotonic()
        self._drained = False

    async def _read_frames(self, call: Any) -> None:
        while True:
            frame = await call.read()
            if not isinstance(frame, pb.ServerFrame):
                await stream_end.raise_status(call, frame)
            self._last_frame_at = time.monotonic()
            self._on_frame(frame)

    def _on_frame(self, frame: pb.ServerFrame) -> None:
        try:
            checks.check_frame(frame, self._slots.waiting, self._slots.slots)
        except checks.BadFrame as error:
            raise StreamOver(f"a frame of the server is invalid: {error}") from None
        for ack in frame.log_acks:
            self._slots.on_log_ack(ack.lease, ack.next_seq)
        for lease in frame.result_acks:
            self._slots.on_result_ack(lease)
        for refusal in frame.refused:
            self._slots.on_refusal(refusal.lease, refusal.why)
        for offer in frame.run:
            self._slots.on_offer(offer)
        for given in frame.secrets:
            self._slots.on_secrets(given.lease, dict(given.values))
        if frame.recall:
            self._slots.on_recall(frame.recall)
        leftovers.remove(self._slots, frame.abandoned)
        for cancel in frame.cancel:
            self._slots.on_cancel(cancel.lease, cancel.reason, cancel.message)
        if (frame.drain or frame.undrain) and frame.drain != self._drained:
            self._drained = frame.drain
            logger.info(DRAINED if frame.drain else UNDRAINED, self._slots.running)
        self._elsewhere.read(frame)
        if self._credentials.record_stored(frame.next_credential_stored):
            raise NewCredential("this worker connects again with its new credential")
        if frame.HasField("go_away"):
            self._pause_s = min(5.0, frame.go_away.reconnect_after_s)
            raise SentAway(frame.go_away.why)

    async def _write_frames(self, call: Any) -> None:
        pace = Pace()
        while True:
            await self._outbox.wait_until_due()
            if (wait_s := pace.wait_s(time.monotonic())) > 0:
                await self._outbox.wait_for_more(wait_s)
            pace.sent(time.monotonic())
            frame = self._outbox.take_frame()
            self._slots.lines.flush()
            try:
                await call.write(frame)
            except asyncio.InvalidStateError:
                raise StreamOver("it was closed while a frame was written") from None

    async def _send_heartbeats(self) -> None:
        """Sends a heartbeat every heartbeat_s, and within a second after the held leases change."""
        while True:
            self._slots.held_changed.clear()
            self._outbox.set_leftovers(leftovers.messages(self._slots))
            self._outbox.set_heartbeat(self._slots.heartbeat())
            await asyncio.sleep(min(1.0, self._heartbeat_s))
            try:
                async with asyncio.timeout(max(0.0, self._heartbeat_s - 1.0)):
                    await self._slots.held_changed.wait()
            except TimeoutError:
                continue

    async def _watch_stream(self, call: Any) -> None:
        """Raises StreamOver when the server was silent for 2.5 heartbeats, and SentAway when this
        worker is leaving. Logs a warning when logs are not acknowledged."""
        warned = False
        while not self.leaving.is_set():
            try:
                async with asyncio.timeout(1.0):
                    await self.leaving.wait()
            except TimeoutError:
                stalled = self._slots.unacknowledged_for_s() > LOG_ACK_S
                if stalled and not warned:
                    logger.warning(
                        "Log batch send timed out after {:g} seconds without acknowledgement; it is kept",
                        LOG_ACK_S,
                    )
                warned = stalled
                if (sha256 := self._credentials.announcement()) is not None:
                    self._outbox.set_next_credential(sha256)
                if self._slots.supervisor.capabilities != self._said:
                    raise SentAway("what this worker can run has changed") from None
                if time.monotonic() - self._last_frame_at > (silent_s := 2.5 * self._heartbeat_s):
                    raise StreamOver(f"the server was silent for {silent_s:g} s") from None
        await call.done_writing()
        raise SentAway("this worker is stopping")
