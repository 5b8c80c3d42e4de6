"""Registry credentials and proxies, from the Docker config of the worker's user.

They are read again for each pull: a login needs no restart. A credential goes to the engine alone,
never into a log, a message or an environment that a job sees."""

import asyncio
import base64
import json
import re
import shutil
from pathlib import Path
from typing import Any

from hodei_worker.containers.reference import DOCKER_HUB

HUB_KEY = "https://index.docker.io/v1/"
MOST_CONFIG = 1 << 20  # bytes of config.json that are read

HELPER_S = 10.0  # seconds within which a credential helper must answer
MOST_ANSWER = 64 << 10  # bytes of a helper's answer
HELPER_NAME = re.compile("[A-Za-z0-9._-]+")

PROXIES = {
    "httpProxy": "HTTP_PROXY",
    "httpsProxy": "HTTPS_PROXY",
    "noProxy": "NO_PROXY",
    "ftpProxy": "FTP_PROXY",
    "allProxy": "ALL_PROXY",
}


class NoCredential(Exception):
    """A credential is configured and cannot be had. The message names the helper, and no secret."""


def _config(folder: str) -> dict[str, Any]:
    if not folder:
        return {}
    try:
        with (Path(folder) / "config.json").open("rb") as file:
            found = json.loads(file.read(MOST_CONFIG))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def proxies(folder: str) -> dict[str, str]:
    """Returns the variables that Docker's own command line would add: of each proxy in both
    cases."""
    given = _part(_part(_config(folder), "proxies"), "default")
    found: dict[str, str] = {}
    for key, variable in PROXIES.items():
        if isinstance(value := given.get(key), str):
            found |= {variable: value, variable.lower(): value}
    return found


async def registry_auth(folder: str, registry: str, login: str = "") -> str:
    """Returns the header X-Registry-Auth for a pull; empty if no credential is configured. `login`:
    USER:PASSWORD in place of a configured one. Raises NoCredential."""
    key = HUB_KEY if registry == DOCKER_HUB else registry
    if login:
        user, colon, secret = login.partition(":")
        if not colon:
            raise NoCredential("the registry's secret: expected USER:PASSWORD, got no colon")
        return _header(key, user, secret)
    config = _config(folder)
    helper = _part(config, "credHelpers").get(key) or config.get("credsStore")
    if isinstance(helper, str):
        user, secret = await _ask(helper, key)
    else:
        user, secret = _kept(_part(config, "auths"), key)
    return _header(key, user, secret) if secret else ""


def _header(key: str, user: str, secret: str) -> str:
    auth: dict[str, str] = {"serveraddress": key}
    auth |= (
        {"identitytoken": secret} if user == "<token>" else {"username": user, "password": secret}
    )
    return base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()


def _part(config: dict[str, Any], key: str) -> dict[str, Any]:
    found = config.get(key)
    return found if isinstance(found, dict) else {}


def _kept(auths: dict[str, Any], key: str) -> tuple[str, str]:
    entry = _part(auths, key) or _part(auths, f"https://{key}")
    try:
        user, _, secret = base64.b64decode(entry["auth"]).decode().partition(":")
    except (KeyError, TypeError, ValueError):
        return "", ""
    return user, secret


async def _ask(helper: str, key: str) -> tuple[str, str]:
    """Asks a credential helper, as Docker's command line does. A helper that has none says so with
    an exit code."""
    program = f"docker-credential-{helper}"
    if not HELPER_NAME.fullmatch(helper) or not shutil.which(program):
        raise NoCredential(f"Docker's config names {program[:80]}: no such program on this worker")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        program, "get", stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(HELPER_S):
            answer = await _answer(process, key)
    except TimeoutError:
        raise NoCredential(f"{program} did not answer within {HELPER_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        return "", ""
    if len(answer) > MOST_ANSWER:
        raise NoCredential(f"{program} answered with more than {MOST_ANSWER} bytes")
    try:
        said = json.loads(answer)
        return str(said["Username"]), str(said["Secret"])
    except (ValueError, KeyError, TypeError):
        raise NoCredential(f"{program} did not answer with a credential") from None


async def _answer(process: asyncio.subprocess.Process, key: str) -> bytes:
    """Returns at most MOST_ANSWER bytes and one. A helper that says no more is waited for."""
    assert process.stdin  # noqa: S101  both are pipes
    assert process.stdout  # noqa: S101
    process.stdin.write(key.encode())
    process.stdin.close()
    answer = b""
    while more := await process.stdout.read(MOST_ANSWER + 1 - len(answer)):
        answer += more
    if len(answer) <= MOST_ANSWER:
        await process.wait()
    return answer
