"""The registration of a worker: it uses a one-time token, or the API key of a registrar, to make its
identity known to the servers. What happens when a server refuses the worker's credential is here
too."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc.aio
from loguru import logger

import hodei_worker
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei.tls.address import Address
from hodei.tls.bad import BadTls
from hodei.tls.caller import open_channel
from hodei.tls.grpc_words import without_grpc
from hodei_worker.config import INVALID_TOKEN, BadSetting, Settings
from hodei_worker.credentials import PATIENCE_S, Credentials
from hodei_worker.identity import Identity, new

ANSWER_WITHIN_S = 10.0
"""Seconds that a server may take to answer; after that the call has failed."""

REFUSALS = {
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
}

NEW_TOKEN = "create a new one with `hodei token create`"  # noqa: S105  words
NEW_KEY = "`hodei apikey create --role registrar` makes keys that register workers"

Metadata = tuple[tuple[str, str], ...]

CHANNEL_OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # The default is a minute. With less than 10 s a slow link is closed while data is in flight.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.enable_retries", 0),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A name may stand for several servers, as a headless Service of Kubernetes does.
    (
        "grpc.service_config",
        '{"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": true}}]}',
    ),
)


class GiveUp(Exception):
    """Another attempt cannot succeed. The message says what a person must do."""


class Revoked(GiveUp):
    """This worker was revoked: its jobs run elsewhere."""


class AskOthers(GiveUp):
    """By the word of one server this worker was revoked, and the host is to become another one.
    That is final once the other servers say so too."""


class Registration:
    """`credentials` has the identity that the worker connects with. It is replaced if it was
    revoked."""

    def __init__(
        self, settings: Settings, credentials: Credentials, is_last: Callable[[Address], bool]
    ) -> None:
        """`is_last` says whether no other server than this one is left to ask."""
        self._settings = settings
        self._credentials = credentials
        self._is_last = is_last
        self._successor = new()  # used if the identity was revoked

    async def after_refusal(
        self, address: Address, refusal: grpc.aio.AioRpcError, level: Callable[[], str]
    ) -> bool:
        """Called when a server did not accept the secret that was presented. Returns True if the
        worker may connect at once: with another secret, or registered anew. False: it is to try
        again later. Raises GiveUp if another attempt cannot succeed."""
        revoked = _is_revoked(refusal)
        if not revoked and self._credentials.present_another():
            words = (
                "{} does not accept this worker's credential: trying another one that it has kept"
            )
            logger.info(words, address)
            return True
        try:
            return await self._register_anew(address, refusal, level)
        except AskOthers:
            raise
        except GiveUp as final:
            if revoked:
                raise Revoked(str(final)) from final
            if not self._credentials.patient:
                raise
            self._say_that_it_waits(address, final)
            return False

    async def _register_anew(
        self, address: Address, refusal: grpc.aio.AioRpcError, level: Callable[[], str]
    ) -> bool:
        if self._settings.token is None and self._settings.key is None:
            raise GiveUp(
                f"{refusal.details()}; create a token with `hodei token create`, and pass it in"
                " HODEI_OTP_TOKEN or with --token-file; or pass a registrar's API key with --api-key-file"
            ) from refusal
        logger.info(
            "{} does not accept this worker's credential (it is new, or was revoked): registering with"
            " the {}",
            address,
            "API key" if self._settings.token is None else "token",
        )
        return await self.register(address, level)

    def _say_that_it_waits(self, address: Address, final: GiveUp) -> None:
        """A warning at the first refusal; later ones are INFO."""
        refused_for_s = self._credentials.refused_for_s
        logger.log(
            "INFO" if refused_for_s > 1.0 else "WARNING",
            "{} does not accept this worker's credential: {}; trying for {:.0f} s more, as a database"
            " that is being restored may not know it yet",
            address,
            final,
            PATIENCE_S - refused_for_s,
        )

    async def register(self, address: Address, level: Callable[[], str]) -> bool:
        """Returns False after an error that is logged, at `level`: the caller may call again.
        Raises GiveUp if the server refuses the token, or the key.

        A revoked id stays revoked: the same token (or key) then registers this host as a new
        worker, with an id and a secret of its own. One server that lies is not enough for that:
        raises AskOthers while there are others."""
        said = self._key_for(address)
        try:
            opened = open_channel(grpc.aio, address, self._settings.tls, CHANNEL_OPTIONS)
        except BadTls as error:
            logger.log(level(), "cannot register with {}: {}", address, error)
            return False
        async with opened as channel:
            stub = hodei_pb2_grpc.WorkerServiceStub(channel)
            try:
                registered = await self._first_accepted(stub, said, address)
            except grpc.aio.AioRpcError as error:
                if said and error.details() == INVALID_TOKEN:
                    words = "{} is of an older release, which registers workers with tokens only"
                    logger.warning(words, address)
                    return False
                if error.code() in REFUSALS:
                    again = NEW_KEY if said else NEW_TOKEN
                    raise GiveUp(f"{error.details()}; {again}") from error
                words = without_grpc(error.details() or "")
                logger.log(level(), "cannot register with {}: {}", address, words)
                return False
        if registered is self._successor:
            self._succeed()
        logger.info("registered with {}", address)
        return True

    def _key_for(self, address: Address) -> Metadata:
        """What says the key, if there is no token. Raises GiveUp if it cannot be read, or must not
        be sent to this server."""
        key = self._settings.key
        if self._settings.token is not None or key is None:
            return ()
        try:
            return key.metadata(address.target, private=address.is_private)
        except BadSetting as error:
            raise GiveUp(str(error)) from error

    async def _first_accepted(self, stub: Any, said: Metadata, address: Address) -> Identity:
        identity = self._credentials.identity
        register = functools.partial(stub.Register, timeout=ANSWER_WITHIN_S, metadata=said)
        try:
            await register(self._request(identity))
            return identity
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAUTHENTICATED:
                raise
            if identity.registered and not self._is_last(address):
                raise AskOthers(f"by its word worker {identity.worker_id} is revoked") from error
        await register(self._request(self._successor))
        return self._successor

    def _request(self, identity: Identity) -> pb.RegisterRequest:
        return pb.RegisterRequest(
            token=self._settings.token or "",
            worker_id=identity.worker_id,
            secret_sha256=identity.secret_sha256,
            name=self._settings.name,
            version=hodei_worker.__version__,
        )

    def _succeed(self) -> None:
        """Makes the successor this worker's identity. The leases that the worker still holds belong
        to the old id: servers refuse them, and their jobs are killed."""
        before, now = self._credentials.identity, self._successor
        self._credentials.replace(now)
        self._successor = new()
        logger.configure(extra={"worker_id": now.worker_id})
        words = "worker {} was revoked: this host is now worker {}"
        logger.warning(words, before.worker_id, now.worker_id)


def _is_revoked(refusal: grpc.aio.AioRpcError) -> bool:
    """Returns whether the server says that the credential is right, and was revoked."""
    return ("hodei-credential", "revoked") in tuple(refusal.trailing_metadata() or ())
