"""What the slots need of the supervisors."""

from typing import Any, Protocol


class ToSupervisor(Protocol):
    """The link, or a test that records the frames."""

    @property
    def capabilities(self) -> list[str]:
        """What new jobs can be here, in words of Hello.capabilities."""

    def send(self, op: str, payload: bytes = b"", **header: Any) -> None: ...
