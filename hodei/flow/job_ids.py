"""Which jobs are meant by a part of an id, as people read it in a table."""

import re
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hodei.access.limits import CallersDatabase
from hodei.access.principal import Principal
from hodei.domain.errors import Invalid
from hodei.store import job_ids
from hodei.store.job_ids import Candidate, Part

MOST_PARTS = 100
"""Parts of one call."""

LEAST_BEGINNING, LEAST_ENDING = 6, 8
"""Hex digits of a beginning, and of an end, at least."""

DIGITS = 32
"""Hex digits of an id."""


class Meant(NamedTuple):
    """The jobs that a part of an id means, newest first."""

    jobs: list[Candidate]
    more: bool  # there are further ones


async def resolve(database: CallersDatabase, parts: Sequence[str], who: Principal) -> list[Meant]:
    """Returns for each part the jobs that it means, 10 at most, of those that the caller reaches;
    for an empty part the caller's newest job. Invalid: there are no parts or too many, or one of them is no part of an id."""
    if not 0 < len(parts) <= MOST_PARTS:
        raise Invalid(f"parts: expected 1 to {MOST_PARTS}, got {len(parts)}")
    wanted = [_part_of(text) for text in parts if text]
    found: list[list[Candidate]] = []
    if wanted:
        found = await database.run(lambda conn: job_ids.meant(conn, wanted, who.project))
    mine = None
    if not all(parts):
        mine = await database.run(lambda conn: job_ids.newest_of(conn, who.actor, who.project))
    of_part = iter(found)
    return [_meant(next(of_part) if text else [mine] if mine else []) for text in parts]


def _meant(found: list[Candidate]) -> Meant:
    most = job_ids.MOST - 1
    return Meant(found[:most], len(found) > most)


def _part_of(text: str) -> Part:
    digits = text.lower().replace("-", "")
    if not re.fullmatch(f"[0-9a-f]{{{LEAST_BEGINNING},{DIGITS}}}", digits):
        raise Invalid(
            f"id: expected a UUID, its first {LEAST_BEGINNING} or more characters, "
            f"or its last {LEAST_ENDING} or more, got {text[:80]!r}"
        )
    least, greatest = digits.ljust(DIGITS, "0"), digits.ljust(DIGITS, "f")
    ending = digits if len(digits) >= LEAST_ENDING else None
    return Part(uuid.UUID(least), uuid.UUID(greatest), ending)
