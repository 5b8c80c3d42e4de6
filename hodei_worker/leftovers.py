"""Containers that workers of this cluster have left on the engine that this worker uses: a server
knows whether anybody will still end them."""

import uuid
from collections.abc import Iterable

from loguru import logger

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol.bounds import MOST_NUMBER
from hodei_worker.slots import Slots
from hodei_worker.supervisor.wire import Leftover


def messages(slots: Slots) -> list[pb.Leftover]:
    """Returns those of the server's cluster."""
    return [
        pb.Leftover(lease=one["lease"], job_id=one["job_id"], worker_id=one["worker_id"])
        for one in _of_cluster(slots)
    ]


def remove(slots: Slots, leases: Iterable[int]) -> None:
    """Has those removed that have one of these leases. Others than leftovers are never touched."""
    wanted = set(leases)
    for one in _of_cluster(slots) if wanted else ():
        if one["lease"] in wanted:
            logger.info("removing the container of lease {}: its worker is gone", one["lease"])
            slots.supervisor.remove_leftover(one)


def _of_cluster(slots: Slots) -> list[Leftover]:
    """What an engine says may be anything: what is no label of ours is left out."""
    cluster = slots.cluster_id
    found = [one for one in slots.supervisor.leftovers if cluster and one["cluster"] == cluster]
    return [one for one in found if _is_whole(one)]


def _is_whole(one: Leftover) -> bool:
    try:
        uuid.UUID(one["job_id"])
        uuid.UUID(one["worker_id"])
    except ValueError:
        return False
    return 1 <= one["lease"] <= MOST_NUMBER
