"""Actors that act for somebody else are texts like all others."""

import json

from hodei.domain.actor import Actor, on_behalf_of, said_by, with_addition


def test_an_actor_is_a_text_that_carries_for_whom_it_acts() -> None:
    actor = Actor("api:ci", "cli:ana")
    assert (actor, json.dumps([actor])) == ("api:ci", '["api:ci"]')
    assert {actor: 1} == {"api:ci": 1}
    assert (on_behalf_of(actor), said_by(actor)) == ("cli:ana", '{"on_behalf_of": "cli:ana"}')
    added = with_addition(actor, "deploy")
    assert (added, on_behalf_of(added)) == ("api:ci:deploy", "cli:ana")


def test_other_actors_say_nothing() -> None:
    for actor in ("cli:ana", Actor("api:ci")):
        assert (on_behalf_of(actor), said_by(actor)) == ("", "{}")
    assert with_addition("cli:ana", "deploy") == "cli:ana:deploy"
