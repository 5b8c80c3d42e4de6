"""When a worker renews its secret. The database's clock counts the age, so that a wrong clock of a
worker's host neither hurries nor delays it."""

import random
import uuid

LIFE_S = 30 * 86_400.0
"""Seconds for which one secret is meant to be used. An older one still counts: a worker that was
away, or that only met servers of the release before, is not locked out."""

RENEW_AT = 0.75
"""The share of LIFE_S after which a worker renews its secret."""

JITTER = 0.1
"""The largest share by which a worker renews earlier or later than others, so that workers that
registered together do not renew together."""


def renew_credential_after_s(worker_id: uuid.UUID) -> float:
    """Returns the seconds for which this worker uses one secret, always the same."""
    jitter = random.Random(worker_id.int).uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
    return LIFE_S * RENEW_AT * jitter


def renew_credential_in_s(worker_id: uuid.UUID, age_s: float) -> float:
    """Returns the seconds until this worker is to renew its secret, which is so old; 0: at once."""
    return max(0.0, renew_credential_after_s(worker_id) - age_s)
