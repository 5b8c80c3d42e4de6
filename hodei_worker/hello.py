"""What this worker says of itself when it connects."""

from collections.abc import Iterable

import hodei_worker
from hodei.protocol import hodei_pb2 as pb
from hodei_worker.about import about
from hodei_worker.config import Settings
from hodei_worker.job_user import job_user
from hodei_worker.machine import machine
from hodei_worker.slots import Slots


def hello(
    settings: Settings, instance: str, slots: Slots, addresses: Iterable[pb.Address]
) -> pb.Hello:
    """`addresses`: of the servers, as the one that is greeted gets them."""
    return pb.Hello(
        protocol_min=1,
        protocol_max=1,
        instance=instance,
        name=settings.name,
        version=hodei_worker.__version__,
        slots=settings.slots,
        labels=settings.labels,
        capabilities=["recall", "stay", *slots.supervisor.capabilities, *machine()],
        held=slots.held(),
        addresses=addresses,
        job_user=job_user(settings),
        about=about(settings),
        projects=settings.projects,
    )
