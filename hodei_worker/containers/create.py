"""What the engine is asked to create for a job: the container, and the files that go into it."""

import base64
import io
import tarfile
import time
from typing import Any

from hodei_worker.containers.allowed import BRIDGE, FILES, Allowed
from hodei_worker.supervisor import secrets
from hodei_worker.supervisor.executor import Start

SHELL = "/bin/sh"
WITH_STDIN = f'exec "$@" <{FILES}/stdin'

LONGEST_ARGUMENT = 100_000
"""Bytes of a command string; the kernel accepts 131,071 in one argument. A longer command is
written to a file."""

LEAST_LOG, LOG_FILES = 64 << 20, 2
"""Bytes of one file of the engine's log at least, and how many it keeps. A file holds as much as the
job's limit keeps."""

UNLIMITED_LOG = 1 << 30  # bytes of one file, for a log without a limit

UNITS = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def size(text: str) -> int:
    """Returns the bytes that 512m says."""
    text = text.lower()
    unit = UNITS.get(text[-1:], 0)
    return int(text[:-1]) * unit if unit else int(text)


def labels(start: Start, owner: str) -> dict[str, str]:
    return {
        "hodei.cluster": start.cluster,
        "hodei.worker": owner,
        "hodei.job": start.job_id,
        "hodei.attempt": str(start.attempt),
        "hodei.lease": str(start.lease),
    }


def name(start: Start, owner: str) -> str:
    """The name of a job's container. It has the beginning of the database's id, as leases of two
    databases may be equal."""
    return f"hodei-job-{start.lease}-{(start.cluster or owner)[:8]}"


class Program:
    """What runs in the container, with the files that it reads."""

    def __init__(self, spec: dict[str, Any], image: dict[str, Any]) -> None:
        """`image`: the Config of the image, for what the spec leaves to it."""
        self.files: dict[str, bytes] = {}
        self.entrypoint, self.arguments = self._what_to_run(spec, image)
        if "stdin" in spec or "stdin_base64" in spec:
            data = spec.get("stdin")
            raw = base64.b64decode(spec["stdin_base64"]) if data is None else data.encode()
            self.files["stdin"] = raw
            self.arguments = [*self.entrypoint, *self.arguments]
            self.entrypoint = [SHELL, "-c", WITH_STDIN, SHELL]

    def _what_to_run(
        self, spec: dict[str, Any], image: dict[str, Any]
    ) -> tuple[list[str], list[str]]:
        if (script := spec.get("script")) is not None:
            self.files["script"] = script.encode()
            return [*(spec.get("interpreter") or [SHELL])], [f"{FILES}/script"]
        command = spec.get("command") or []
        if isinstance(command, str):
            whole = command.encode()
            if len(whole) <= LONGEST_ARGUMENT:
                return [SHELL, "-c", command], []
            self.files["command"] = whole
            return [SHELL, f"{FILES}/command"], []
        if entrypoint := spec.get("entrypoint"):
            return [entrypoint], list(command)
        own = image.get("Entrypoint") or []
        return list(own), list(command or image.get("Cmd") or [])

    @property
    def first(self) -> str:
        """The program that is started; empty if neither the job nor the image names one."""
        return (self.entrypoint or self.arguments or [""])[0]

    def archive(self) -> bytes:
        """Returns the files as a tar. Every user of the container can read them, and run those that
        are programs."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            for filename, data in self.files.items():
                info = tarfile.TarInfo(filename)
                info.size, info.mode, info.mtime = len(data), 0o555, int(time.time())
                tar.addfile(info, io.BytesIO(data))
        return content.getvalue()


def body(
    start: Start,
    program: Program,
    image: str,
    allowed: Allowed,
    owner: str,
    proxies: dict[str, str],
) -> dict[str, Any]:
    """Returns the body of the call that creates the container. Raises NotAllowed."""
    spec = start.spec
    environment = {
        **proxies,
        **secrets.environment(spec, start.secrets),
        "HODEI_JOB_ID": start.job_id,
        "HODEI_ATTEMPT": str(start.attempt),
        "HODEI_LEASE": str(start.lease),
    }
    return {
        "Image": image,
        "Entrypoint": program.entrypoint,
        "Cmd": program.arguments,
        "Env": [f"{key}={value}" for key, value in environment.items()],
        "WorkingDir": spec.get("workdir", ""),
        "User": spec.get("user", ""),
        "Labels": labels(start, owner),
        "Volumes": {FILES: {}} if program.files else {},
        "HostConfig": _host_config(spec, allowed),
    }


def _host_config(spec: dict[str, Any], allowed: Allowed) -> dict[str, Any]:
    network = spec.get("network", BRIDGE)
    allowed.check_network(network)
    config: dict[str, Any] = {
        "Init": True,
        "Privileged": False,
        "SecurityOpt": ["no-new-privileges"],
        "NetworkMode": network,
        "Binds": [allowed.check_volume(one) for one in spec.get("volumes", [])],
        "ReadonlyRootfs": bool(spec.get("read_only", False)),
        "Tmpfs": dict(_tmpfs(one) for one in spec.get("tmpfs", [])),
        "LogConfig": _log_config(int(spec.get("log_limit", 0))),
    }
    if memory := spec.get("memory"):
        config["Memory"] = config["MemorySwap"] = size(memory)
    if cpus := spec.get("cpus"):
        config["NanoCpus"] = round(float(cpus) * 1_000_000_000)
    if pids := spec.get("pids"):
        config["PidsLimit"] = int(pids)
    if shm_size := spec.get("shm_size"):
        config["ShmSize"] = size(shm_size)
    return config


def _tmpfs(text: str) -> tuple[str, str]:
    path, _, options = text.partition(":")
    return path, options


def _log_config(limit: int) -> dict[str, Any]:
    """The driver `local` keeps bytes as they are (`json-file` does not)."""
    most = max(limit, LEAST_LOG) if limit else UNLIMITED_LOG
    options = {"max-size": str(most), "max-file": str(LOG_FILES), "compress": "false"}
    return {"Type": "local", "Config": options}
