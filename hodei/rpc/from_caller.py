"""Requests of callers, from messages of hodei.proto to the records of hodei/flow."""

import dataclasses
import uuid
from collections.abc import Sequence

from hodei.domain.ids import uuid7
from hodei.flow.ends import WantedEnds
from hodei.flow.find import check_number
from hodei.flow.job_filter import Wanted
from hodei.flow.log_place import WantedLog
from hodei.protocol import hodei_pb2 as pb
from hodei.rpc.ids import uuid_of, uuid_or_none
from hodei.store.audit_search import Filter as EventFilter
from hodei.store.retry_many import Repeat

LAST_FROM_US = 1 << 52
"""A time of the year 2112, in microseconds since 1970: there is nothing after it."""


def wanted(said: pb.JobFilter) -> Wanted:
    """The filter that a message says."""
    return Wanted(
        states=list(said.states),
        reasons=list(said.reasons),
        workers=list(said.workers),
        name=said.name,
        labels=dict(said.labels),
        label_names=list(said.label_names),
        since=said.since_unix_us if said.HasField("since_unix_us") else None,
        until=said.until_unix_us if said.HasField("until_unix_us") else None,
        actor=said.actor,
        correlation_id=said.correlation_id,
        project=said.project,
    )


def listed(request: pb.ListJobsRequest) -> Wanted:
    """The filter of a list: its fields of the first release, and beside them the later ones."""
    said = wanted(request.filter)
    return dataclasses.replace(
        said,
        states=said.states or [text for text in [request.state] if text],
        reasons=said.reasons or [text for text in [request.reason] if text],
        correlation_id=said.correlation_id or request.correlation_id,
    )


def ids(said: Sequence[str]) -> list[uuid.UUID]:
    """Ids of jobs. Invalid: there are too many, none of which is read then, or one is no UUID."""
    check_number(said)
    return [uuid_of(text, "job_ids") for text in said]


def repeats(said: Sequence[pb.RetryJobRequest]) -> list[Repeat]:
    """Jobs to be repeated; a new one gets an id here where the caller has given none. Invalid: as
    of `ids`."""
    check_number(said)
    return [
        Repeat(uuid_of(one.job_id, "job_id"), uuid_or_none(one.new_job_id, "new_job_id") or uuid7())
        for one in said
    ]


def wanted_log(request: pb.ReadLogsRequest) -> WantedLog:
    return WantedLog(
        cursor=request.cursor,
        follow=request.follow,
        attempt=request.attempt,
        last_lines=request.tail_lines if request.HasField("tail_lines") else None,
        since=min(max(request.since_unix_us, 0), LAST_FROM_US),
        tell_waiting=request.tell_waiting,
    )


def wanted_ends(request: pb.WaitJobsRequest) -> WantedEnds:
    ids = [uuid_of(text, "job_ids") for text in request.job_ids]
    return WantedEnds(ids, request.any, request.tell_waiting, request.goes_on)


def wanted_events(request: pb.ListEventsRequest) -> EventFilter:
    return EventFilter(
        kinds=request.kinds,
        with_jobs=request.with_jobs,
        actor=request.actor or None,
        about=request.about or None,
        since=request.since_unix_us if request.HasField("since_unix_us") else None,
        until=request.until_unix_us if request.HasField("until_unix_us") else None,
    )
