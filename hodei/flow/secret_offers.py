"""Offers of jobs with secrets get the values: here and nowhere else.

A job whose values this server cannot decrypt goes back to the queue, for another server. One whose
secret is gone does not start, and says so. Failure: where the database is away the offers lapse."""

import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from loguru import logger

from hodei.domain import spec_secrets
from hodei.domain.errors import Locked
from hodei.domain.job import Outcome, Reason
from hodei.domain.spec_keys import SECRETS
from hodei.domain.text import words_of
from hodei.flow.detour import Detour
from hodei.flow.give_back import give_back
from hodei.flow.reports import Report, Reports
from hodei.secrets.values import SecretReader
from hodei.store.claims import Offer
from hodei.store.database import TROUBLE, Database
from hodei.store.leases import Claimant
from hodei.store.results import Result

ACTOR = "system:job_dispatcher"

AVOID_S = 30.0
"""Seconds for which this server passes over a job whose values it cannot decrypt."""

_MARK = f'"{SECRETS}"'


def may_need_values(offer: Offer) -> bool:
    """Whether the spec may name secrets. Most do not, and are not parsed."""
    return _MARK in offer.spec


class SecretOffers:
    def __init__(
        self,
        database: Database,
        values: SecretReader,
        detour: Detour,
        ended: Callable[[uuid.UUID], None],
    ) -> None:
        """`ended` is called with the id of each job of which an attempt has ended."""
        self._database = database
        self._values = values
        self._detour = detour
        self._reports = Reports(database, ended)
        self._log = logger.bind(component="JobDispatcher")

    async def filled(self, offers: Sequence[Offer]) -> list[Offer]:
        """Returns the offers that can be sent, in their order, with the values that they need."""
        wanted = {offer.lease: _names(offer) for offer in offers if may_need_values(offer)}
        try:
            outcomes = await self._values.give(wanted)
            ready = [
                offer._replace(secrets=outcomes[offer.lease].values)
                if offer.lease in outcomes
                else offer
                for offer in offers
                if not wanted.get(offer.lease)
                or (offer.lease in outcomes and outcomes[offer.lease].values is not None)
            ]
            for offer in offers:
                if (outcome := outcomes.get(offer.lease)) and outcome.missing_key:
                    await self._hand_back(offer, outcome.missing_key)
                elif outcome and outcome.refusal:
                    await self._end(offer, outcome.refusal)
        except (Locked, *TROUBLE) as error:
            self._log.warning("offers with secrets are not sent: {}", words_of(error))
            return [offer for offer in offers if not wanted.get(offer.lease)]
        return ready

    async def _hand_back(self, offer: Offer, words: str) -> None:
        self._detour.avoid(offer.job_id, AVOID_S)
        self._log.warning("job {} goes back to the queue: {}", offer.job_id, words)
        await give_back(self._database, [Claimant(offer.lease, offer.worker_id)], words, ACTOR)

    async def _end(self, offer: Offer, words: str) -> None:
        """Ends the attempt as one that could not start."""
        result = Result(
            offer.lease,
            offer.worker_id,
            Outcome.FAILED,
            ACTOR,
            ran=True,
            reason=Reason.START_FAILED,
            message=words,
        )
        await self._reports.store([Report(Claimant(offer.lease, offer.worker_id), result)])


def _names(offer: Offer) -> list[str]:
    """The names in a spec. One that a hand has spoilt names none: its worker says what is wrong."""
    try:
        spec: Any = json.loads(offer.spec)
        return spec_secrets.names(spec)
    except (ValueError, TypeError, AttributeError, KeyError):
        return []
