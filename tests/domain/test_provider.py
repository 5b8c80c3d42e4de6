"""What a row of provider_configs may say, and what is said of one that is wrong."""

import json
import uuid
from typing import Any

import pytest

import hodei
from hodei.domain import provider
from hodei.domain.errors import Invalid
from hodei.domain.provider import Settings, Status

ID = uuid.UUID(int=1)


def read(config: Any, kind: str = "Docker", max_workers: int = 10) -> Settings:
    text = config if isinstance(config, str) else json.dumps(config)
    return provider.read(ID, "Docker", kind, text, max_workers)


@pytest.mark.parametrize("kind", ["Docker", "docker", "DOCKER", " docker "])
def test_the_guides_row_has_a_default_for_each_key_that_it_lacks(kind: str) -> None:
    found = read({"socket_path": "/var/run/docker.sock"}, kind)
    assert found == Settings(ID, "Docker", "docker", 10, image=f"hodei:{hodei.__version__}")
    assert (found.network, found.slots, found.warm_slots) == ("bridge", 1, 0)
    assert not found.ephemeral
    assert not found.docker_socket


def test_every_key() -> None:
    found = read(
        {
            "host": "tcp://docker-1:2376",
            "tls_ca": "/ca",
            "tls_cert": "/cert",
            "tls_key": "/key",
            "image": "registry:5000/hodei:2",
            "network": "jobs",
            "slots": 4,
            "labels": {"zone": "a"},
            "server_address": "https://one:1,two:65535",
            "server_ca": "/etc/hodei/ca.pem",
            "warm_slots": 2,
            "idle_time": "5m",
            "boot_timeout": 30,
            "docker_socket": True,
            "job_user": "nobody",
        }
    )
    assert (found.place, found.image, found.slots) == (
        "tcp://docker-1:2376",
        "registry:5000/hodei:2",
        4,
    )
    assert found.server_address == ("https://one:1", "two:65535")
    assert (found.idle_time_s, found.boot_timeout_s) == (300.0, 30.0)
    assert (found.labels, found.docker_socket, found.job_user) == ({"zone": "a"}, True, "nobody")


WRONG: list[tuple[Any, str]] = [
    ("[]", 'config: expected a JSON object, got "[]"'),
    ("nonsense", "config: expected a JSON object"),
    ("[" * 100_000, "config: expected a JSON object"),
    ({"max_worker": 3}, "config: expected keys among socket_path, host, "),
    ({"slots": 0}, "config.slots: expected a number from 1 to 1000, got 0"),
    ({"slots": True}, "config.slots: expected a number"),
    ({"slots": "4"}, 'config.slots: expected a number from 1 to 1000, got "4"'),
    ({"slots": [[[]] * 100] * 100}, "config.slots: expected a number from 1 to 1000, got [[[]"),
    ({"slots": 1e300}, "config.slots: expected a number"),
    ({"slots": 2, "ephemeral": True}, "config.slots: expected 1 with ephemeral, got 2"),
    ({"image": 7}, "config.image: expected a text without control characters, got 7"),
    ({"image": "a\u001b[31m"}, "config.image: expected a text without control characters"),
    ({"socket_path": "docker.sock"}, "config.socket_path: expected an absolute path"),
    ({"host": "docker-1:2376"}, "config.host: expected tcp://HOST:PORT"),
    ({"host": "tcp://docker-1:2376"}, "config.tls_ca: expected the path of a file"),
    ({"labels": ["a"]}, "config.labels: expected an object"),
    ({"labels": {"hodei/os": "linux"}}, "do not begin with hodei/"),
    ({"labels": {"zone": 1}}, "config.labels.zone: expected a text"),
    ({"labels": {"zone": "a,b"}}, "config.labels.zone: expected a text"),
    ({"server_address": "here"}, "config.server_address: expected HOST:PORT[,HOST:PORT…]"),
    ({"server_address": "a:0"}, "config.server_address: expected HOST:PORT[,HOST:PORT…]"),
    ({"server_ca": "ca.pem"}, "config.server_ca: expected an absolute path"),
    (
        {"idle_time": "5x"},
        'config.idle_time: expected a time of 1 s to 365 days, as 90, "90s" or "1h30m", got "5x"',
    ),
    ({"idle_time": -1}, "config.idle_time: expected a time"),
    ({"boot_timeout": False}, "config.boot_timeout: expected a time"),
    ({"ephemeral": "yes"}, "config.ephemeral: expected true or false"),
]


@pytest.mark.parametrize(("config", "words"), WRONG, ids=[words[:40] for _, words in WRONG])
def test_a_wrong_row_is_refused_by_its_key_in_few_printable_words(config: Any, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(config)
    said = str(refused.value)
    assert words in said
    assert said.isprintable()
    assert len(said) < 500


def test_other_types_and_numbers_of_workers_are_refused() -> None:
    with pytest.raises(Invalid, match="provider_type: expected Docker, got"):
        read({}, "Kubernetes")
    for number in (-1, 1001, 1 << 40):
        with pytest.raises(Invalid, match=f"max_workers: expected 0 to 1000, got {number}"):
            read({}, max_workers=number)


def test_a_status_is_read_in_any_case() -> None:
    assert [provider.status_of(word) for word in ("active", "Paused", " DEGRADED ", "off", "")] == [
        Status.ACTIVE,
        Status.PAUSED,
        Status.DEGRADED,
        None,
        None,
    ]
