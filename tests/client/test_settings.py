"""Clients whose settings are wrong: each is told in the words of Python, and nothing else is printed."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hodei.tls
from hodei.client import Invalid, Tls
from hodei.client.python_words import for_python
from hodei.local.embedded_postgres import free_port
from tests.client.conftest import Make
from tests.running import Hodei

HERE = "127.0.0.1:1"

ODD_SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"api_key": b"x"}, "^api_key: expected text, got bytes$"),
    ({"api_key": 5}, "^api_key: expected text, got int$"),
    (
        {"api_key": "x\x1b[31m"},
        "^api_key: expected an API key .* got 6 characters of another form$",
    ),
    ({"tls": "x"}, "^tls: expected a Tls, got str$"),
    ({"tls": ("a", "b", "c", "d")}, "^tls: expected a Tls, got tuple$"),
    ({"tls": Tls(name=5)}, "^tls.name: expected text, got int$"),  # type: ignore[arg-type]
    ({"tls": Tls(ca=3)}, "^tls.ca: expected text, got int$"),  # type: ignore[arg-type]
    (
        {"tls": Tls(ca="/x\0y")},
        "^tls.ca is given, but no address begins with https://: write https",
    ),
    ({"servers": "https://a:1", "tls": Tls(ca="/\x1b[31m\0")}, r"^tls.ca /\\x1b\[31m\\x00: "),
    ({"servers": "https://a:1", "tls": Tls(ca="\ud800")}, r"^tls.ca \\ud800: "),
    ({"actor": b"x"}, "^actor: expected text, got bytes$"),
    ({"call_timeout": "5"}, "^call_timeout: expected seconds above 0, got '5'$"),
    ({"call_timeout": float("nan")}, "^call_timeout: expected seconds above 0, got nan$"),
    ({"servers": 5}, "^servers: expected HOST:PORT"),
    ({"servers": [b"a:1"]}, "^servers: expected HOST:PORT"),
]


@pytest.mark.parametrize(("settings", "words"), ODD_SETTINGS, ids=lambda value: str(value)[:40])
def test_a_wrong_setting_is_refused_in_words(
    make: Make, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        make(**{"servers": HERE} | settings)


def test_the_variable_that_contradicts_an_address_is_named(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HODEI_TLS", "1")
    with pytest.raises(Invalid, match=r"^servers: http:// means plain text, and HODEI_TLS means"):
        make(f"http://{HERE}")


def test_a_flag_is_true_or_false(make: Make) -> None:
    client = make(HERE)
    with pytest.raises(Invalid, match=r"^follow: expected True or False, got 'x'$"):
        list(client.logs("00000000-0000-7000-8000-000000000001", follow="x"))
    with pytest.raises(Invalid, match=r"^limit: expected a whole number from 1, got True$"):
        client.list(limit=True)


def test_several_specs_are_expected(make: Make) -> None:
    with pytest.raises(Invalid, match=r"^specs: expected several specs, got int$"):
        make(HERE).submit_many(5)


def test_no_word_about_a_connection_names_a_flag() -> None:
    """Texts of the modules that a client takes its words from, each with the flags that it names."""
    folder = Path(hodei.tls.__file__).parent
    flagged = [
        node.value
        for name in ("address", "caller", "diagnosis")
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text()))
        if isinstance(node, ast.Constant) and "--tls" in str(node.value)
    ]
    assert len(flagged) > 10
    assert [text for text in flagged if "--" in for_python(str(text))] == []


FAILED_HANDSHAKE = """
import asyncio, sys
from hodei.client import AsyncHodei, Hodei, Unavailable

async def ask():
    async with AsyncHodei(sys.argv[1], call_timeout=1.5) as client:
        await client.list()

try:
    if sys.argv[2] == "blocking":
        Hodei(sys.argv[1], call_timeout=1.5).list()
    else:
        asyncio.run(ask())
except Unavailable as error:
    print(error)
"""


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_a_failed_handshake_leaves_no_line_of_grpc(hodei: Hodei, kind: str) -> None:
    """Its core writes such lines to standard error, whatever a program does with the exception."""
    for address, words in (
        (f"https://{hodei.addresses[0]}", f"does not speak TLS: use http://{hodei.addresses[0]}\n"),
        (f"https://127.0.0.1:{free_port()}", "within 1.5 s\n"),
    ):
        ran = subprocess.run(
            [sys.executable, "-c", FAILED_HANDSHAKE, address, kind],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout.endswith(words), ran.stdout
