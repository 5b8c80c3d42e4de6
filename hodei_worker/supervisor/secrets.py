"""The values of secrets in the supervisor: how they come over the socket, and into the environment
of a job. They are in memory alone: no file, no journal and no command line has them."""

from collections.abc import Mapping
from typing import Any

from hodei_worker.supervisor.spec import Unusable


class Values(dict[str, str]):
    """Values by the names of their secrets; they are never printed."""

    def __repr__(self) -> str:
        return f"<values of {len(self)} secrets>"

    __str__ = __repr__


def packed(values: Mapping[str, str]) -> tuple[dict[str, int], bytes]:
    """Returns for a frame: the names with the bytes of each value, and the values themselves, which
    stand at the end of its payload. (JSON could make six bytes of one.)"""
    encoded = {name: value.encode() for name, value in values.items()}
    return {name: len(value) for name, value in encoded.items()}, b"".join(encoded.values())


def unpacked(lengths: Mapping[str, int], payload: bytes) -> tuple[bytes, Values]:
    """Takes the values off the end of a payload. Returns what is before them, and the values."""
    at = len(payload) - sum(lengths.values())
    before, values = payload[:at], Values()
    for name, length in lengths.items():
        values[name] = payload[at : at + length].decode()
        at += length
    return before, values


def names(spec: Mapping[str, Any]) -> list[str]:
    """Returns the names of the secrets that a spec needs."""
    found = {value["secret"] for value in spec.get("env", {}).values() if type(value) is dict}
    found |= {spec["registry_secret"]} if "registry_secret" in spec else set()
    return sorted(found)


def check(spec: Mapping[str, Any], values: Values) -> None:
    """Raises Unusable if the value of a secret that the spec names has not come."""
    for name in names(spec):
        if name not in values:
            raise Unusable(f"secret {name}: its value did not come with the job")


def environment(spec: Mapping[str, Any], values: Values) -> dict[str, str]:
    """Returns the variables of a spec, with the values of those that name a secret."""
    return {
        name: values[value["secret"]] if type(value) is dict else value
        for name, value in spec.get("env", {}).items()
    }
