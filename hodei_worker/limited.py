"""A worker that takes jobs of some projects only, and the servers that would give it others."""

from collections.abc import Collection

from hodei.protocol import hodei_pb2 as pb
from hodei_worker.stream_end import StreamOver

WORD = "projects"
"""In Welcome.capabilities: this server heeds Hello.projects."""

OLDER_SERVER = (
    "it is of an older release, which gives jobs of any project to every worker; upgrade that server,"
    " or leave out --project"
)


def check_welcome(sent: pb.Welcome, projects: Collection[str]) -> None:
    """Raises StreamOver if this worker must leave the server. `projects`: whose jobs alone it takes;
    empty: of all."""
    if projects and WORD not in sent.capabilities:
        raise StreamOver(OLDER_SERVER)
