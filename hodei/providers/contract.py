"""What a kind of provider has to do; everything else is the same for all of them.

A provider makes, lists and removes *instances*: what one worker runs in (a container). It decides
nothing and remembers nothing. What it answers is data of somebody else: a caller expects nothing of
it, and a provider bounds it in time, number and bytes.

    contact()    which engine answers, what its machines are, whether the image is there
    instances()  every instance of this database on that engine, whoever made it
    make(order)  makes and starts one. False: an instance of another worker has the name, and the
                 order is void. A name that is taken by what is none of ours is an error
    words(name)  why an instance ended, for people
    remove(name) stops it within STOP_S and removes it; one that is gone is no error
    close()      gives up its connections

Calls of one provider come one after the other. Each may raise ProviderError, and Unanswered where
no engine answers. The token of an order is a secret: it reaches the worker as a file, and nothing
that the engine shows has it."""

import uuid
from dataclasses import dataclass, field
from typing import Protocol

from hodei.domain.provider import Settings
from hodei.domain.text import shown

MOST_WORDS = 300
"""Characters of an engine's words that go on to people."""

MOST_INSTANCES = 5000
"""Instances that are read of one engine."""

STOP_S = 10
"""Seconds between the stop signal for a worker and its end by force."""


class ProviderError(Exception):
    """The engine could not do it. The text is for people: one line of bounded length."""

    def __init__(self, words: str) -> None:
        super().__init__(shown(" ".join(words.split()))[:MOST_WORDS])


class Unanswered(ProviderError):
    """No engine answers there."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What answers at a provider's place."""

    id: str  # the same as long as its data is
    os: str  # as the label hodei/os: linux
    arch: str  # as the label hodei/arch: amd64
    has_image: bool


@dataclass(frozen=True, slots=True)
class Instance:
    """What one worker runs in."""

    name: str
    provider_id: uuid.UUID
    worker_id: uuid.UUID
    number: int  # within its provider, from 1
    made_s: float  # when it was ordered, in seconds since 1970 of the database's clock
    ended: bool  # it runs no more


@dataclass(frozen=True, slots=True)
class Order:
    """What to make."""

    settings: Settings
    cluster_id: uuid.UUID
    worker_id: uuid.UUID
    number: int
    made_s: float
    servers: tuple[str, ...]  # addresses that the worker tries
    token: str = field(repr=False)

    @property
    def name(self) -> str:
        """The same for each number of a provider, so that the engine itself refuses a second one.
        Operators find workers by its first words, as the guide's clean script does."""
        return (
            f"hodei-worker-{self.cluster_id.hex[:8]}-{self.settings.provider_id.hex[:8]}"
            f"-{self.number}"
        )


class Provider(Protocol):
    """One provider of one server."""

    async def contact(self) -> Engine: ...

    async def instances(self, cluster_id: uuid.UUID) -> list[Instance]: ...

    async def make(self, order: Order) -> bool: ...

    async def words(self, name: str) -> str: ...

    async def remove(self, name: str) -> None: ...

    async def close(self) -> None: ...
