"""A client of the Docker Engine API over a unix socket.

Whatever an engine answers is data: an answer has a bound in bytes, and one that is no JSON of the
expected kind is an EngineError. No call waits for ever, except those that read what a container or
a pull still has to say."""

import asyncio
import contextlib
import grp
import json
import os
import stat
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

OLDEST_API, NEWEST_API = (1, 41), (1, 47)
"""Versions of the API that this client knows: 1.41 is that of Docker 20.10."""

ANSWER_S = 60.0
"""Seconds within which an engine must answer a call; a busy disk makes creates and removals slow."""

MOST_ANSWER = 8 << 20
"""Bytes of an answer; a longer one is an EngineError."""

LONGEST_WORDS = 500
"""Characters of an engine's message that are shown; the rest is cut off."""

REDIRECTS = (301, 302, 303, 307, 308)
"""An engine leads a path with `..` to another one: no call follows it."""

NOTHING: Mapping[str, str] = {}
FOR_EVER = aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=None)


class EngineError(Exception):
    """The engine answered a call with an error. The message has its words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class EngineGone(Exception):
    """No engine answers, or it closed the connection. The message says what was tried and why it
    failed."""


class Engine:
    """A client of one Docker Engine, for the calls that jobs need."""

    def __init__(self, socket: str) -> None:
        """`socket`: path of the engine's unix socket. No call may be made before `open`."""
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None
        self._version = ""  # of the API, as v1.41; empty until an engine has answered
        self.release = 0  # the engine's own major version, as 20

    def open(self) -> None:
        """Called on the loop. It connects with the first call."""
        connector = aiohttp.UnixConnector(self._socket, limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=ANSWER_S),
            json_serialize=lambda value: orjson.dumps(value).decode(),
            auto_decompress=False,
        )

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def negotiate(self) -> None:
        """Chooses a version of the API that the engine speaks. Raises EngineGone, or EngineError if
        it speaks none that this client knows."""
        self._version = ""
        said = await self.json("GET", "/version")
        newest = _version(said.get("ApiVersion"))
        least = _version(said.get("MinAPIVersion"))
        if newest < OLDEST_API:
            words = f"the Docker Engine speaks API {_text(newest)}: expected {_text(OLDEST_API)} or later"
            raise EngineError(0, words)
        self._version = "/v" + _text(max(min(newest, NEWEST_API), least))
        with contextlib.suppress(ValueError, AttributeError):
            self.release = int(said["Version"].partition(".")[0])

    async def listens(self) -> bool:
        """Whether the engine takes new connections. One that is being stopped ends its containers,
        and still answers on the connections that it has."""
        try:
            _, writer = await asyncio.open_unix_connection(self._socket)
        except OSError:
            return False
        writer.close()
        return True

    async def json(
        self, method: str, path: str, body: Any = None, query: Mapping[str, str] = NOTHING
    ) -> Any:
        """Returns the answer, which must be an object or a list. Raises EngineError or EngineGone."""
        content = await self.call(method, path, body, query)
        try:
            found = orjson.loads(content)
        except ValueError:
            found = None
        if not isinstance(found, dict | list):
            raise EngineError(0, f"the Docker Engine's answer to {method} {path} is no JSON")
        return found

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] = NOTHING,
    ) -> bytes:
        """Returns the answer's content. `body`: bytes, or what becomes JSON."""
        async with self._request(method, path, body, NOTHING, None, query) as answer:
            return await _read(answer)

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] = NOTHING,
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """Gives the answer's content while it comes, without a time limit. Reads of it raise what
        `broken` turns into EngineGone."""
        async with self._request(method, path, None, headers, FOR_EVER, query) as answer:
            yield answer.content

    async def wait(self, container: str) -> int:
        """Returns the exit code when the container has ended. It waits without a time limit."""
        path = f"/containers/{container}/wait"
        async with self._request("POST", path, None, NOTHING, FOR_EVER, NOTHING) as answer:
            content = await _read(answer)
        try:
            return int(json.loads(content)["StatusCode"])
        except (ValueError, KeyError, TypeError):
            raise EngineGone("the Docker Engine ended the wait without an exit code") from None

    @contextlib.asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        body: Any,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout | None,
        query: Mapping[str, str],
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._session  # noqa: S101  open was called
        url = f"http://docker{self._version}{_checked(path)}"
        more: dict[str, Any] = {"timeout": timeout} if timeout else {}
        more |= {"data": body} if isinstance(body, bytes) else {"json": body} if body else {}
        try:
            async with self._session.request(
                method, url, params=query, headers=headers, allow_redirects=False, **more
            ) as answer:
                if answer.status >= 400 or answer.status in REDIRECTS:
                    raise EngineError(answer.status, _error(await _read(answer), answer.status))
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise EngineGone(self._why(error)) from error

    def _why(self, error: Exception) -> str:
        """Returns why no engine could be asked, with what an operator can do."""
        where = f"no Docker Engine answers at {self._socket}"
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        if isinstance(cause, PermissionError):
            return f"{where}: no permission; {_group_of(self._socket)}"
        if isinstance(cause, FileNotFoundError):
            return f"{where}: there is no such file"
        if isinstance(cause, TimeoutError):
            return f"{where}: it was silent for {ANSWER_S:g} s"
        if isinstance(cause, OSError) and cause.strerror:
            return f"{where}: {cause.strerror}"
        return f"{where}: {shown(str(error)) or type(error).__name__}"


def _checked(path: str) -> str:
    """Returns a path as it stands in a URL. EngineError: a name in it would lead to another path,
    since clients and engines resolve `.`, `..` and `//`."""
    if any(part in ("", ".", "..") for part in path.split("/")[1:]):
        raise EngineError(
            0, f"{shown(path)} is no path of an engine: expected parts without . and .."
        )
    return quote(path, safe="/:@")


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for data in answer.content.iter_chunked(65_536):
        content += data
        if len(content) > MOST_ANSWER:
            raise EngineError(0, f"the Docker Engine's answer is longer than {MOST_ANSWER} bytes")
    return bytes(content)


def _error(content: bytes, status: int) -> str:
    try:
        words = orjson.loads(content)["message"]
    except (ValueError, KeyError, TypeError):
        words = content[:LONGEST_WORDS].decode(errors="replace")
    return shown(str(words)) or f"the Docker Engine answered {status} without a message"


def shown(words: str) -> str:
    """Returns an engine's words in one line without control characters, cut to LONGEST_WORDS."""
    words = "".join(c if c.isprintable() else " " for c in words[: 4 * LONGEST_WORDS])
    return " ".join(words.split())[:LONGEST_WORDS]


def _version(text: Any) -> tuple[int, int]:
    """Reads 1.41; (0, 0) for whatever is no version."""
    try:
        major, minor = str(text).split(".")
        return int(major), int(minor)
    except ValueError:
        return 0, 0


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _group_of(socket: str) -> str:
    """Returns which group may use a socket, for a worker that may not."""
    try:
        found = Path(socket).stat()
        if not stat.S_ISSOCK(found.st_mode):
            return "it is no socket"
        group = grp.getgrgid(found.st_gid).gr_name
    except (OSError, KeyError):
        return "its folder cannot be entered"
    return f"the worker runs as user {os.geteuid()}, and group {group!r} may use the socket"


@contextlib.contextmanager
def broken() -> Iterator[None]:
    """Turns errors while a stream is read into EngineGone."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
        words = f"the Docker Engine closed a stream: {shown(str(error))}"
        raise EngineGone(words) from error
