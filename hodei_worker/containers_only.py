"""A worker that runs no plain processes, and the servers that would give it some."""

from hodei.protocol import hodei_pb2 as pb
from hodei_worker.stream_end import StreamOver

WORD = "containers-only"
"""In Hello.capabilities: this worker takes no plain processes. In Welcome.capabilities: this server
gives such a worker none."""

OLDER_SERVER = (
    "it is of an older release, which gives plain processes to every worker, and this worker runs"
    " only containers; upgrade that server, or add --executor process"
)


def check_welcome(sent: pb.Welcome, *, processes: bool) -> None:
    """Raises StreamOver if this worker must leave the server. `processes`: whether it runs any."""
    if not processes and WORD not in sent.capabilities:
        raise StreamOver(OLDER_SERVER)
