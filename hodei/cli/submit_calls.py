"""The calls of a submit: tried again while servers go away or do not get at their database."""

import time
from typing import Any, NamedTuple

from hodei.cli.client import Unanswered, connect, is_refusal, is_transient
from hodei.cli.errors import Failure, Lines
from hodei.cli.program import INTERRUPTED
from hodei.cli.project import projects_of
from hodei.shapes.error import ErrorKind

TRIES = 3
PAUSE_S = 0.3
"""How often a call is made, and the seconds between. As jobs have ids of our own, nothing is created
twice."""


class Where(NamedTuple):
    """Where jobs are submitted."""

    servers: str
    project: str  # empty: the caller's


class BrokeOff(Failure):
    """A piece failed, or was refused, or what stands could not be told. `stands`: jobs that stand;
    `unsure`: further ones of this piece may, too."""

    def __init__(
        self, words: str, stands: int, *, unsure: bool, kind: ErrorKind = ErrorKind.FAILED
    ) -> None:
        super().__init__(words, kind)
        self.stands = stands
        self.unsure = unsure

    def with_words(self, more: str) -> "BrokeOff":
        return type(self)(
            Lines(self.message + more), self.stands, unsure=self.unsure, kind=self.kind
        )


class Interrupted(BrokeOff):
    """A Ctrl-C in the middle."""

    exit_code = INTERRUPTED


def create(where: Where, texts: list[str], stands: int, *, partial: bool) -> Any:
    """The entries of the answer. Where it is lost, or a server goes away, the piece is sent
    again."""
    import grpc

    from hodei.protocol import hodei_pb2 as pb

    request = pb.CreateJobsRequest(specs=texts, all_or_nothing=not partial, project=where.project)
    unsure = False
    for left in reversed(range(TRIES)):
        try:
            with connect(where.servers) as client:
                if where.project:
                    projects_of(client)  # a server without projects would not look at ours
                return client.call(client.jobs.CreateJobs, request).entries
        except Unanswered as error:
            if not left or not (stands or unsure):
                raise BrokeOff(error.message, stands, unsure=unsure, kind=error.kind) from error
        except Failure as error:
            cause = error.__cause__
            if not isinstance(cause, grpc.RpcError):  # nothing was sent: a key is none, as a rule
                raise
            unsure = unsure or not is_refusal(cause)
            if not left or not is_transient(cause):
                raise BrokeOff(error.message, stands, unsure=unsure, kind=error.kind) from error
        time.sleep(PAUSE_S)
    raise AssertionError("the last try returns or raises")


def cluster_id(where: Where) -> str:
    """The id of the cluster that answers; empty where its servers do not say it. Failure: none
    answers, after as many tries as a piece has."""
    import grpc

    for left in reversed(range(TRIES)):
        try:
            with connect(where.servers) as client:
                return projects_of(client).cluster_id
        except Failure as error:
            if error.kind is ErrorKind.UNSUPPORTED:
                return ""
            cause = error.__cause__
            if not left or not isinstance(cause, grpc.RpcError) or not is_transient(cause):
                raise
        time.sleep(PAUSE_S)
    raise AssertionError("the last try returns or raises")
