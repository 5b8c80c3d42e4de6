"""The labels of a worker: its own, and the reserved ones, which servers make of its capabilities.

A worker that sends a reserved label itself is of an older release or somebody's own program: it may
not get jobs by a label that it cannot stand for."""

from loguru import logger

from hodei.domain.spec_keys import CONTAINERS_ONLY, EXECUTOR, LABEL_VALUE, SECRETS
from hodei.protocol import hodei_pb2 as pb

RESERVED = "hodei/"

OF_MACHINE = {"os": f"{RESERVED}os", "arch": f"{RESERVED}arch"}
"""Capabilities of the form WORD=VALUE, and the labels with that value."""

LONGEST_VALUE = 255  # characters, as of every label


def of(said: pb.Hello, *, decrypts: bool) -> dict[str, str]:
    """Returns what jobs may require of this worker. `said` is checked. `decrypts`: this server can
    give the worker's jobs secrets."""
    labels = {name: value for name, value in said.labels.items() if not name.startswith(RESERVED)}
    if len(labels) < len(said.labels):
        dropped = ", ".join(sorted(name for name in said.labels if name not in labels))
        logger.bind(component="WorkerMonitor").warning(
            "worker {}: labels that begin with {} are given by servers; dropped: {}",
            said.name,
            RESERVED,
            dropped,
        )
    if "docker" in said.capabilities:
        labels[EXECUTOR] = "docker"
    if "containers-only" in said.capabilities:
        labels[CONTAINERS_ONLY] = "yes"
    if decrypts and "secrets" in said.capabilities:
        labels[SECRETS] = LABEL_VALUE
    for capability in said.capabilities:
        word, _, value = capability.partition("=")
        if (name := OF_MACHINE.get(word)) and 0 < len(value) <= LONGEST_VALUE:
            labels[name] = value
    return labels
