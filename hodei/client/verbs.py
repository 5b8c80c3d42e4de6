"""What a client can ask, without any I/O: each verb is a generator that yields calls, is sent their
answers, and returns what the caller gets. Both clients run the same ones."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from hodei.client import records
from hodei.client.errors import TimedOut, Unsupported
from hodei.client.filters import FIRST_RELEASE, project_of, request_fields
from hodei.client.reading import JobId, id_of, record
from hodei.client.servers import Tries
from hodei.client.specs import AnySpec, Ready, ready
from hodei.domain.errors import (
    Conflict,
    Duplicate,
    Exhausted,
    HodeiError,
    Invalid,
    Locked,
    Unavailable,
)
from hodei.domain.ids import following, uuid7
from hodei.domain.job import JobState
from hodei.domain.text import shown
from hodei.protocol.pieces import pieces

T = TypeVar("T")

MOST_BYTES = 4 << 20
"""Bytes of a request. gRPC would refuse a larger one as it refuses what is too much at the moment."""

MOST_LIMIT = 1000
"""Jobs of one answer of ListJobs, at most."""

NO_PROJECTS = "the server is of an older release, which has no projects"


@dataclass(slots=True)
class Call:
    """One call of JobService. Whoever makes it notes its tries.

    `in_project`: it names a project, which a server of an older release would ignore."""

    method: str
    request: Any
    in_project: bool = False
    tries: Tries | None = None

    @property
    def steps(self) -> list[tuple[str, Any]]:
        """The methods and requests of one try, all of one server; the last one has the answer. One of
        an older release does not know the first, if there are two."""
        asked = [("ListProjects", request_of("ListProjects"))] if self.in_project else []
        return [*asked, (self.method, self.request)]

    @property
    def may_be_done(self) -> bool:
        """Whether a try of it that failed may have reached a server."""
        return self.tries is not None and self.tries.may_be_done


Verb = Generator[Call, Any, T]


def submit(spec: AnySpec, project: str | None) -> Verb[str]:
    """Creates a job and returns its id."""
    named = project_of(project)
    one = ready(spec)
    again = f"submitted again with id={one.job_id!r} it does not run twice"
    yield from _create([one], named, Behind(0, 1, again))
    return one.job_id


def submit_many(
    specs: Iterable[AnySpec], project: str | None, ids_from: JobId | None
) -> Verb[list[str]]:
    """Creates jobs, in pieces that are each stored together or not at all, and returns their ids in
    order. All specs are looked at before the first piece is sent."""
    named = project_of(project)
    if not isinstance(specs, Iterable):
        raise Invalid(f"specs: expected several specs, got {type(specs).__name__}")
    first = _first_id(ids_from)
    many = []
    for number, spec in enumerate(specs):
        try:
            many.append(ready(spec, str(following(first, number))))
        except Invalid as error:
            raise Invalid(f"specs[{number}]: {error}") from None
    again = f"submitted again with ids_from={str(first)!r} none of them runs twice"
    stored = 0
    for piece in pieces(many):
        yield from _create(piece, named, Behind(stored, len(many), again))
        stored += len(piece)
    return [one.job_id for one in many]


def _first_id(given: JobId | None) -> UUID:
    """The id from which the others are counted. Invalid: none can be counted from what is given."""
    if given is None:
        return uuid7()
    try:
        first = UUID(id_of(given))
    except Invalid:
        first = UUID(int=0)
    if first.version != 7:
        got = shown(str(given)[:80])
        raise Invalid(f"ids_from: expected an id that new_id made, got {got}")
    return first


class Behind(NamedTuple):
    """The place of a piece: behind the `stored` specs of a call of `of`. `again`: how these are
    submitted again, in words."""

    stored: int
    of: int
    again: str


def _create(piece: Sequence[Ready], project: str, place: Behind) -> Verb[None]:
    """Stores a piece; without a name the project is the caller's. An error says what stands, what may
    stand, and with which ids the call is repeated."""
    texts = [one.text for one in piece]
    call = _call("CreateJobs", specs=texts, all_or_nothing=True, project=project)
    call.in_project = bool(project)
    try:
        answer = yield call
        for number, entry in enumerate(answer.entries, place.stored):
            if entry.error and entry.error_code != "ABORTED":
                where = f"specs[{number}]: " if place.of > 1 else ""
                raise _refusal(entry.error_code, f"{where}{shown(entry.error)}")
    except HodeiError as error:
        words = NO_PROJECTS if call.in_project and isinstance(error, Unsupported) else str(error)
        unsure = call.may_be_done and isinstance(error, Unavailable | TimedOut | Exhausted)
        if place.stored:
            words += f"; the first {place.stored} of {place.of} jobs are stored"
        if unsure:
            words += "; it may have been stored all the same"
        if place.stored or unsure:
            words += f": {place.again}"
        raise type(error)(words) from None


def _refusal(code: str, words: str) -> HodeiError:
    kinds: dict[str, type[HodeiError]] = {"ALREADY_EXISTS": Duplicate, "UNAVAILABLE": Locked}
    return kinds.get(code, Invalid)(words)


def get(job: JobId) -> Verb[records.Job]:
    """Returns a job."""
    return record(records.Job, (yield _call("GetJob", job_id=id_of(job))))


def list_jobs(
    wanted: Mapping[str, Any], before: JobId | None, limit: int
) -> Verb[list[records.Job]]:
    """Returns the newest jobs, without their specs, in as many calls as that takes. Unsupported: a
    server of an older release does not know the filter."""
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise Invalid(f"limit: expected a whole number from 1, got {limit!r}")
    fields = request_fields(wanted)
    found: list[records.Job] = []
    last = id_of(before) if before is not None else ""
    while len(found) < limit:
        most = min(limit - len(found), MOST_LIMIT)
        answer = yield _call("ListJobs", **fields, before_job_id=last, limit=most)
        if "filter" in fields and not answer.filtered:
            known = ", ".join(FIRST_RELEASE)
            raise Unsupported(f"the server is of an older release: it knows only one {known}")
        if wanted.get("project") is not None and not answer.by_project:
            raise Unsupported(NO_PROJECTS)
        found += [record(records.Job, one) for one in answer.jobs]
        if len(answer.jobs) < most and not answer.next_before_job_id:
            break
        last = answer.next_before_job_id or found[-1].job_id
    return found


def cancel(job: JobId) -> Verb[records.Job]:
    """Asks for a job's end and returns the job as it is then. A try of which the answer was lost may
    have ended the job: that is no conflict."""
    call = _call("CancelJob", job_id=id_of(job))
    try:
        return record(records.Job, (yield call))
    except Conflict:
        if not call.may_be_done:
            raise
        found = yield from get(job)
        if found.state != JobState.CANCELLED:
            raise
        return found


def retry(job: JobId, new_id: JobId | None) -> Verb[records.Job]:
    """Runs an ended job again and returns the new job. Its id is made here: a repeated call is the
    same job."""
    new = id_of(new_id) if new_id is not None else str(uuid7())
    call = _call("RetryJob", job_id=id_of(job), new_job_id=new)
    return record(records.Job, (yield call))


def timeline(job: JobId) -> Verb[list[records.Event]]:
    """Returns the last 1,000 events of a job, oldest first."""
    answer = yield _call("GetTimeline", job_id=id_of(job))
    return [record(records.Event, event) for event in answer.events]


def attempts(job: JobId) -> Verb[list[records.Attempt]]:
    """Returns the last 1,000 attempts of a job, oldest first."""
    answer = yield _call("GetAttempts", job_id=id_of(job))
    return [record(records.Attempt, one) for one in answer.attempts]


REQUESTS = {
    "CreateJobs": "CreateJobsRequest",
    "GetJob": "JobRef",
    "ListJobs": "ListJobsRequest",
    "ListProjects": "ListProjectsRequest",
    "CancelJob": "CancelJobRequest",
    "RetryJob": "RetryJobRequest",
    "GetTimeline": "JobRef",
    "GetAttempts": "JobRef",
    "ReadLogs": "ReadLogsRequest",
    "WaitJobs": "WaitJobsRequest",
}


def _call(method: str, **values: Any) -> Call:
    return Call(method, request_of(method, **values))


def request_of(method: str, **values: Any) -> Any:
    """The request of a call. Invalid: it is larger than any that servers take."""
    from hodei.protocol import hodei_pb2

    request = getattr(hodei_pb2, REQUESTS[method])(**values)
    if (size := request.ByteSize()) > MOST_BYTES:
        raise Invalid(f"{method}: expected a request of at most {MOST_BYTES} bytes, got {size}")
    return request
