"""What a server says to a worker on its stream, one record for each kind of message.

fleet and flow put them into a stream's outbox (fleet/stream.py); rpc/to_worker.py writes them in
the worker's language.
"""

from typing import NamedTuple

from hodei.domain.secret import SecretValues
from hodei.store.claims import Offer


class Cancel(NamedTuple):
    """Stop the job of this lease."""

    lease: int
    reason: str
    message: str


class LogAck(NamedTuple):
    """All chunks before `next_seq` are committed: the worker may drop them."""

    lease: int
    next_seq: int


class ResultAck(NamedTuple):
    """The results of these leases are committed: the worker forgets the leases."""

    leases: list[int]


class Refused(NamedTuple):
    """The lease no longer holds: the worker kills the job's processes and forgets it."""

    lease: int
    why: str


class LeaseSecrets(NamedTuple):
    """The values of secrets that the attempt of this lease was given: its worker masks them."""

    lease: int
    values: SecretValues


class Recall(NamedTuple):
    """The worker hands back the offers among these leases that no slot has taken."""

    leases: list[int]


class Drain(NamedTuple):
    """An operator has drained the worker, so that it gets no more offers, or has taken that back."""

    on: bool


class NextCredentialStored(NamedTuple):
    """The hash of the worker's next secret is committed: the worker may connect with it."""

    sha256: bytes


class GoAway(NamedTuple):
    """The worker leaves this server after `reconnect_after_s` and connects to another one."""

    reconnect_after_s: float
    why: str


class CutOff(NamedTuple):
    """This server cannot reach the database, or reaches it again: while it cannot, the worker looks
    for another server that can."""

    on: bool


class Abandoned(NamedTuple):
    """The worker removes the containers of these leases, which workers that are gone have left."""

    leases: list[int]


class ServerHeartbeat(NamedTuple):
    """A sign of life, by which the worker finds a half-open stream."""


Message = (
    Offer
    | Cancel
    | LogAck
    | ResultAck
    | Refused
    | LeaseSecrets
    | Recall
    | Drain
    | GoAway
    | CutOff
    | NextCredentialStored
    | Abandoned
    | ServerHeartbeat
)
