"""A log line about one job, as data: those of a batch are written together."""

import uuid
from typing import NamedTuple


class JobLine(NamedTuple):
    """Ends with the four names in the guide's order; a worker that is None is left out."""

    message: str
    correlation_id: str
    actor: str  # who did it, as the audit has it
    job_id: uuid.UUID | str
    worker_id: uuid.UUID | str | None = None
