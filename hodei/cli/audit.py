"""`hodei audit`."""

import json
from typing import Any

import click

from hodei.cli import completion, show
from hodei.cli.client import Client, connect
from hodei.cli.ids import uuid_or_none
from hodei.cli.job_events import actor as actor_of
from hodei.cli.older_server import unless_older
from hodei.cli.past import Past
from hodei.cli.say import say
from hodei.shapes import wire
from hodei.shapes.job import Event

PAGE = 1000

MOST_SEARCHED = 1_000_000
"""Events that are searched for one command. It then says so."""


@click.command(
    epilog="\b\nExample:\n  hodei audit --since 1d\n  hodei audit --kind KeyCreated,KeyRevoked"
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND[,…]",
    shell_complete=completion.event_kinds,
    help="Kinds of events, as KeyCreated; one of several. Otherwise all but those of jobs.",
)
@click.option("--jobs", is_flag=True, help="The events of jobs too.")
@click.option("--actor", default="", help="Who did it, as api:nightly-import or worker:NAME.")
@click.option(
    "--about",
    default="",
    metavar="ID|NAME",
    help="The id of a key, token, worker, provider or job, or a part of one as tables show it.",
)
@click.option("--since", type=Past(), metavar="TIME", help="Since then: 10m or 2d ago, or a time.")
@click.option("--until", type=Past(), metavar="TIME", help="Before then.")
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many."
)
@show.wide_option
@show.format_option
@click.pass_obj
def audit(servers: str, /, kinds: tuple[str, ...], output: str, **wanted: Any) -> None:
    """Show who did what, newest first: keys, tokens, workers, and calls with a wrong key."""
    names = [name for part in kinds for name in part.split(",") if name]
    with connect(servers) as client:
        found = _found(client, names, wanted)
    if show.emit(output, found):
        return
    show.table(
        [
            show.Column("time"),
            show.Column("event"),
            show.Column("about", cut=True),
            show.Column("actor", cut=True, least=8),
            show.Column("what", leaves=1, cut=True),
        ],
        [
            [
                show.clock_cell(one.occurred_at),
                one.event_type,
                _short(one.aggregate_id),
                actor_of(one),
                _what(one),
            ]
            for one in found
        ],
        none="no events",
    )


def _found(client: Client, kinds: list[str], wanted: dict[str, Any]) -> list[Event]:
    from hodei.protocol import hodei_pb2 as pb

    request = pb.ListEventsRequest(
        kinds=kinds,
        with_jobs=wanted["jobs"],
        actor=wanted["actor"],
        about=wanted["about"],
        since_unix_us=wanted["since"],
        until_unix_us=wanted["until"],
    )
    found: list[Event] = []
    searched = 0
    while len(found) < wanted["limit"]:
        request.limit = min(PAGE, wanted["limit"] - len(found))
        with unless_older(client, "has no `hodei audit`: upgrade it"):
            answer = client.call(client.access.ListEvents, request)
        found += [wire.read(Event, one) for one in answer.events]
        searched += answer.searched
        if not answer.next_before_event_id:
            break
        if searched >= MOST_SEARCHED:
            say(f"hodei: searched the newest {searched:,} events; older ones: --until, --about")
            break
        request.before_event_id = answer.next_before_event_id
    return found


def _short(about: str) -> str:
    """What an event is about: a UUID as tables show it, anything else whole."""
    return show.short_id(about) if uuid_or_none(about) else about


def _what(event: Event) -> str:
    """The payload without what stands in the other columns."""
    payload = json.loads(event.payload)
    if not isinstance(payload, dict):  # a hand has set it
        return ""
    said = {key: value for key, value in payload.items() if value != event.aggregate_id}
    return ", ".join(f"{key} {_text(value)}" for key, value in said.items())


def _text(value: Any) -> str:
    return show.clock_of(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
