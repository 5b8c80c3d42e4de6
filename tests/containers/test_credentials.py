"""Registry credentials and proxies from a Docker config, and from real helper programs."""

import asyncio
import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from hodei_worker.containers import credentials
from hodei_worker.containers.credentials import NoCredential, proxies, registry_auth

HUB = "https://index.docker.io/v1/"


def auth_of(folder: Path, registry: str) -> Any:
    header = asyncio.run(registry_auth(str(folder), registry))
    return json.loads(base64.urlsafe_b64decode(header)) if header else None


def configured(folder: Path, config: object) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH with one helper: it knows one registry, and is mute for another."""
    program = tmp_path / "docker-credential-test"
    program.write_text("""#!/bin/sh
read -r key
case $key in
    known.example) echo '{"Username": "ana", "Secret": "s3cret"}' ;;
    token.example) echo '{"Username": "<token>", "Secret": "t0ken"}' ;;
    odd.example) echo odd ;;
    endless.example) yes '{"Username": "ana", "Secret": "s3cret"}' ;;
    deaf.example) exec sleep 600 ;;
    *) echo "credentials not found"; exit 1 ;;
esac
""")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def test_what_a_login_has_kept(tmp_path: Path) -> None:
    auths = {HUB: {"auth": encoded("ana:a:b")}, "https://r.example": {"auth": encoded("ben:c")}}
    folder = configured(tmp_path, {"auths": auths})
    hub = {"serveraddress": HUB, "username": "ana", "password": "a:b"}
    assert auth_of(folder, "docker.io") == hub
    assert auth_of(folder, "r.example") == {
        "serveraddress": "r.example",
        "username": "ben",
        "password": "c",
    }
    assert auth_of(folder, "other.example") is None


def test_helpers(helper: Path) -> None:
    folder = configured(helper, {"credsStore": "test", "credHelpers": {"bad.example": "../x"}})
    assert auth_of(folder, "known.example")["password"] == "s3cret"
    assert auth_of(folder, "token.example") == {
        "serveraddress": "token.example",
        "identitytoken": "t0ken",
    }
    assert auth_of(folder, "none.example") is None
    with pytest.raises(NoCredential, match="docker-credential-test did not answer with a cred"):
        auth_of(folder, "odd.example")
    with pytest.raises(NoCredential, match="no such program on this worker"):
        auth_of(folder, "bad.example")


def test_a_helper_that_does_not_end(helper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer is bounded in bytes and in time, and no message has any of it."""
    folder = configured(helper, {"credsStore": "test"})
    with pytest.raises(NoCredential) as raised:
        auth_of(folder, "endless.example")
    assert str(raised.value) == "docker-credential-test answered with more than 65536 bytes"
    monkeypatch.setattr(credentials, "HELPER_S", 0.2)
    with pytest.raises(NoCredential, match=r"did not answer within 0\.2 s"):
        auth_of(folder, "deaf.example")


@pytest.mark.parametrize(
    "config",
    [
        [],
        {"auths": [], "credHelpers": 1, "proxies": "x"},
        {"auths": {"r.example": {"auth": "ÿ"}}, "proxies": {"default": []}},
        {"auths": {"r.example": {"auth": 7}}, "proxies": {"default": {"httpProxy": 7}}},
    ],
)
def test_a_config_of_another_shape_counts_as_none(tmp_path: Path, config: object) -> None:
    folder = configured(tmp_path, config)
    assert auth_of(folder, "r.example") is None
    assert proxies(str(folder)) == {}


def test_no_config(tmp_path: Path) -> None:
    assert auth_of(tmp_path / "nowhere", "r.example") is None
    assert asyncio.run(registry_auth("", "r.example")) == ""
    (tmp_path / "config.json").write_bytes(b"\xff{")
    assert proxies(str(tmp_path)) == {}


def test_proxies(tmp_path: Path) -> None:
    given = {"default": {"httpProxy": "http://p:1", "noProxy": "x"}}
    assert proxies(str(configured(tmp_path, {"proxies": given}))) == {
        "HTTP_PROXY": "http://p:1",
        "http_proxy": "http://p:1",
        "NO_PROXY": "x",
        "no_proxy": "x",
    }
