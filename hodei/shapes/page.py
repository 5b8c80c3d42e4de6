"""docs/json.md, made from the shapes: `tools/json-docs` writes it."""

import types
import typing
from typing import Any

from hodei.shapes.access import ApiKey, Identity
from hodei.shapes.error import Error
from hodei.shapes.fields import Field, Json, Time, fields_of, shape_in
from hodei.shapes.fleet import (
    Lacking,
    ListeningServer,
    Maintenance,
    Restoration,
    Rotation,
    SchemaReport,
    Secret,
    Status,
    Token,
    Unservable,
    Worker,
    WorkerDetails,
    WorkerJob,
)
from hodei.shapes.job import Attempt, Event, Job, JobChange, LogChunk, Submitted
from hodei.shapes.local import Certificates, Context
from hodei.shapes.provider import Provider

WHERE: dict[type, str] = {
    Job: "`hodei job get` prints one; `hodei job list` prints a list; `hodei job wait` prints one a line,"
    " as they end (JSON lines).",
    Submitted: "`hodei job submit` prints one a line (JSON lines); `hodei job run --detach` prints one.",
    JobChange: "`hodei job cancel` and `retry` print a list.",
    Attempt: "`hodei job attempts` prints a list.",
    Event: "`hodei job timeline` and `hodei audit` print a list.",
    LogChunk: "`hodei job logs` prints one a line, as they come (JSON lines).",
    Worker: "`hodei worker list` prints a list; `hodei worker drain` and `revoke` print one, or a list"
    " if they were given several.",
    WorkerDetails: "`hodei worker get` prints one.",
    WorkerJob: "In `jobs` of a worker's details.",
    Lacking: "In `lacking` of a worker's details.",
    Token: "`hodei token create` and `revoke` print one; `hodei token list` prints a list.",
    ApiKey: "`hodei apikey create` and `revoke` print one; `hodei apikey list` prints a list.",
    Identity: "`hodei login` prints it.",
    Secret: "`hodei secret set` and `remove` print one; `hodei secret list` prints a list.",
    Rotation: "`hodei secret rotate` prints it.",
    Context: "`hodei context list` prints a list; `hodei context use` and `remove` print one.",
    Certificates: "`hodei tls init` prints it.",
    Provider: "`hodei provider list` prints a list; `add`, `get`, `pause`, `resume`, `adopt-engine` and `remove`"
    " print one.",
    Status: "`hodei status` prints it.",
    ListeningServer: "In `listening` of the status.",
    Unservable: "In `unservable_sets` of the status.",
    SchemaReport: "`hodei db apply` and `hodei db check` print it.",
    Maintenance: "`hodei db maintain` prints it.",
    Restoration: "`hodei db restored` prints it.",
    Error: 'A command that fails prints `{"error": …}` on standard error, on one line.',
}
"""Every shape, and which commands print it with `--format json`."""

HEAD = """# JSON

<!-- Made from hodei/shapes by `{command}`; tests/shapes compares them. -->

This page lists what the command line prints with `--format json`.

- Every key is always there. `null` means: no value, not yet, or not known.
- Times are RFC 3339 in UTC, with microseconds. A time beyond the calendar, which only an edit of the
  database by hand can produce, is shown as the first or the last time of the calendar.
- A state that somebody has written into the database and that is none of the listed is `UNREADABLE`.
- Keys that end in `_s` are seconds; keys that end in `_bytes` are bytes.
- Keys may be added. CHANGELOG.md names each key that changes.
"""

COMMAND = "tools/json-docs"


def page() -> str:
    """The whole page."""
    return HEAD.format(command=COMMAND) + "".join(
        _section(shape, where) for shape, where in WHERE.items()
    )


def _section(shape: type, where: str) -> str:
    words = " ".join((shape.__doc__ or "").split())
    rows = "".join(
        f"| `{field.name}` | {_kind(field)} | {field.meaning} |\n" for field in fields_of(shape)
    )
    return (
        f"\n## {shape.__name__}\n\n{words}\n\n{where}\n\n"
        f"| key | value | meaning |\n|---|---|---|\n{rows}"
    )


KINDS: dict[Any, str] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "true or false",
    Time: "time",
    Json: "object",
}


def _kind(field: Field) -> str:
    if inner := shape_in(field):
        words = f"list of objects ([{inner.__name__}](#{inner.__name__.lower()}))"
    elif isinstance(field.kind, types.GenericAlias):
        is_list = typing.get_origin(field.kind) is list
        of = KINDS[typing.get_args(field.kind)[-1]]
        words = f"list of {of}s" if is_list else f"object of {of}s"
    else:
        words = KINDS[field.kind]
    return f"{words} or null" if field.optional else words


if __name__ == "__main__":
    print(page(), end="")
