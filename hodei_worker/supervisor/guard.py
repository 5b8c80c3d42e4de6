"""The net under all that is done for one job: what an action of it throws ends that job, and
nothing that jobs share."""

import functools
from collections.abc import Callable
from typing import Any


class Guard:
    """Called with an action and its arguments; hands what the action throws to `fail`, which must
    not throw."""

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        self._fail = fail

    def __call__(self, action: Callable[..., object], *arguments: Any) -> None:
        try:
            action(*arguments)
        except Exception as error:  # noqa: BLE001  whatever it is: the other jobs go on
            self._fail(error)

    def over(self, action: Callable[..., object], *arguments: Any) -> Callable[..., None]:
        """The action as a callback that throws nothing."""
        return functools.partial(self, action, *arguments)
