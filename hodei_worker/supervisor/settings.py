"""The settings that a supervisor gets at its start and keeps until its end."""

import os
from typing import TypedDict

import hodei_worker
from hodei_worker.supervisor import wire


class SupervisorSettings(TypedDict):
    job_user: str | None
    log_limit: int  # bytes of one attempt's log; 0: no limit
    path: str | None
    release: str
    version: int  # of the link (wire.py)


def supervisor_settings(job_user: str | None, log_limit: int) -> SupervisorSettings:
    """Agent and supervisor both call this. If the settings that a running supervisor reports differ
    from the agent's, the agent starts another one for new jobs."""
    return {
        "job_user": job_user,
        "log_limit": log_limit,
        "path": os.environ.get("PATH"),
        "release": hodei_worker.__version__,
        "version": wire.VERSION,
    }
