"""TLS on both ways: from a server to an engine at an address, and from workers to servers."""

import asyncio
import json
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest

from hodei.domain.provider import Settings
from hodei.providers.contract import Unanswered
from hodei.providers.docker import Docker
from hodei.tls import authority
from tests.docker.providing import Providing, providing
from tests.docker.tls_front import tls_front

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    folder = tmp_path / "tls"
    authority.make(folder, ["127.0.0.1"], 1)
    return folder


def settings(port: int, folder: Path, image: str) -> Settings:
    return Settings(
        uuid.uuid4(),
        "far",
        "docker",
        1,
        host=f"tcp://127.0.0.1:{port}",
        tls_ca=f"{folder}/ca.pem",
        tls_cert=f"{folder}/client.pem",
        tls_key=f"{folder}/client-key.pem",
        image=image,
    )


def test_an_engine_at_an_address_is_the_one_behind_the_socket(
    docker_socket: str, image: str, certificates: Path
) -> None:
    near = Settings(uuid.uuid4(), "near", "docker", 1, socket_path=docker_socket, image=image)
    with tls_front(docker_socket, certificates) as port:
        far = asyncio.run(Docker(settings(port, certificates, image)).contact())
    assert far == asyncio.run(Docker(near).contact())
    assert far.has_image


def test_an_engine_with_a_certificate_of_another_ca_is_refused(
    docker_socket: str, image: str, certificates: Path, tmp_path: Path
) -> None:
    authority.make(tmp_path / "other", ["127.0.0.1"], 1)
    with tls_front(docker_socket, tmp_path / "other") as port, pytest.raises(Unanswered) as no:
        asyncio.run(Docker(settings(port, certificates, image)).contact())
    assert f"no engine answers at tcp://127.0.0.1:{port}" in str(no.value)
    assert "certificate verify failed" in str(no.value)


def test_a_certificate_that_is_not_there_is_said_by_its_path(
    image: str, certificates: Path
) -> None:
    (certificates / "client.pem").unlink()
    with pytest.raises(Unanswered, match=r"client\.pem: No such file"):
        asyncio.run(Docker(settings(1, certificates, image)).contact())


def test_workers_trust_the_ca_that_the_provider_names(
    pg_server: SimpleNamespace, tmp_path: Path, docker_socket: str, host: str, image: str
) -> None:
    folder = tmp_path / "certificates"
    authority.make(folder, [host], 1)
    flags = ("--tls-cert", f"{folder}/server.pem", "--tls-key", f"{folder}/server-key.pem")
    with providing(pg_server, tmp_path, docker_socket, host, *flags) as hodei:
        address = f"https://{hodei.addresses[0]}"
        hodei.add(
            "no-ca", image=image, server_address=address, boot_timeout="5s", labels={"ca": "no"}
        )
        hodei.add(image=image, server_address=address, server_ca=f"{folder}/ca.pem")
        (job,) = by_sql(hodei, {"command": "true"})
        hodei.all_succeeded([job])
        by_sql(hodei, {"command": "true", "labels": {"ca": "no"}})
        hodei.reason(f"did not come up at {address}", "no-ca")


def by_sql(hodei: Providing, spec: dict[str, object]) -> list[str]:
    """Jobs, without a server's answer: these ask for TLS."""
    return [str(row[0]) for row in hodei.sql("SELECT hodei_enqueue(%s::jsonb)", json.dumps(spec))]
