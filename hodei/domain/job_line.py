"""A log line about one job, as data: those of a batch are written together."""

import uuid
from typing import NamedTuple


class JobLine(NamedTuple):
    """A line that ends with the four names of the on-call guide, in its order. A worker that is
    None is left out."""

    message: str
    correlation_id: str
    actor: str  # who did it, as the audit has it
    job_id: uuid.UUID | str
    worker_id: uuid.UUID | str | None = None
