"""Both clients, so that each check is made of both: the asynchronous one is driven by a loop of the
test's own."""

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from hodei.client import AsyncHodei, Hodei


class Awaited:
    """An AsyncHodei that is called as a Hodei is."""

    def __init__(self, client: AsyncHodei, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            answer = getattr(self._client, name)(*arguments, **options)
            if inspect.isasyncgen(answer):
                return self._items(answer)
            return self._runner.run(awaited(answer))

        return call

    def _items(self, items: AsyncGenerator[Any, Any]) -> Generator[Any, None, None]:
        try:
            while True:
                try:
                    yield self._runner.run(awaited(anext(items)))
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(items.aclose())


async def awaited(answer: Any) -> Any:
    """A coroutine of whatever can be awaited."""
    return await answer


Make = Callable[..., Any]


@pytest.fixture(params=["blocking", "asyncio"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes clients of one of the two kinds, and closes them."""
    made: list[Any] = []
    with asyncio.Runner() as runner:

        def one(*arguments: Any, **options: Any) -> Any:
            if request.param == "blocking":
                made.append(Hodei(*arguments, **options))
            else:
                made.append(Awaited(AsyncHodei(*arguments, **options), runner))
            return made[-1]

        yield one
        for client in made:
            client.close()


@pytest.fixture
def django_database(database_url: str) -> Iterator[None]:
    """Django, with the test's database."""
    import django
    from django.conf import settings
    from django.db import connections

    url = urlsplit(database_url)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.path.lstrip("/"),
        "USER": url.username,
        "PASSWORD": url.password,
        "HOST": url.hostname,
        "PORT": url.port,
    }
    if not settings.configured:
        settings.configure(DATABASES={"default": database})
        django.setup()
    connections["default"].settings_dict.update(database)
    yield
    connections["default"].close()
