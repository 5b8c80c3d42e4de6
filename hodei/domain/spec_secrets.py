"""What a spec says of secrets: it has their names, and never a value."""

import re
from typing import Any

from hodei.domain.errors import Invalid
from hodei.domain.secret import MOST_OF_A_JOB, NAME
from hodei.domain.spec_keys import EXECUTOR, LABEL_VALUE, SECRETS

_NAME = re.compile(NAME.replace("$", r"\Z"))


def forget_derived(spec: dict[str, Any]) -> None:
    """Takes out the labels that the checks add, those of containers too: a stored form may be given
    again, and changed."""
    if isinstance(labels := spec.get("labels"), dict):
        labels.pop(EXECUTOR, None)
        labels.pop(SECRETS, None)


def check_variable(place: str, value: dict[str, Any]) -> None:
    """Checks the value of a variable that is an object."""
    named = value["secret"] if set(value) == {"secret"} else None
    if not (isinstance(named, str) and _NAME.search(named)):
        raise Invalid(
            f'{place}: expected a string, or the name of a secret as {{"secret": "name"}}'
        )


def names(spec: dict[str, Any]) -> list[str]:
    """Returns the names of the secrets that a stored spec needs, each once, in order."""
    env = spec.get("env", {})
    found = {value["secret"] for value in env.values() if isinstance(value, dict)}
    if "registry_secret" in spec:
        found.add(spec["registry_secret"])
    return sorted(found)


def check(spec: dict[str, Any]) -> None:
    """Adds the label of a job with secrets. The keys themselves are checked."""
    if not ("registry_secret" in spec or "env" in spec) or not (count := len(names(spec))):
        return
    if count > MOST_OF_A_JOB:
        raise Invalid(f"env: expected at most {MOST_OF_A_JOB} different secrets, got {count}")
    spec["labels"] = {**spec.get("labels", {}), SECRETS: LABEL_VALUE}


def needs_any(spec: dict[str, Any]) -> bool:
    """Whether a stored spec names a secret."""
    return SECRETS in spec.get("labels", {})
