"""A job's spec as its caller may see it: who may only look sees no value of the environment, and
nothing of what the job reads from its standard input. They are secrets as a rule."""

import json

from hodei.access.principal import principal
from hodei.access.roles import Role, may
from hodei.store.json_values import readable

HIDDEN = "***"


def shown_spec(spec: str) -> str:
    """Returns a spec (JSON) for the caller at hand. Names of the environment stay, and so do values
    that are no text, which only name a value."""
    if may(principal.get().role, Role.SUBMITTER):
        return readable(spec)
    keys = json.loads(readable(spec))
    if not isinstance(keys, dict):
        return "{}"  # a hand has set it
    env = keys.get("env")
    if isinstance(env, dict):
        keys["env"] = {
            name: HIDDEN if isinstance(value, str) else value for name, value in env.items()
        }
    for key in ("stdin", "stdin_base64"):
        if key in keys:
            keys[key] = HIDDEN
    return json.dumps(keys, ensure_ascii=False)
