"""Workers in containers of a Docker Engine.

The token is copied into the container before its start, as a file that only root there can read.
The worker runs as root in its container with few capabilities, and its jobs as another user, who
can read neither the token nor the worker's credential."""

import io
import tarfile
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import docker.errors
import requests
from docker.types import LogConfig

from hodei.domain.provider import Settings
from hodei.providers.calls import Calls
from hodei.providers.contract import (
    MOST_INSTANCES,
    STOP_S,
    Engine,
    Instance,
    Order,
    ProviderError,
    Unanswered,
)
from hodei.providers.docker_client import Client, connect
from hodei.tls import caller
from hodei.tls.bad import BadTls

T = TypeVar("T")

CLUSTER, PROVIDER, WORKER, NUMBER, MADE = (
    f"hodei.provider.{word}" for word in ("cluster", "id", "worker", "number", "made")
)
"""Labels of our containers. Those of jobs have others (docs/docker.md), so that no sweep of a
worker's takes another worker."""

TOKEN_PLACE = "run/hodei/token"  # noqa: S105  a path
CA_PLACE = "run/hodei/ca.pem"

SOCKET = "/var/run/docker.sock"
"""Where a worker finds the engine's socket in its container."""

CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID")
"""What a worker needs to run jobs as another user and to clean up after them."""

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
"""The engine's name → the one of the label hodei/arch; other names are the same."""

LAST_LINES = 20
"""Lines of an ended container's log that are read."""


class Docker:
    """A provider (contract.py)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._calls = Calls(settings.place)
        self._client: Client | None = None

    async def contact(self) -> Engine:
        return await self._run(self._contact)

    async def instances(self, cluster_id: uuid.UUID) -> list[Instance]:
        return await self._run(lambda client: _instances(client, cluster_id))

    async def make(self, order: Order) -> bool:
        return await self._run(lambda client: _make(client, order))

    async def words(self, name: str) -> str:
        return await self._run(lambda client: _words(client, name))

    async def remove(self, name: str) -> None:
        await self._run(lambda client: _remove(client, name))

    async def close(self) -> None:
        client, self._client = self._client, None
        if client:
            await self._calls.run(client.close)

    async def _run(self, call: Callable[[Client], T]) -> T:
        """Calls the engine in a thread, and says errors in our words."""
        try:
            return await self._calls.run(lambda: call(self._connected()))
        except docker.errors.APIError as error:
            raise ProviderError(f"the engine refused: {error.explanation or error}") from error
        except (docker.errors.DockerException, requests.RequestException, OSError) as error:
            self._client = None
            words = f"no engine answers at {self._settings.place}: {_cause(error)}"
            raise Unanswered(words) from error
        except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            words = f"the engine at {self._settings.place} answered what no engine answers"
            raise ProviderError(words) from error

    def _connected(self) -> Client:
        if self._client is None:
            self._client = connect(self._settings)
        return self._client

    def _contact(self, client: Client) -> Engine:
        client.close()  # an old connection may lead to an engine that the path leads to no more
        info = client.info()
        machine = str(info["Architecture"])[:60]
        try:
            client.inspect_image(self._settings.image)  # type: ignore[no-untyped-call]
            has_image = True
        except docker.errors.NotFound:
            has_image = False
        return Engine(
            id=str(info["ID"])[:200],
            os=str(info["OSType"])[:60],
            arch=ARCHITECTURES.get(machine, machine),
            has_image=has_image,
        )


def _cause(error: BaseException) -> str:
    """The words of the system, which docker-py and requests wrap in several others."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        inner = found.__cause__ or found.__context__
        found = inner or next((a for a in found.args if isinstance(a, BaseException)), None)
    return str(error)


def _instances(client: Client, cluster_id: uuid.UUID) -> list[Instance]:
    filters = {"label": [f"{CLUSTER}={cluster_id}"]}
    found = client.containers(all=True, filters=filters, limit=MOST_INSTANCES)
    found = found[:MOST_INSTANCES]
    all_of_them = (_instance(one["Names"][0], one["Labels"], one["State"]) for one in found)
    return [one for one in all_of_them if one]


def _instance(name: Any, labels: Any, state: Any) -> Instance | None:
    """None: a hand has made it, with labels that are none of ours."""
    try:
        return Instance(
            name=str(name).lstrip("/")[:200],
            provider_id=uuid.UUID(labels[PROVIDER]),
            worker_id=uuid.UUID(labels[WORKER]),
            number=int(labels[NUMBER]),
            made_s=float(labels[MADE]),
            ended=state not in {"created", "running", "restarting", "paused"},
        )
    except (KeyError, ValueError, TypeError, IndexError):
        return None


def _make(client: Client, order: Order) -> bool:
    settings = order.settings
    files = {TOKEN_PLACE: f"{order.token}\n".encode()} | _ca(settings.server_ca)
    try:
        container = client.create_container(
            settings.image,
            command=_command(order),
            name=order.name,
            user="0",
            environment={
                "HODEI_SERVER_ADDRESS": ",".join(order.servers),
                "HODEI_OTP_TOKEN_FILE": f"/{TOKEN_PLACE}",
                **({"HODEI_TLS_CA": f"/{CA_PLACE}"} if CA_PLACE in files else {}),
            },
            labels={
                CLUSTER: str(order.cluster_id),
                PROVIDER: str(settings.provider_id),
                WORKER: str(order.worker_id),
                NUMBER: str(order.number),
                MADE: f"{order.made_s:.3f}",
            },
            host_config=_host_config(client, settings),
        )
    except docker.errors.APIError as error:
        if error.status_code == 409:
            return _is_made(client, order)
        raise
    try:
        client.put_archive(container["Id"], "/", _archive(files))
        client.start(container["Id"])
    except docker.errors.APIError:
        client.remove_container(container["Id"], v=True, force=True)
        raise
    return True


def _is_made(client: Client, order: Order) -> bool:
    """Whether the container that has the name is the one of this order. ProviderError: it is none
    of ours, and no list has it."""
    try:
        found = client.inspect_container(order.name)
    except docker.errors.NotFound:
        return False  # it has gone meanwhile, and the next reconciliation makes another one
    labels = found["Config"]["Labels"] or {}
    one = _instance(found["Name"], labels, found["State"]["Status"])
    ours = str(order.cluster_id), order.settings.provider_id
    if one is None or (labels.get(CLUSTER), one.provider_id) != ours:
        raise ProviderError(f"the name {order.name} is taken by a container that is not ours")
    return one.worker_id == order.worker_id


def _command(order: Order) -> list[str]:
    """By flags, since click splits what the environment says of a repeatable one at blanks."""
    settings = order.settings
    words = [
        *("hodei-worker", "--name", order.name, "--worker-id", str(order.worker_id)),
        *("--slots", str(settings.slots), "--job-user", settings.job_user),
        *("--on-worker-exit", "kill", "--executor", "process"),
    ]
    if settings.docker_socket:
        words += ["--executor", "docker", "--docker-socket", SOCKET]
    if settings.ephemeral:
        words += ["--max-jobs", "1"]
    for key, value in sorted(settings.labels.items()):
        words += ["--label", f"{key}={value}"]
    return words


def _host_config(client: Client, settings: Settings) -> Any:
    mounted = [f"{settings.socket_path}:{SOCKET}:rw"]
    return client.create_host_config(
        network_mode=settings.network,
        init=True,
        binds=mounted if settings.docker_socket else None,
        cap_drop=["ALL"],
        cap_add=list(CAPABILITIES),
        security_opt=["no-new-privileges"],
        log_config=LogConfig(type="local", config={"max-size": "10m", "max-file": "2"}),
    )


def _ca(path: str) -> dict[str, bytes]:
    """The file with the CAs, by its place in the container; nothing without a path."""
    if not path:
        return {}
    try:
        return {CA_PLACE: caller.read(path, "config.server_ca")}
    except BadTls as error:
        raise ProviderError(str(error)) from None


def _archive(files: Mapping[str, bytes]) -> bytes:
    """A tar of these files and their folder, which only root can enter."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, mode in (("run", 0o755), (TOKEN_PLACE.rpartition("/")[0], 0o700)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for name, content in files.items():
            file = tarfile.TarInfo(name)
            file.size, file.mode = len(content), 0o400
            tar.addfile(file, io.BytesIO(content))
    return packed.getvalue()


def _words(client: Client, name: str) -> str:
    try:
        state = client.inspect_container(name)["State"]
        log = client.logs(name, stdout=True, stderr=True, tail=LAST_LINES)
    except docker.errors.NotFound:
        return "it was removed by somebody else"
    lines = [line for line in log.decode(errors="replace").splitlines() if line.strip()]
    last = f"; its last words: {lines[-1][-200:]}" if lines else ""
    if state.get("Running"):
        return f"it runs{last}"
    return f"it ended with exit code {int(state['ExitCode'])}{last}"


def _remove(client: Client, name: str) -> None:
    try:
        client.stop(name, timeout=STOP_S)
        client.remove_container(name, v=True, force=True)
    except docker.errors.NotFound:
        return
    except docker.errors.APIError as error:
        if error.status_code != 409:  # its removal is under way
            raise
