"""What every kind of provider has to do (hodei/providers/contract.py). A kind is tested by a class
below this one, with a fixture `provider` and one `settings` that fit each other."""

import asyncio
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from hodei.domain.provider import Settings
from hodei.providers.contract import MOST_WORDS, Instance, Order, Provider, ProviderError
from tests.eventually import eventually
from tests.providers.dummy import NO_SUCH_USER

TOKEN = "7d3c0e1a-0000-4000-8000-c0ffee000000"


def an_order(settings: Settings, number: int = 1) -> Order:
    """Its worker finds no server there, and tries on."""
    cluster, worker = uuid.uuid4(), uuid.uuid4()
    return Order(settings, cluster, worker, number, 1000.25, ("127.0.0.1:1",), TOKEN)


class Conformance:
    def stranger(self, provider: Provider, order: Order) -> AbstractContextManager[None]:
        """What is none of ours has the name of this order."""
        raise NotImplementedError

    @pytest.fixture
    def order(self, provider: Provider, settings: Settings) -> Order:
        return an_order(settings)

    def instances(self, provider: Provider, order: Order) -> list[Instance]:
        return asyncio.run(provider.instances(order.cluster_id))

    def test_the_engine_is_the_same_each_time(self, provider: Provider) -> None:
        first, second = (asyncio.run(provider.contact()) for _ in range(2))
        assert first == second
        assert first.id
        assert first.os == "linux"
        assert first.has_image

    def test_what_is_made_is_listed_as_it_was_ordered_once(
        self, provider: Provider, order: Order
    ) -> None:
        assert self.instances(provider, order) == []
        for _ in range(2):
            assert asyncio.run(provider.make(order))
        another = replace(order, worker_id=uuid.uuid4())
        assert not asyncio.run(provider.make(another)), "the name is the first one's"
        expected = Instance(
            order.name, order.settings.provider_id, order.worker_id, 1, 1000.25, ended=False
        )
        assert self.instances(provider, order) == [expected]
        stranger = replace(order, cluster_id=uuid.uuid4())
        assert self.instances(provider, stranger) == []
        asyncio.run(provider.remove(order.name))

    def test_what_is_removed_is_gone_and_may_be_removed_again(
        self, provider: Provider, order: Order
    ) -> None:
        asyncio.run(provider.make(order))
        for _ in range(2):
            asyncio.run(provider.remove(order.name))
            assert self.instances(provider, order) == []

    def test_one_that_has_ended_is_listed_and_says_why(
        self, provider: Provider, settings: Settings
    ) -> None:
        order = an_order(replace(settings, job_user=NO_SUCH_USER))
        asyncio.run(provider.make(order))
        ended: Callable[[], bool] = lambda: self.instances(provider, order)[0].ended  # noqa: E731
        assert eventually(ended)
        said = asyncio.run(provider.words(order.name))
        assert "exit code 2" in said
        assert f"no user '{NO_SUCH_USER}'" in said
        assert TOKEN not in said
        asyncio.run(provider.remove(order.name))

    def test_what_cannot_be_made_is_refused_in_few_words_and_leaves_nothing(
        self, provider: Provider, settings: Settings
    ) -> None:
        order = an_order(replace(settings, image="no-such-image"))
        with pytest.raises(ProviderError) as refused:
            asyncio.run(provider.make(order))
        assert 0 < len(str(refused.value)) <= MOST_WORDS
        assert str(refused.value).isprintable()
        assert self.instances(provider, order) == []

    def test_a_name_that_is_taken_by_a_stranger_is_an_error(
        self, provider: Provider, order: Order
    ) -> None:
        with self.stranger(provider, order):
            with pytest.raises(ProviderError, match=f"the name {order.name} is taken by a contain"):
                asyncio.run(provider.make(order))
            assert self.instances(provider, order) == []
        assert asyncio.run(provider.make(order))
        asyncio.run(provider.remove(order.name))

    def test_an_order_does_not_show_its_token(self, order: Order) -> None:
        assert TOKEN not in repr(order)
