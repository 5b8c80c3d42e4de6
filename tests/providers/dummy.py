"""A provider without an engine: what it makes is a list, and what goes wrong is scripted."""

import uuid
from dataclasses import dataclass, field, replace

from hodei.providers.contract import Engine, Instance, Order, ProviderError, Unanswered

NO_SUCH_USER = "nobody-there"
"""A worker whose jobs are to run as this user ends at once, as a real one does."""


@dataclass
class Dummy:
    """It fulfils contract.Provider."""

    engine: Engine = field(default_factory=lambda: Engine("ENGINE-A", "linux", "amd64", True))
    made: dict[str, tuple[uuid.UUID, Instance]] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    gone: str = ""  # why no engine answers
    refuses: str = ""  # why nothing can be made
    taken: set[str] = field(default_factory=set)  # names of what is none of ours
    closed: int = 0

    async def contact(self) -> Engine:
        self._answer()
        return self.engine

    async def instances(self, cluster_id: uuid.UUID) -> list[Instance]:
        self._answer()
        return [one for cluster, one in self.made.values() if cluster == cluster_id]

    async def make(self, order: Order) -> bool:
        self._answer()
        if self.refuses or order.settings.image == "no-such-image":
            raise ProviderError(self.refuses or "no such image")
        if order.name in self.taken:
            raise ProviderError(f"the name {order.name} is taken by a container that is not ours")
        self.orders.append(order)
        instance = Instance(
            order.name,
            order.settings.provider_id,
            order.worker_id,
            order.number,
            order.made_s,
            ended=order.settings.job_user == NO_SUCH_USER,
        )
        _, made = self.made.setdefault(order.name, (order.cluster_id, instance))
        return made.worker_id == order.worker_id

    async def words(self, name: str) -> str:
        self._answer()
        return f"it ended with exit code 2; its last words: no user '{NO_SUCH_USER}'"

    async def remove(self, name: str) -> None:
        self._answer()
        self.made.pop(name, None)

    async def close(self) -> None:
        self.closed += 1

    def end(self, name: str) -> None:
        cluster, one = self.made[name]
        self.made[name] = cluster, replace(one, ended=True)

    def _answer(self) -> None:
        if self.gone:
            raise Unanswered(self.gone)
