"""What the slots need of the supervisors."""

from typing import Any, Protocol

from hodei_worker.supervisor.wire import Leftover


class ToSupervisor(Protocol):
    """The link, or a test that records the frames."""

    @property
    def capabilities(self) -> list[str]:
        """What new jobs can be here, in words of Hello.capabilities."""

    @property
    def leftovers(self) -> list[Leftover]:
        """Containers of other workers, of any cluster."""

    def remove_leftover(self, one: Leftover) -> None: ...

    def send(self, op: str, payload: bytes = b"", **header: Any) -> None: ...
