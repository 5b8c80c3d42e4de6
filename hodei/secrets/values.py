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


class LeaseSecrets(NamedTuple):
    """The values of one lease, or why it gets none: only one of the fields says something."""

    values: SecretValues | None = None
    missing_key: str = ""  # words: another server may have it
    refusal: str = ""  # words: no server can give them


class SecretReader:
    """Reads and decrypts the values of secrets, for leases."""

    def __init__(self, database: Database, keys: SecretKeys) -> None:
        self._database = database
        self._keys = keys

    @property
    def can_decrypt(self) -> bool:
        """Whether this server has a key at all: else its workers get no jobs with secrets."""
        return bool(self._keys.ids)

    async def give(self, wanted: dict[int, list[str]]) -> dict[int, LeaseSecrets]:
        """Returns, by lease, the newest versions of the secrets that are wanted by name. A lease
        that no longer holds is missing. Unavailable, psycopg.Error: as of any statement."""
        asked = [(lease, names) for lease, names in wanted.items() if names]
        found: dict[int, LeaseSecrets] = {}
        for first in range(0, len(asked), AT_ONCE):
            some = [
                (lease, name) for lease, names in asked[first : first + AT_ONCE] for name in names
            ]
            given = await self._database.run(lambda conn, some=some: secrets.give(conn, some))  # type: ignore[misc]
            found |= self._opened(given)
        return found

    async def of_leases(
        self, worker_id: uuid.UUID, leases: Sequence[int]
    ) -> dict[int, LeaseSecrets]:
        """Returns the values that leases of a worker were given. A lease that was given none is
        missing."""
        found: dict[int, LeaseSecrets] = {}
        for first in range(0, len(leases), AT_ONCE):
            some = [Claimant(lease, worker_id) for lease in leases[first : first + AT_ONCE]]
            given = await self._database.run(lambda conn, some=some: secrets.of_leases(conn, some))  # type: ignore[misc]
            found |= self._opened(given)
        return found

    def _opened(self, given: Sequence[Given]) -> dict[int, LeaseSecrets]:
        """Decrypts each row once, whatever number of leases has it."""
        opened: dict[Sealed, str] = {}
        found: dict[int, LeaseSecrets] = {}
        for lease, name, sealed, _ in given:
            before = found.setdefault(lease, LeaseSecrets(SecretValues()))
            if before.values is None:
                continue
            if sealed is None:
                found[lease] = LeaseSecrets(refusal=_absent(given, lease, name))
                continue
            try:
                if sealed not in opened:
                    opened[sealed] = self._keys.open(sealed)
            except NoKey as error:
                found[lease] = LeaseSecrets(missing_key=str(error))
            except Damaged as error:
                found[lease] = LeaseSecrets(refusal=str(error))
            else:
                before.values[name] = opened[sealed]
        return found


def _absent(given: Sequence[Given], lease: int, name: str) -> str:
    if any(one.too_large for one in given if one.lease == lease):
        return f"its secrets have more than {MOST_BYTES_OF_A_JOB} bytes together"
    return f"secret {name}: there is none of this name any more; set it, then run the job again"
