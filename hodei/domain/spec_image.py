"""What the spec of a container job needs, and what is added to its stored form."""

from typing import Any

from hodei.domain.errors import Invalid
from hodei.domain.spec_keys import EXECUTOR, OF_IMAGES, START_TIMEOUT_S


def check(spec: dict[str, Any]) -> None:
    """Checks the keys that go together, when each alone is valid. Adds what a stored form has."""
    if "image" not in spec:
        for key in OF_IMAGES:
            if key in spec:
                raise Invalid(f"{key}: expected an image with it")
        return
    if "umask" in spec:
        raise Invalid("umask: expected no image with it")
    if "entrypoint" in spec and ("script" in spec or isinstance(spec.get("command"), str)):
        raise Invalid("entrypoint: expected a list of arguments with it, or nothing else to run")
    spec.setdefault("start_timeout", START_TIMEOUT_S)
    spec["labels"] = {**spec.get("labels", {}), EXECUTOR: "docker"}
