"""Addresses that a server advertises, or that a provider's row names, are read again by workers
(hodei/tls/address.py), which read every address that people may write."""

import pytest

from hodei.domain.errors import Invalid
from hodei.domain.provider_keys import addresses
from hodei.tls.address import BadAddress, parse_all, parse_each

HOSTS = ("a", "server-1.example.org", "127.0.0.1", "[::1]", "a_b", "é", "a b", "a/b", "u@a", "")
PORTS = ("1", "50051", "65535", "0", "65536", "99999", "999999", "", "x", "1e3", "-1")
SCHEMES = ("", "http://", "https://", "ftp://", "HTTPS://")


def advertised(text: str) -> tuple[str, ...] | None:
    try:
        return addresses(text, "--advertise")
    except Invalid:
        return None


def parsed(text: str) -> tuple[str, ...] | None:
    try:
        return tuple(one.target for one in parse_all(text, tls=False))
    except BadAddress:
        return None


@pytest.mark.parametrize("scheme", SCHEMES)
def test_workers_can_read_what_may_be_advertised(scheme: str) -> None:
    texts = [f"{scheme}{host}:{port}" for host in HOSTS for port in PORTS]
    accepted = [text for text in texts if advertised(text)]
    for text in accepted:
        assert parsed(text) == (text.removeprefix(scheme),), text
        assert parsed(f" {text}/ ,, {text}") == (text.removeprefix(scheme),) * 2
    assert len(accepted) == (5 * 3 if scheme in ("", "http://", "https://") else 0)


@pytest.mark.parametrize("end", ["h:1", "h/db", "h", "[::1]:1", "h:0"])
@pytest.mark.parametrize("scheme", ["", "https://", "postgresql://"])
def test_no_error_about_an_address_has_the_password_that_somebody_wrote_into_it(
    scheme: str, end: str
) -> None:
    text = f"a:1,{scheme}u:p'ss@w\"rd@{end}"
    for given in (text, [text]):
        with pytest.raises(BadAddress, match="expected") as refusal:
            parse_each([text], given, tls=False)
        assert "rd@" not in str(refusal.value)
        assert "***@" in str(refusal.value)
