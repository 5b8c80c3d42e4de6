"""Workers spread over the servers that they can get to, and come to rest."""

import random
import uuid
from collections import Counter
from dataclasses import dataclass, field

from hodei.fleet.balance import SLACK, share, surplus
from hodei.fleet.reach import Address, others
from hodei.store import server, sessions
from hodei.store.database import Connection
from hodei.store.server import Live
from tests.factories import SECRET_HASH, on, ready_worker


def reach(*addresses: Address, live: dict[str, int], age_s: float = 1000.0) -> list[str]:
    """From server A; ids of the others, sorted."""
    found = others(
        addresses, "A", {one: Live(one, age_s, held) for one, held in live.items()}, now=5000.0
    )
    return sorted(one.id for one in found)


LIVE = {"A": 9, "B": 0, "C": 0}


def test_a_worker_reaches_what_it_has_met() -> None:
    assert reach(Address("A"), Address("B"), live=LIVE) == ["B"]
    assert reach(Address("A"), Address("B"), Address("C"), live=LIVE) == ["B", "C"]
    assert reach(Address("A"), Address("A"), live=LIVE) == [], "two names of one server"


def test_one_address_is_no_choice_and_a_worker_that_tells_none_stays() -> None:
    assert reach(Address("A"), live=LIVE) == []
    assert reach(live=LIVE) == []


def test_an_address_that_was_not_tried_may_lead_to_one_unknown_server() -> None:
    assert reach(Address("A"), Address(""), live=LIVE) == ["B"]
    assert reach(Address("A"), Address(""), live={"A": 9, "B": 4, "C": 0}) == ["C"], (
        "the least laden"
    )
    assert reach(Address("A"), Address(""), Address("B"), live=LIVE) == ["B", "C"]


def test_an_address_where_nobody_answered_leads_only_to_a_server_that_is_younger() -> None:
    failed = Address("", failed_at=4990.0)
    assert reach(Address("A"), failed, live=LIVE) == []
    assert reach(Address("A"), failed, live=LIVE, age_s=5.0) == ["B"]
    assert reach(Address("A"), Address("B", failed_at=4990.0), live=LIVE) == [], (
        "it lives, and cannot be got to"
    )
    assert reach(Address("A"), Address("gone"), live=LIVE) == ["B"], (
        "started anew, under another id"
    )


def test_fair_shares() -> None:
    assert share(9, []) is None
    assert share(12, [Live("B", 1, 0), Live("C", 1, 0)]) == 4
    assert surplus(12, [None] * 12) == []
    assert len(surplus(12, [4] * 12)) == 4
    assert surplus(5, [4] * 5) == [], "a little above is left alone"
    assert surplus(6, [None, 4, None, None, None, None]) == [1], "only who has somewhere to go"
    assert surplus(1, [1]) == []


@dataclass
class World:
    """Servers by their ids, addresses that lead to one or nowhere, workers that list addresses."""

    servers: dict[str, str]  # address → id
    elsewhere: list[str]
    lists: list[list[str]]
    at: list[str] = field(default_factory=list)  # where each worker is: an address
    met: list[dict[str, Address]] = field(default_factory=list)
    started: dict[str, float] = field(default_factory=dict)  # by id; from the beginning
    now: float = 1000.0
    moves: int = 0

    def connect(self, worker: int, but: str = "") -> None:
        """To any address; only where none answers back to the one it was sent from."""
        choices = [address for address in self.lists[worker] if address != but]
        for address in [*random.sample(choices, len(choices)), but]:
            if address in self.servers:
                self.at[worker] = address
                self.met[worker][address] = Address(self.servers[address])
                return
            before = self.met[worker].get(address, Address(""))
            self.met[worker][address] = Address(before.server_id, self.now)
        raise AssertionError("no server anywhere")

    def round(self) -> int:
        """Every server looks once; how many workers moved."""
        moved = 0
        for place, me in self.servers.items():
            held = Counter(self.servers[address] for address in self.at)
            live = {
                one: Live(one, self.now - self.started.get(one, 0.0), held[one])
                for one in [*self.servers.values(), *self.elsewhere]
            }
            mine = [worker for worker, address in enumerate(self.at) if address == place]
            fair = []
            for worker in mine:
                known = [
                    self.met[worker].get(address, Address("")) for address in self.lists[worker]
                ]
                fair.append(share(len(mine), others(known, me, live, self.now)))
            for chosen in surplus(len(mine), fair):
                self.connect(mine[chosen], but=place)
                moved += 1
        self.now += 10
        self.moves += moved
        return moved

    def rest(self) -> list[int]:
        """What each server holds once nobody has moved for ten looks."""
        quiet = 0
        for _ in range(200):
            quiet = 0 if self.round() else quiet + 1
            if quiet == 10:
                return [self.at.count(address) for address in self.servers]
        raise AssertionError("they wander for ever")


def world(lists: list[list[str]], servers: list[str], elsewhere: int, start: str) -> World:
    made = World(
        {one: f"id-{one}" for one in servers}, [f"elsewhere-{n}" for n in range(elsewhere)], lists
    )
    made.at = [start] * len(lists)
    made.met = [{start: Address(made.servers[start])} for _ in lists]
    return made


def test_all_come_to_rest_wherever_servers_stand() -> None:
    for seed in range(50):
        random.seed(seed)
        spread = world([["a", "b", "c"]] * 30, ["a", "b", "c"], 0, "a").rest()
        assert max(spread) <= 10 * SLACK + 1
        for elsewhere in (1, 3):  # servers that nobody lists
            spread = world([["a", "b"]] * 20, ["a", "b"], elsewhere, "a").rest()
            assert max(spread) <= 10 * SLACK + 1
        alone = world([["a"]] * 20, ["a", "b"], 1, "a")
        assert (alone.rest(), alone.moves) == ([20, 0], 0)
        dead = world([["a", "b", "dead"]] * 20, ["a", "b"], 1, "a")
        assert max(dead.rest()) <= 10 * SLACK + 1
        mixed = world(
            [["a", "b"]] * 10 + [["a"]] * 10 + [["a", "b", "c"]] * 10, ["a", "b", "c"], 1, "a"
        )
        mixed.rest()


def test_a_server_that_was_deployed_gets_workers_again() -> None:
    random.seed(1)
    deployed = world([["a", "b"]] * 20, ["a", "b"], 1, "a")
    deployed.rest()
    del deployed.servers["b"]
    for worker, address in enumerate(deployed.at):
        if address == "b":
            deployed.connect(worker)
    assert deployed.rest() == [20]
    deployed.servers["b"] = "id-of-the-new-process"
    deployed.now += 1000
    deployed.started["id-of-the-new-process"] = deployed.now
    held = deployed.rest()
    assert max(held) <= 10 * SLACK + 1


def test_live_servers_and_what_they_hold(database_url: str) -> None:
    async def story(conn: Connection) -> tuple[int, list[Live]]:
        me = uuid.uuid4()
        await conn.execute(
            "SELECT set_config('application_name', %s, false)", [server.listener_name(me)]
        )
        first, second = await ready_worker(conn), await ready_worker(conn)
        for worker in (first, second):
            greeting = sessions.Greeting(
                worker.id, SECRET_HASH, uuid.uuid4(), "w", "0", 1, 0, {}, me
            )
            await conn.execute("UPDATE workers SET connected = false WHERE id = %s", [worker.id])
            session = await sessions.connect(conn, greeting, 25.0)
            assert session is not None
            if worker is second:
                await sessions.disconnect(conn, second.id, session.session)
        (live,) = await server.live(conn)
        assert live.id == str(me)
        return await server.count(conn), [live]

    count, (live,) = on(database_url, story)
    assert count == 1
    assert live.workers == 1
    assert 0 <= live.age_s < 60
