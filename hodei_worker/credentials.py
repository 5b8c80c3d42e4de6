"""Which secret the worker presents, and when it makes another one.

A renewal: the new secret is kept on disk, its hash is announced on the stream, and a server stores
it. From then on the worker presents the new secret, which is in force once a server has accepted
it. Whatever is lost on the way (a reply, the database's last hours, the worker itself), the worker
still has each secret that servers may know, and presents one after the other."""

import time
from collections.abc import Callable
from pathlib import Path

from loguru import logger

from hodei_worker.config import BadSetting
from hodei_worker.identity import Identity, Secret, keep

PATIENCE_S = 600.0
"""Seconds for which a worker that has registered before presents secrets that are refused: a
database that is being restored does not know them yet."""

RENEWALS_APART_S = 3600.0
"""Least seconds between two secrets that the worker makes, whatever servers say."""

AGAIN_AFTER_S = 60.0
"""Seconds after which a secret is announced again, if no server has said that it is stored, or one
has refused it."""


class Credentials:
    """The secrets of one worker; it is used on one event loop. `clock` counts seconds, and `now` is
    the Unix time."""

    def __init__(
        self,
        state_dir: Path,
        identity: Identity,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.identity = identity
        self._state_dir = state_dir
        self._clock = clock
        self._now = now
        self._presented = identity.secrets[identity.in_force]
        self._refused: set[bytes] = set()  # secrets, since one was accepted last
        self._refused_since: float | None = None  # since when each of them was refused
        self._renew_at: float | None = None  # None: the server of this stream cannot renew secrets
        self._announce_at = 0.0
        self._made_at: float | None = None

    # ── the start of a stream ──

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a stream starts with."""
        value = f"Bearer {self.identity.worker_id}:{self._presented.value.hex()}"
        return (("authorization", value),)

    def present_another(self) -> bool:
        """Called when the presented secret was refused. False: each of them has been, and they are
        presented from the first one on again."""
        self._refused.add(self._presented.value)
        if self._presented is self.identity.announced:  # this server is of an older release
            self._announce_at = self._clock() + AGAIN_AFTER_S
        for secret in self.identity.secrets:
            if secret.value not in self._refused:
                self._presented = secret
                return True
        self._refused.clear()
        self._presented = self.identity.secrets[self.identity.in_force]
        if self._refused_since is None:
            self._refused_since = self._clock()
        return False

    @property
    def patient(self) -> bool:
        """Returns whether it is worth while to present the secrets again, though each was refused:
        servers have known them, and refuse them for less than PATIENCE_S."""
        since = self._refused_since
        return self.identity.registered and (since is None or self._clock() - since < PATIENCE_S)

    @property
    def refused_for_s(self) -> float:
        """Seconds since each secret was refused first, without one being accepted."""
        return 0.0 if self._refused_since is None else self._clock() - self._refused_since

    def record_accepted(self, renew_in_s: float | None) -> None:
        """A server has accepted the presented secret. `renew_in_s`: when it is to be replaced;
        None: this server is of an older release, and cannot replace it."""
        before = self.identity
        self.identity = before.with_accepted(self._presented, self._now())
        if self.identity.in_force < before.in_force:
            logger.info("the worker's credential was renewed")
            self._announce_at = 0.0
        elif self.identity.in_force > before.in_force:
            logger.warning(
                "servers know only a credential from before the last renewal;"
                " was the database restored? It will be renewed again"
            )
        self._presented = self.identity.secrets[self.identity.in_force]
        if self.identity != before:
            self._keep("what is kept there is older, and still good for the next start")
        self._refused.clear()
        self._refused_since = None
        self._renew_at = None if renew_in_s is None else self._clock() + renew_in_s

    def replace(self, identity: Identity) -> None:
        """Makes this the worker's identity, as its id was revoked. Raises BadSetting."""
        keep(self._state_dir, identity)
        self.identity = identity
        self._presented = identity.secrets[identity.in_force]
        self._refused.clear()
        self._refused_since = None

    # ── renewal ──

    def announcement(self) -> bytes | None:
        """Returns the hash to announce now on the stream, for which a new secret may be made. None:
        there is nothing to announce."""
        if self._renew_at is None or self._clock() < self._announce_at:
            return None
        secret = self.identity.announced or self._made()
        if secret is None:
            return None
        self._announce_at = self._clock() + AGAIN_AFTER_S
        return secret.sha256

    def _made(self) -> Secret | None:
        """A new secret, on disk, if the one in force is due to be replaced. None: it is not, or the
        disk is full."""
        now = self._clock()
        if self._renew_at is None or now < self._renew_at:
            return None
        if self._made_at is not None and now - self._made_at < RENEWALS_APART_S:
            return None
        before = self.identity
        self.identity = before.with_next()
        self._made_at = now
        if not self._keep("the worker's credential is not renewed; trying again in an hour"):
            self.identity = before
            return None
        return self.identity.announced

    def record_stored(self, sha256: bytes) -> bool:
        """A server has stored an announced hash: the next stream starts with that secret. False: it
        is the hash of another one, or nothing was announced."""
        secret = self.identity.announced
        if secret is None or secret.sha256 != sha256:
            return False
        self._presented = secret
        return True

    def _keep(self, otherwise: str) -> bool:
        try:
            keep(self._state_dir, self.identity)
        except BadSetting as error:
            logger.warning("{}: {}", error, otherwise)
            return False
        return True
