"""The parts that all container jobs of a worker share."""

from dataclasses import dataclass
from pathlib import Path

from hodei_worker.containers.allowed import Allowed
from hodei_worker.containers.engine import Engine
from hodei_worker.containers.images import Images
from hodei_worker.containers.programs import Programs
from hodei_worker.containers.remover import Remover
from hodei_worker.containers.settings import ContainerSettings
from hodei_worker.containers.tasks import Tasks


@dataclass
class Parts:
    """What each container job is given of its process."""

    engine: Engine
    images: Images
    programs: Programs
    remover: Remover
    allowed: Allowed
    settings: ContainerSettings
    positions: Path  # folder
    tasks: Tasks
