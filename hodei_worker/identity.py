"""The identity of a worker: an id and a secret. It is made before the first call and kept in the
state folder, which one process at a time owns."""

import fcntl
import hashlib
import json
import os
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path

from hodei_worker.config import BadSetting


@dataclass(frozen=True)
class Identity:
    worker_id: str
    secret: bytes  # 32 random bytes; the database gets only their SHA-256

    @property
    def secret_sha256(self) -> bytes:
        return hashlib.sha256(self.secret).digest()

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.worker_id}:{self.secret.hex()}"),)


def own(state_dir: Path) -> int:
    """Makes the folder and locks it as long as this process lives. Returns the lock's descriptor.
    Raises BadSetting if the folder is not writable or another process has locked it."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadSetting(
            f"--state-dir {state_dir}: cannot write there ({error.strerror}); choose another folder"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(lock, 20).decode().strip() or "unknown"
        os.close(lock)
        raise BadSetting(
            f"--state-dir {state_dir}: another hodei-worker (pid {pid}) uses it; stop that one or choose another folder"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


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
            kept = json.loads(path.read_text())
            return Identity(str(uuid.UUID(kept["worker_id"])), bytes.fromhex(kept["secret"]))
        except (ValueError, KeyError, TypeError) as error:
            raise BadSetting(
                f"{path} is damaged ({error}); remove it and register again with a new token"
            ) from error
    identity = new()
    keep(state_dir, identity)
    return identity


def new() -> Identity:
    return Identity(str(uuid.uuid4()), secrets.token_bytes(32))


def keep(state_dir: Path, identity: Identity) -> None:
    """Replaces the kept identity in one step, so that a crash leaves the old or the new one. Raises
    BadSetting."""
    path = state_dir / "identity.json"
    fresh = path.with_suffix(".new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"worker_id": identity.worker_id, "secret": identity.secret.hex()}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise BadSetting(
            f"--state-dir {state_dir}: cannot write there ({error.strerror}); choose another folder"
        ) from error
