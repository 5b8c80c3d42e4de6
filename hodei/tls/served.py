"""What a server serves by TLS: the files are looked at once a second at a handshake, so that they can
be replaced while it runs. Streams that are open stand.

Failure: what is new in the files is checked before it is taken. If it does not fit, what was served
before is served on, and the log has a warning."""

import contextlib
import stat
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import grpc
from loguru import logger

from hodei.domain.text import shown
from hodei.tls.bad import BadTls
from hodei.tls.caller import read, stamp_of
from hodei.tls.pair import Pair, checked_pair, load_certificates

LOOK_EVERY_S = 1.0
"""Seconds between two looks at the files: many handshakes may come at once."""

SOON = timedelta(days=21)
"""Before the end of a certificate, when the log begins to warn of it."""

T = TypeVar("T")
Stamp = tuple[tuple[int, int, int], ...]


class Watched(Generic[T]):
    """The content of files, as `check` has made it of their bytes. Any thread may ask for it."""

    def __init__(
        self,
        files: dict[str, str],
        check: Callable[..., T],
        taken: Callable[[T], None] = lambda _content: None,
    ) -> None:
        """`files`: the path of each file, by the flag that gave it. `taken` is called with each new
        content. BadTls: they do not fit."""
        self._files = files
        self._check = check
        self._taken = taken
        self._looking = threading.Lock()
        self._looked_at = time.monotonic()
        self._stamp = self._stamped()
        self.content = self._read()

    def look(self) -> T:
        """The content, which is read again if the files have changed since the last look."""
        with self._looking:
            if time.monotonic() - self._looked_at >= LOOK_EVERY_S:
                self._looked_at = time.monotonic()
                self._take_if_changed()
            return self.content

    def _take_if_changed(self) -> None:
        before, self._stamp = self._stamp, self._stamped()
        if self._stamp == before:
            return
        try:
            self.content = self._read()
        except BadTls as error:
            words = "{}; what was served before is served on"
            logger.warning(words, shown(str(error)))
        else:
            logger.info("the files {} were replaced: now {}", self._named(), self.content)
            self._taken(self.content)

    def _read(self) -> T:
        found = [read(path, flag) for flag, path in self._files.items()]
        try:
            return self._check(*found)
        except BadTls as error:
            raise BadTls(f"{self._named()}: {error}") from None

    def _stamped(self) -> Stamp:
        return tuple(map(stamp_of, self._files.values()))

    def _named(self) -> str:
        return ", ".join(f"{flag} {path}" for flag, path in self._files.items())


class ClientCas(NamedTuple):
    """CAs whose certificates a listener asks its callers for."""

    pem: bytes

    def __str__(self) -> str:
        return f"{self.pem.count(b'-----BEGIN ')} CAs of clients"


def checked_cas(pem: bytes) -> ClientCas:
    """BadTls: they are no certificates in PEM."""
    load_certificates(pem)
    return ClientCas(pem)


class ServedPair:
    """The certificate and the key of a server, for all its listeners."""

    def __init__(self, cert: str, key: str) -> None:
        """BadTls: they do not fit together, or are of no use for gRPC."""
        files = {"--tls-cert": cert, "--tls-key": key}
        self._pair = Watched(files, checked_pair, lambda pair: _warn(pair, key))
        logger.info("TLS: {}", self._pair.content)
        _warn(self._pair.content, key)

    @property
    def expires_at(self) -> datetime:
        """When the certificate expires that is served now."""
        return self._pair.content.expires_at

    def credentials(self, client_ca: str | None) -> grpc.ServerCredentials:
        """What a listener serves. With `client_ca`, a file of CAs, a caller must show a certificate
        of one of them. BadTls: that file does not fit."""
        cas = Watched({"client-ca": client_ca}, checked_cas) if client_ca else None
        served = (self._pair.content, cas.content if cas else None)

        def changed() -> Any:
            """Called at each handshake, in a thread of gRPC. It must not raise."""
            nonlocal served
            found = (self._pair.look(), cas.look() if cas else None)
            if found == served:
                return None
            served = found
            return _configuration(*found)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(*served), changed, require_client_authentication=cas is not None
        )


def _configuration(pair: Pair, cas: ClientCas | None) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(pair.key, pair.certificates)], cas and cas.pem
    )


def _warn(pair: Pair, key: str) -> None:
    """Warns of what is served all the same."""
    if pair.expires_at - datetime.now(UTC) < SOON:
        logger.warning("the certificate that is served expires soon: it is {}", pair)
    with contextlib.suppress(OSError):  # it may be gone again
        if Path(key).stat().st_mode & stat.S_IROTH:
            words = "every user of this host can read --tls-key {}: chmod o-r"
            logger.warning(words, shown(key))
