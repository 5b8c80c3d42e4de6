"""The dummy of the tests is a provider like others."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hodei.domain.provider import Settings
from hodei.providers.contract import Order, Provider
from tests.providers.conformance import Conformance
from tests.providers.dummy import Dummy


class TestDummy(Conformance):
    @pytest.fixture
    def provider(self) -> Dummy:
        return Dummy()

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(uuid.uuid4(), "dummy", "docker", 3, image="there")

    @contextmanager
    def stranger(self, provider: Provider, order: Order) -> Iterator[None]:
        assert isinstance(provider, Dummy)
        provider.taken.add(order.name)
        yield
        provider.taken.clear()
