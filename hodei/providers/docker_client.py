"""A client of a Docker Engine whose answers are bounded in bytes and in time."""

import os
import stat
import time
from typing import Any

import docker
import requests
from docker.tls import TLSConfig

from hodei.domain.provider import Settings
from hodei.domain.provider_keys import TLS_FILES
from hodei.providers.contract import Unanswered
from hodei.tls import caller
from hodei.tls.bad import BadTls

MOST_BYTES = 16 << 20
"""Bytes of one answer."""

ANSWER_S = 15
"""Seconds in which an answer has to be complete; each read of it may take as long at most."""


class Client(docker.APIClient):
    """Answers are read to their end here, as far as they may go."""

    def merge_environment_settings(self, *args: Any) -> Any:
        """Nothing of the environment counts: neither a proxy, nor other CAs than the row's."""
        self.trust_env = False
        return super().merge_environment_settings(*args)

    def send(self, request: Any, **kwargs: Any) -> requests.Response:
        """requests.ConnectionError: an answer is too long, or takes too long."""
        streamed = kwargs.get("stream", False)
        kwargs["stream"] = True
        until = time.monotonic() + ANSWER_S
        response = super().send(request, **kwargs)
        if not streamed:
            body = bytearray()
            for piece in response.iter_content(65_536):
                body += piece
                if len(body) > MOST_BYTES or time.monotonic() > until:
                    response.close()
                    raise requests.ConnectionError(
                        f"an answer of more than {MOST_BYTES} bytes or {ANSWER_S} s"
                    )
            response._content = bytes(body)  # where requests keeps what it has read
        return response


def connect(settings: Settings) -> Client:
    """Returns a client, which has asked the engine for the version of its API. Unanswered: none
    answers there, or this process may not ask."""
    if settings.host:
        _check_readable(settings)
        tls = TLSConfig(
            client_cert=(settings.tls_cert, settings.tls_key),
            ca_cert=settings.tls_ca,
            verify=True,
        )
        place = settings.host.replace("tcp://", "https://")
        return Client(base_url=place, tls=tls, version="auto", timeout=ANSWER_S)
    if refusal := _refusal(settings.socket_path):
        raise Unanswered(refusal)
    return Client(base_url=f"unix://{settings.socket_path}", version="auto", timeout=ANSWER_S)


def _check_readable(settings: Settings) -> None:
    """Unanswered: this process cannot read one of the files for TLS."""
    paths = (settings.tls_ca, settings.tls_cert, settings.tls_key)
    try:
        for key, path in zip(TLS_FILES, paths, strict=True):
            caller.read(path, f"config.{key.name}")
    except BadTls as error:
        raise Unanswered(str(error)) from None


def _refusal(path: str) -> str:
    """Why this process cannot use a socket, where that can be seen; empty if it cannot."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError as error:
        return f"no engine answers at {path}: {error.strerror}"
    if not stat.S_ISSOCK(found.st_mode):
        return f"no engine answers at {path}: it is no socket"
    if not os.access(path, os.R_OK | os.W_OK):
        return (
            f"hodei-server may not use {path}: add its user to the group {_group(found.st_gid)}"
            " and start it again"
        )
    return ""


def _group(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
