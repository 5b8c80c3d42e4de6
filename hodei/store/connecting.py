"""Connects to a database that may not be there yet: whether its URL is one, and whether a refusal
may pass by itself.

What libpq says about a URL that it cannot read is never shown: it quotes parts of it, the password
among them."""

import errno
import functools
import os
import re
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from hodei.domain.errors import Conflict, HodeiError, Invalid, Unavailable
from hodei.store import passfile, sqlstate

Connection = psycopg.Connection[TupleRow]
P = ParamSpec("P")
T = TypeVar("T")

CONNECT_TIMEOUT_S = 5

READ_ONLY = sqlstate.WORDS[sqlstate.READ_ONLY]


# ── the URL ──


def check_url(url: str, source: str) -> None:
    """Refuses what is no database URL, and a file of passwords that libpq would not take. Invalid
    names the flag or variable that it came from, and no part of it."""
    try:
        parts = conninfo_to_dict(url)
    except (psycopg.Error, ValueError):  # ValueError: bytes of the environment that are no UTF-8
        parts = {}
    ports = str(parts.get("port") or "").split(",")
    sound = parts and all(re.fullmatch(r"\d{0,5}", port) for port in ports) and not _stray_at(url)
    if not sound:
        raise Invalid(
            f"{source} is no database URL: expected postgresql://user:password@host:5432/name,"
            " each special character of the user and the password percent-encoded (as %40 for @),"
            " and no parameter that PostgreSQL does not know"
        ) from None
    passfile.check(parts, os.environ)


def _stray_at(url: str) -> bool:
    """Returns whether an @ stands behind the beginning of the host, where only a part of an
    unencoded password can have brought it.

    As libpq reads it, the user and the password end with the first @, and there are none if a /
    comes before that.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgres", "postgresql"):
        return False
    first = re.search(r"[@/]", rest)
    behind = rest[first.end() :] if first and first[0] == "@" else rest
    return "@" in behind.partition("?")[0]


# ── connecting ──


class Refused(Conflict):
    """The database, or libpq before it, refuses the connection for a reason that does not pass by
    itself: waiting cannot help."""


def connect(url: str, application_name: str) -> Connection:
    """Opens an autocommit connection. Unavailable: the database may be there later. Refused:
    waiting cannot help. Invalid: the URL is none."""
    check_url(url, "the database URL")
    try:
        return psycopg.connect(
            url,
            autocommit=True,
            application_name=application_name,
            connect_timeout=CONNECT_TIMEOUT_S,
            client_encoding="UTF8",
        )
    except (psycopg.ProgrammingError, ValueError):
        raise Invalid(
            "the database URL has a parameter with a value that PostgreSQL does not take"
        ) from None
    except psycopg.Error as error:
        words = str(error).strip()
        if can_pass(url, words):
            raise Unavailable(f"the database is not available: {one_line(words)}") from error
        raise Refused(one_line(words)) from error


def one_line(words: str) -> str:
    """Returns the first line of libpq's words: the lines after it are advice."""
    return (
        (words.splitlines() or ["no reason given"])[0]
        .removeprefix("connection failed: ")
        .removeprefix("connection is bad: ")
    )


# SQLSTATEs (their beginnings) of what passes by itself: connections, conflicts, resources that are
# short, objects in use, an operator's shutdown or start, I/O.
PASSING = ("08", "40", "53", "55", "57", "58", "25006")

# Why a connection could not be made, in the words of the operating system and of libpq. They are
# English: a Python program that does not ask for it gets no other language from the C library.
# ENOENT is a socket that is not there yet only directly behind " failed: " (the file of a
# certificate does not come by waiting).
PASSING_ERRORS = (
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.ECONNABORTED,
    errno.EHOSTUNREACH,
    errno.EHOSTDOWN,
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.ETIMEDOUT,
    errno.EPIPE,
    errno.EAGAIN,
    errno.EADDRNOTAVAIL,
)
PASSING_WORDS = (
    *(os.strerror(number) for number in PASSING_ERRORS),
    f" failed: {os.strerror(errno.ENOENT)}",
    "timeout expired",
    "failed to resolve host",
    "could not translate host name",
    "server closed the connection unexpectedly",
    "SSL connection has been closed unexpectedly",
    "SSL error: unexpected eof",
    "SSL SYSCALL error: EOF detected",
    "in hot standby mode",  # target_session_attrs: until a standby is promoted
    "session is read-only",
    "session is not read-only",
)

# Poolers use one SQLSTATE, 08P01, for what passes and for what does not. Their words are English.
FINAL_WORDS = (
    "authentication failed",
    "no such database",
    "no such user",
    "unsupported startup parameter",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "permission denied",
)


def can_pass(url: str, words: str) -> bool:
    """Returns whether a connection that could not be made may be possible later. `words` are
    libpq's, about each host that it tried."""
    tried = [
        line
        for line in words.splitlines()
        if not line.startswith(("\t", "Multiple connection attempts"))
    ]
    if all(any(sign in line for sign in PASSING_WORDS) for line in tried):
        return True
    state = sqlstate_of_refusal(url, words)
    # None: libpq gave up by itself (no TLS, no password, an unknown value), unless it is an old
    # one.
    if state is None:
        return ": FATAL:" in words and not any(sign in words for sign in FINAL_WORDS)
    if state == "08P01":
        return not any(sign in words for sign in FINAL_WORDS)
    return state.startswith(PASSING)


@functools.lru_cache(maxsize=16)
def sqlstate_of_refusal(url: str, words: str) -> str | None:
    """Returns the SQLSTATE of a refused connection, which depends on no language. None: the server
    gave none, or libpq cannot trace. A refusal in the same words is not asked about again.

    libpq keeps the SQLSTATE to itself until a connection stands. Told to trace, it writes down the
    messages that it gets, those inside TLS too. The trace goes to memory and holds a hash of the
    password, or the password where the server asks for it in clear: it goes with this function.
    """
    trace = os.memfd_create("hodei-refusal", os.MFD_CLOEXEC)
    try:
        _traced(url, trace)
        answers = os.pread(trace, 1 << 20, 0).decode(errors="replace")
    except (psycopg.Error, OSError, AttributeError):
        return None
    finally:
        os.close(trace)
    codes: list[str] = re.findall(
        r'^(?:\S+ \S+\t)?B\t[^\t]*\tErrorResponse\t(?: [SV] "[^"]*")* C "(\w{5})"',
        answers,
        re.MULTILINE,
    )
    return codes[-1] if codes else None


def _traced(url: str, trace: int) -> None:
    """Tries to connect, for CONNECT_TIMEOUT_S at most, and lets libpq trace into that file."""
    copy = os.dup(trace)
    conn = pq.PGconn.connect_start(
        psycopg.conninfo.make_conninfo(url, client_encoding="UTF8").encode()
    )
    try:
        if conn.status == pq.ConnStatus.BAD:
            return
        conn.trace(copy)
        until = time.monotonic() + CONNECT_TIMEOUT_S
        while (state := conn.connect_poll()) in (
            pq.PollingStatus.READING,
            pq.PollingStatus.WRITING,
        ):
            left = until - time.monotonic()
            reads, writes = (
                ([conn.socket], []) if state == pq.PollingStatus.READING else ([], [conn.socket])
            )
            if left <= 0 or not any(select.select(reads, writes, [], left)):
                break
    finally:
        conn.untrace()
        conn.finish()
        os.close(copy)  # libpq's stream over it is flushed by now, and leaves it open


# ── statements ──


@contextmanager
def in_words(what: str) -> Iterator[None]:
    """Raises errors of statements as ours, by SQLSTATE. Their text begins with `what`, and is
    without PostgreSQL's DETAIL, which quotes rows."""
    try:
        yield
    except psycopg.Error as error:
        raise _as_ours(error, what) from error


def _as_ours(error: psycopg.Error, what: str) -> HodeiError:
    words = sqlstate.primary(error)
    if error.sqlstate == sqlstate.READ_ONLY:
        return Unavailable(READ_ONLY)
    if error.sqlstate == "42501":
        return Conflict(
            f"{what}: {words}: this role lacks a right; docs/database.md says who needs which"
        )
    if unavailable := sqlstate.unavailable(error):
        return unavailable
    return Conflict(f"{what}: {words} (SQLSTATE {error.sqlstate})")
