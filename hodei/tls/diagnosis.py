"""Why no server answers at an address: one connection with Python's ssl finds it out, as gRPC does
not tell.

Names and dates are compared here, not by OpenSSL, so that the certificate can be quoted."""

import contextlib
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from hodei.tls.address import Address
from hodei.tls.bad import BadTls
from hodei.tls.caller import Tls
from hodei.tls.grpc_words import is_refused, is_unresolved
from hodei.tls.words import MOST_NAMES, utc

WITHIN_S = 3.0
"""Seconds for each step of the connection."""

NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python has no name for."""

OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""What a client of HTTP/2 sends first: its preface and empty settings. A server answers with its own
settings."""

PROXIES, SPARING = ("grpc_proxy", "https_proxy", "http_proxy"), ("no_grpc_proxy", "no_proxy")
"""The variables that gRPC obeys: which proxy it uses, and for which hosts it uses none."""


class Finding(NamedTuple):
    """What a connection has shown."""

    words: str
    """As part of a sentence; empty: nothing is wrong with the connection."""

    is_final: bool
    """Whether another try finds the same until somebody changes something."""


REFUSED = "nobody listens there"

NOTHING_WRONG = Finding("", False)


def why(address: Address, tls: Tls, grpc_words: str, within_s: float = WITHIN_S) -> Finding:
    """What is wrong where gRPC found no server. What its words tell is taken from them, without a
    further connection. (They tell of one of a name's addresses, and not of the others.)"""
    if is_refused(grpc_words, address.port) and _is_ip(address.host):
        return Finding(REFUSED, False)
    if is_unresolved(grpc_words):
        return Finding(f"no host has the name {address.host}", False)
    return diagnose(address, tls, within_s)


def diagnose(address: Address, tls: Tls, within_s: float = WITHIN_S) -> Finding:
    """Connects once, and returns what is wrong. It may take a few times `within_s` seconds."""
    found = _connect(address, tls, within_s)
    variable = _proxy_variable(address.host)
    if found.is_final or not variable:
        return found
    direct = "a direct connection is possible, but" if not found.words else f"{found.words}, and"
    hint = f"gRPC goes through the proxy of {variable}: no_proxy={address.host} avoids that"
    return Finding(f"{direct} {hint}", False)


def _proxy_variable(host: str) -> str:
    """The variable that sends gRPC's connections to a host through a proxy; empty: none does."""
    spared = next((text for name in SPARING if (text := os.environ.get(name))), "")
    names = (name.strip().lstrip(".") for name in spared.split(","))
    if any(name and f".{host}".endswith(f".{name}") for name in names):
        return ""
    return next((name for name in PROXIES if os.environ.get(name)), "")


def _connect(address: Address, tls: Tls, within_s: float) -> Finding:
    try:
        context = tls.context() if address.tls else _any_server()
    except BadTls as error:
        return Finding(str(error), True)
    context.set_alpn_protocols(["h2"])
    try:
        connection = socket.create_connection((address.host, address.port), within_s)
    except (OSError, UnicodeError) as error:
        return Finding(_unconnected(address, error), False)
    with connection:
        if not address.tls:
            return _in_plain_text(context, connection, address)
        return _encrypted(context, connection, address, tls)


def _any_server() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _unconnected(address: Address, error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return REFUSED
    if isinstance(error, TimeoutError):
        return "its host does not answer"
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"no host has the name {address.host}"
    strerror = getattr(error, "strerror", None)
    return (strerror or type(error).__name__).lower()


def _in_plain_text(context: ssl.SSLContext, connection: socket.socket, address: Address) -> Finding:
    """Tries whether the server would take TLS. (A server of the other kind answers a beginning of
    TLS with something else.)"""
    is_tls = True
    try:
        context.wrap_socket(connection, server_hostname=address.host).close()
    except ssl.SSLError as error:
        is_tls = "ALERT" in (error.reason or "")
    except OSError:
        is_tls = False
    if is_tls:
        words = f"it expects TLS: use https://{address.target}, or --tls"
        return Finding(words, True)
    return NOTHING_WRONG


def _encrypted(
    context: ssl.SSLContext, connection: socket.socket, address: Address, tls: Tls
) -> Finding:
    context.verify_flags |= NO_CHECK_TIME
    name = tls.name or address.host
    try:
        with context.wrap_socket(connection, server_hostname=name) as encrypted:
            certificate: Any = encrypted.getpeercert()
            if words := _of_certificate(certificate, name):
                return Finding(words, True)
            return _after_handshake(encrypted, tls)
    except ssl.SSLCertVerificationError as error:
        return Finding(_unverified(error, tls), True)
    except TimeoutError:
        return Finding("it does not answer a TLS handshake", False)
    except ssl.SSLError as error:
        return _no_handshake(error, address)
    except OSError:
        return Finding("it closes the connection during the TLS handshake", False)


def _unverified(error: ssl.SSLCertVerificationError, tls: Tls) -> str:
    trusted = f"the CAs in {tls.ca} (--tls-ca)" if tls.ca else "the CAs of this system"
    # It is self-signed, its issuer is not known, or (7) another CA of the same name is trusted.
    if error.verify_code in (7, 18, 19, 20, 21):
        hint = "" if tls.ca else "; --tls-ca FILE names others"
        return f"its certificate is of an unknown CA: expected one of {trusted}{hint}"
    return f"its certificate is not valid by {trusted}: {error.verify_message}"


def _no_handshake(error: ssl.SSLError, address: Address) -> Finding:
    reason = error.reason or ""
    if "ALERT" in reason:
        said = reason.partition("ALERT_")[2].replace("_", " ").lower()
        return Finding(f"it refuses the TLS handshake: {said}", True)
    if isinstance(error, ssl.SSLEOFError):
        return Finding("it closes the connection during the TLS handshake", False)
    return Finding(f"it does not speak TLS: use http://{address.target} without --tls", True)


def _after_handshake(encrypted: ssl.SSLSocket, tls: Tls) -> Finding:
    """With TLS 1.3 a server checks the client's certificate after the handshake: one that does not
    like it closes the connection then."""
    if encrypted.selected_alpn_protocol() != "h2":
        return Finding("it speaks TLS, but not HTTP/2, which gRPC needs", True)
    first = b""
    with contextlib.suppress(OSError):
        encrypted.sendall(OPENING)
        first = encrypted.recv(1)
    if first:
        return NOTHING_WRONG
    if tls.cert:
        return Finding(f"it does not accept the client certificate in {tls.cert}", True)
    return Finding("it asks for a client certificate: use --tls-cert and --tls-key", True)


def _of_certificate(certificate: Any, name: str) -> str:
    """What is wrong with the dates and the names of a certificate; empty: nothing."""
    now = time.time()
    if now > ssl.cert_time_to_seconds(certificate["notAfter"]):
        return f"its certificate has expired: it was valid until {_date(certificate['notAfter'])}"
    if now < ssl.cert_time_to_seconds(certificate["notBefore"]):
        begins = _date(certificate["notBefore"])
        return f"its certificate is valid only from {begins} (this host says {utc(datetime.fromtimestamp(now, UTC))})"
    named = certificate.get("subjectAltName", ())
    names = [_shown_name(value) for kind, value in named if kind in ("DNS", "IP Address")]
    if is_named(name, names):
        return ""
    quoted = ", ".join(names[:MOST_NAMES]) or "no host at all"
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return (
        f"its certificate is for {quoted}{more}, and not for {name}:"
        " use such an address, or --tls-name with one of these names"
    )


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _shown_name(name: str) -> str:
    """A name of a certificate; OpenSSL writes the whole of an IPv6 address."""
    try:
        return str(ipaddress.ip_address(name.strip()))
    except ValueError:
        return name


def is_named(name: str, names: Iterable[str]) -> bool:
    """Whether a certificate for these names is one for `name`. A wildcard stands for one label."""
    try:
        wanted = ipaddress.ip_address(name)
    except ValueError:
        host = name.lower().rstrip(".")
        rest = host.partition(".")[2]
        return any(n.lower() in (host, f"*.{rest}") for n in names)
    return any(_shown_name(one) == str(wanted) for one in names)


def _date(openssl: str) -> str:
    return utc(datetime.fromtimestamp(ssl.cert_time_to_seconds(openssl), UTC))
