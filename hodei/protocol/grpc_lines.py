"""The lines that gRPC's core writes to standard error by itself."""

import os


def silence(*, also_asked_for: bool) -> None:
    """Keeps them out. It counts only before anything imports grpc, which then reads the variable.

    `also_asked_for`: against a GRPC_VERBOSITY of the environment as well, where whoever reads
    standard error expects JSON."""
    if also_asked_for:
        os.environ["GRPC_VERBOSITY"] = "NONE"
    else:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
