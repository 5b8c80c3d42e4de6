"""Jobs that a filter wants, asked for page by page."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hodei.cli.client import Client
from hodei.cli.errors import Failure
from hodei.cli.ids import resolve_jobs
from hodei.cli.job_filter import Wanted
from hodei.cli.older_server import older, unless_older
from hodei.cli.say import say
from hodei.domain.job import JobState
from hodei.domain.state_words import state_of
from hodei.domain.text import shown
from hodei.shapes import wire
from hodei.shapes.job import Job

if TYPE_CHECKING:
    from hodei.protocol import hodei_pb2 as pb

PAGE = 1000
"""Jobs of one page of a list."""

MOST_PER_CALL = 10_000
"""Jobs that one call finds or changes."""

MOST_FOUND = 100_000
"""Jobs that are found to be changed by one command."""

MOST_SEARCHED = 1_000_000
"""Jobs that are searched for one command. It then says so, and how to go on."""


class FoundJob(NamedTuple):
    """A job that was found, and its state then."""

    job_id: str
    state: JobState


def list_jobs(client: Client, wanted: Wanted, limit: int) -> list[Job]:
    """The newest `limit` jobs that are wanted. ClickException: the server does not know a flag."""
    from hodei.protocol import hodei_pb2 as pb

    request = pb.ListJobsRequest(
        state=wanted.states[0] if len(wanted.states) == 1 else "",
        reason=wanted.reasons[0] if len(wanted.reasons) == 1 else "",
        correlation_id=wanted.correlation_id,
        filter=wanted.message(),
        before_job_id=_before(client, wanted),
    )
    found: list[Job] = []
    searched = _Searched(older=bool(wanted.before))
    while len(found) < limit:
        request.limit = min(PAGE, limit - len(found))
        answer = client.call(client.jobs.ListJobs, request)
        if not answer.filtered and wanted.newer_flags:
            raise _too_old(client, wanted.newer_flags)
        if not answer.by_project and wanted.project:
            raise _too_old(client, ["--project"])
        found += [wire.read(Job, one) for one in answer.jobs]
        full = len(answer.jobs) == request.limit
        next_before = answer.next_before_job_id or (found[-1].job_id if full else "")
        if not next_before or searched.end(answer.searched, next_before):
            break
        request.before_job_id = next_before
    return found


def find_jobs(client: Client, wanted: Wanted) -> Iterator[list[FoundJob]]:
    """All jobs that are wanted, newest first, a page at a time; MOST_FOUND at most, and then it
    says that there are more. ClickException: the server cannot do it."""
    from hodei.protocol import hodei_pb2 as pb

    request = pb.FindJobsRequest(
        filter=wanted.message(), limit=MOST_PER_CALL, before_job_id=_before(client, wanted)
    )
    searched, count = _Searched(older=bool(wanted.before)), 0
    while True:
        answer = _find(client, request)
        if not answer.by_project and wanted.project:
            raise _too_old(client, ["--project"])
        count += len(answer.entries)
        yield [FoundJob(one.job_id, state_of(JobState, one.state)) for one in answer.entries]
        next_before = answer.next_before_job_id
        if not next_before or searched.end(answer.searched, next_before):
            return
        if count >= MOST_FOUND:
            say(f"hodei: there may be more than these {count:,} jobs: repeat the command for them")
            return
        request.before_job_id = next_before


def states_of(client: Client, ids: Sequence[str]) -> dict[str, JobState]:
    """The state of each of the jobs that there are. ClickException: the server cannot do it."""
    from hodei.protocol import hodei_pb2 as pb

    found: dict[str, JobState] = {}
    for first in range(0, len(ids), MOST_PER_CALL):
        some = ids[first : first + MOST_PER_CALL]
        answer = _find(client, pb.FindJobsRequest(job_ids=some))
        found |= {one.job_id: state_of(JobState, one.state) for one in answer.entries}
    return found


def _before(client: Client, wanted: Wanted) -> str:
    return resolve_jobs(client, [wanted.before])[0] if wanted.before else ""


def _find(client: Client, request: "pb.FindJobsRequest") -> "pb.FindJobsResponse":
    lacks = "finds no jobs to cancel or retry: give their ids, without --dry-run"
    with unless_older(client, lacks):
        answer: pb.FindJobsResponse = client.call(client.jobs.FindJobs, request)
    return answer


def _too_old(client: Client, unknown: Sequence[str]) -> Failure:
    return older(client, f"does not know {shown(', '.join(unknown))}")


class _Searched:
    """How many jobs were searched without filling a page."""

    def __init__(self, *, older: bool) -> None:
        self._older = older
        self._count = 0

    def end(self, count: int, last: str) -> bool:
        """Whether it is enough; then it says so."""
        self._count += count
        if self._count < MOST_SEARCHED:
            return False
        which = "" if self._older else "the newest "
        say(f"hodei: searched {which}{self._count:,} jobs; older ones: --before {last}")
        return True
