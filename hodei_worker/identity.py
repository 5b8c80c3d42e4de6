"""The identity of a worker: an id and its secrets. It is made before the first call and kept in the
state folder, which one process at a time owns. credentials.py has how it is used and renewed."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hodei_worker.config import BadSetting

KEPT_S = 60 * 86_400.0
"""Seconds for which a secret is kept after another one has replaced it: a database may be restored
to before that."""

MOST_KEPT = 6
"""Secrets that are kept, the newest; renewals are weeks apart."""

SECRET_BYTES = 32


@dataclass(frozen=True)
class Secret:
    """One secret of the worker. It never leaves this host but to a server, on a stream's start."""

    value: bytes  # random; the database gets only its SHA-256
    until: float | None = None  # Unix time until which it is kept; None: nothing has replaced it

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.value).digest()

    def __repr__(self) -> str:
        return "Secret(…)"


@dataclass(frozen=True)
class Identity:
    """`secrets` are the newest first. The one `in_force` is that which a server has accepted last;
    a newer one is announced to servers until one of them accepts it."""

    worker_id: str
    secrets: tuple[Secret, ...]
    in_force: int = 0
    registered: bool = True  # some server has accepted it

    @property
    def secret_sha256(self) -> bytes:
        return self.secrets[self.in_force].sha256

    @property
    def announced(self) -> Secret | None:
        """The secret that is to replace the one in force, if there is one."""
        return self.secrets[0] if self.in_force else None

    def with_next(self) -> "Identity":
        """The same worker with a newer secret than the one in force. It has none yet."""
        return replace(self, secrets=(_new_secret(), *self.secrets)[:MOST_KEPT], in_force=1)

    def with_accepted(self, secret: Secret, now: float) -> "Identity":
        """The same worker after a server has accepted this secret at the Unix time `now`. Secrets
        that it replaces are dropped KEPT_S later."""
        at = [one.value for one in self.secrets].index(secret.value)
        older = [
            replace(one, until=one.until or now + KEPT_S)
            for one in self.secrets[at + 1 :]
            if one.until is None or one.until > now
        ]
        newer = self.secrets[:at]
        accepted = Secret(secret.value)
        return replace(self, secrets=(*newer, accepted, *older), in_force=at, registered=True)


def _new_secret() -> Secret:
    return Secret(secrets.token_bytes(SECRET_BYTES))


def own(state_dir: Path) -> int:
    """Makes the folder and locks it as long as this process lives. Returns the lock's descriptor.
    Raises BadSetting if the folder is not writable or another process has locked it."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(state_dir, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(lock, 20).decode().strip() or "unknown"
        os.close(lock)
        raise BadSetting(
            f"--state-dir {state_dir}: another hodei-worker (pid {pid}) uses it; stop that one or choose another folder"
        ) from None
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        raise _unwritable(state_dir, error) from error
    return lock


def _unwritable(state_dir: Path, error: OSError) -> BadSetting:
    return BadSetting(
        f"--state-dir {state_dir}: cannot write there ({error.strerror}); choose another folder"
    )


def instance(state_dir: Path) -> str:
    """Returns a name for this folder and this boot of the host.

    Only one process at a time owns the folder. A new process with the same name therefore proves
    that the one before is dead, and may take over its stream at once. A copy of the folder, on this
    host or another, has a different name and may not."""
    place = state_dir.stat()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return str(
        uuid.uuid5(
            uuid.NAMESPACE_OID, f"{boot} {place.st_dev} {place.st_ino} {state_dir.resolve()}"
        )
    )


def is_kept(state_dir: Path) -> bool:
    return (state_dir / "identity.json").exists()


def load(state_dir: Path) -> Identity:
    """Reads the kept identity, or makes and keeps a new one. Raises BadSetting if the file is
    damaged or cannot be written."""
    path = state_dir / "identity.json"
    if is_kept(state_dir):
        try:
            return _of_json(json.loads(path.read_text()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadSetting(
                f"{path} is damaged ({error}); remove it and register again with a new token"
            ) from error
    identity = new()
    keep(state_dir, identity)
    return identity


def new() -> Identity:
    return Identity(str(uuid.uuid4()), (_new_secret(),), registered=False)


def _of_json(kept: dict[str, Any]) -> Identity:
    """Of the file of this release, or of one before, which had one secret only. Raises ValueError,
    KeyError, TypeError or AttributeError."""
    in_force = bytes.fromhex(kept["secret"])
    found = tuple(
        Secret(bytes.fromhex(one["secret"]), one.get("until")) for one in kept.get("secrets", [])
    ) or (Secret(in_force),)
    if any(len(one.value) != SECRET_BYTES for one in found):
        raise ValueError(f"expected secrets of {SECRET_BYTES} bytes")
    if any(not isinstance(one.until, int | float | None) for one in found):
        raise ValueError("expected numbers of seconds as until")
    at = [one.value for one in found].index(in_force)
    worker_id = str(uuid.UUID(kept["worker_id"]))
    return Identity(worker_id, found, at, kept.get("registered") is not False)


def _as_json(identity: Identity) -> dict[str, Any]:
    """Releases before read `worker_id` and `secret`."""
    return {
        "worker_id": identity.worker_id,
        "secret": identity.secrets[identity.in_force].value.hex(),
        "secrets": [
            {"secret": one.value.hex()} | ({"until": one.until} if one.until else {})
            for one in identity.secrets
        ],
        "registered": identity.registered,
    }


def keep(state_dir: Path, identity: Identity) -> None:
    """Replaces the kept identity in one step, so that a crash or a full disk leaves the old or the
    new one. Raises BadSetting."""
    path = state_dir / "identity.json"
    fresh = path.with_suffix(".new")
    try:
        _write(fresh, json.dumps(_as_json(identity)).encode())
        fresh.replace(path)
        _sync_folder(state_dir)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise _unwritable(state_dir, error) from error


def _write(path: Path, content: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # left by a crash, perhaps with another mode
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Makes the names in a folder last, where the file system can do so."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
