"""The values of secrets, for offers and for attempts that go on. They are decrypted here, kept for
one message to a worker, and nowhere else."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hodei.domain.secret import MOST_BYTES_OF_A_JOB, SecretValues
from hodei.secrets.keys import Damaged, NoKey, SecretKeys
from hodei.store import secrets
from hodei.store.database import Database
from hodei.store.leases import Claimant
from hodei.store.secrets import Given, Sealed

AT_ONCE = 16
"""Leases whose rows are read by one statement: 5 MB at most."""


class Outcome(NamedTuple):
    """What a lease gets. Of the last three fields one at most says something."""

    values: SecretValues | None = None
    missing_key: str = ""  # words: another server may have it
    refusal: str = ""  # words: no server can give them


class Values:
    def __init__(self, database: Database, keys: SecretKeys) -> None:
        self._database = database
        self._keys = keys

    @property
    def can_decrypt(self) -> bool:
        """Whether this server has a key at all: else its workers get no jobs with secrets."""
        return bool(self._keys.ids)

    async def give(self, wanted: dict[int, list[str]]) -> dict[int, Outcome]:
        """Returns, by lease, the newest versions of the secrets that are wanted by name. A lease
        that no longer holds is missing. Unavailable, psycopg.Error: as of any statement."""
        asked = [(lease, names) for lease, names in wanted.items() if names]
        outcomes: dict[int, Outcome] = {}
        for first in range(0, len(asked), AT_ONCE):
            some = [
                (lease, name) for lease, names in asked[first : first + AT_ONCE] for name in names
            ]
            given = await self._database.run(lambda conn, some=some: secrets.give(conn, some))  # type: ignore[misc]
            outcomes |= self._opened(given)
        return outcomes

    async def of_leases(self, worker_id: uuid.UUID, leases: Sequence[int]) -> dict[int, Outcome]:
        """Returns the values that leases of a worker were given. A lease that was given none is
        missing."""
        outcomes: dict[int, Outcome] = {}
        for first in range(0, len(leases), AT_ONCE):
            some = [Claimant(lease, worker_id) for lease in leases[first : first + AT_ONCE]]
            given = await self._database.run(lambda conn, some=some: secrets.of_leases(conn, some))  # type: ignore[misc]
            outcomes |= self._opened(given)
        return outcomes

    def _opened(self, given: Sequence[Given]) -> dict[int, Outcome]:
        """Decrypts each row once, whatever number of leases has it."""
        opened: dict[Sealed, str] = {}
        outcomes: dict[int, Outcome] = {}
        for lease, name, sealed, _ in given:
            before = outcomes.setdefault(lease, Outcome(SecretValues()))
            if before.values is None:
                continue
            if sealed is None:
                outcomes[lease] = Outcome(refusal=_absent(given, lease, name))
                continue
            try:
                if sealed not in opened:
                    opened[sealed] = self._keys.open(sealed)
            except NoKey as error:
                outcomes[lease] = Outcome(missing_key=str(error))
            except Damaged as error:
                outcomes[lease] = Outcome(refusal=str(error))
            else:
                before.values[name] = opened[sealed]
        return outcomes


def _absent(given: Sequence[Given], lease: int, name: str) -> str:
    if any(one.too_large for one in given if one.lease == lease):
        return f"its secrets have more than {MOST_BYTES_OF_A_JOB} bytes together"
    return f"secret {name}: there is none of this name any more; set it, then run the job again"
