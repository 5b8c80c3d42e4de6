"""Workers on demand, as the settings of a server say where workers find it."""

import uuid

from hodei.config import Settings
from hodei.providers.keeper import Keeper
from hodei.providers.reconciliation import Here
from hodei.store.database import Database


def keeper_of(database: Database, server_id: uuid.UUID, settings: Settings) -> Keeper:
    """What looks after the providers of the database, for a server with this id."""
    here = Here(
        server_id,
        settings.advertise,
        settings.only_loopback,
        decrypts=bool(settings.secret_key_files),
    )
    return Keeper(database, here)
