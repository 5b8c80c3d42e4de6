"""The dummy of the tests is a provider like others."""

import uuid

import pytest

from hodei.domain.provider import Settings
from tests.providers.conformance import Conformance
from tests.providers.dummy import Dummy


class TestDummy(Conformance):
    @pytest.fixture
    def provider(self) -> Dummy:
        return Dummy()

    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(uuid.uuid4(), "dummy", "docker", 3, image="there")
