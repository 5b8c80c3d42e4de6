"""What may have been meant by a word that is no command, or a flag that is none."""

import difflib
from collections.abc import Iterator

import click

SYNONYMS = {
    "describe": "get",
    "events": "timeline",
    "exec": "run",
    "history": "timeline",
    "info": "get",
    "inspect": "get",
    "kill": "cancel",
    "ls": "list",
    "ps": "list",
    "show": "get",
    "start": "run",
    "status": "get",
    "stop": "cancel",
    "tail": "logs",
}
"""Words of other programs for the same."""

MOST = 3
"""Suggestions at most."""

ALIKE = 0.66
"""How alike words must be, from 0 to 1, to be taken for one another: as `jbo` and `job` are."""

LONGEST = 60
"""Characters of a wrong word that are compared: what is longer is no slip of the finger."""


def words_of(ctx: click.Context) -> list[str]:
    """The words by which a command was called, without the program's name."""
    words: list[str] = []
    here: click.Context | None = ctx
    while here is not None and here.parent is not None:
        words.insert(0, here.info_name or "")
        here = here.parent
    return words


def command_paths(ctx: click.Context) -> Iterator[tuple[str, ...]]:
    """Every command below a group's context, groups too, by the words that call it."""
    group = ctx.command
    assert isinstance(group, click.Group)  # noqa: S101  nothing else has commands
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is None or command.hidden:
            continue
        below = click.Context(command, parent=ctx, info_name=name)
        yield tuple(words_of(below))
        if isinstance(command, click.Group):
            yield from command_paths(below)


def similar_commands(ctx: click.Context, word: str) -> list[str]:
    """Commands that may have been meant by a word in a group: those of the group, and those of
    others that are called exactly so; where there are none, any that are called alike."""
    here = tuple(words_of(ctx))
    near: list[tuple[bool, float, str]] = []
    far: list[tuple[bool, float, str]] = []
    for path in command_paths(ctx.find_root()):
        ratio = _likeness(path[-1], word)
        is_near = path[:-1] == here or path[-1] == word
        if ratio >= ALIKE:
            rated = (path[:-1] != here, -ratio, f"hodei {' '.join(path)}")
            (near if is_near else far).append(rated)
    return [call for *_, call in sorted(near or far)][:MOST]


def _likeness(name: str, word: str) -> float:
    """From 0 to 1: how alike a command's name and a word are. A word of other programs is compared by
    the one that means the same, as it is no slip of the finger."""
    if name == word:
        return 1.0
    wanted = SYNONYMS.get(word, word[:LONGEST])
    return difflib.SequenceMatcher(None, name, wanted).ratio()


def unknown_command(ctx: click.Context, word: str) -> str:
    """What is said of a word that is no command of this group."""
    group = " ".join(["hodei", *words_of(ctx)])
    meant = similar_commands(ctx, word)
    hint = f"did you mean {_either(meant)}?" if meant else "the help lists its commands"
    return f"no command {word[:LONGEST]!r} in {group}: {hint}"


def unknown_flag(ctx: click.Context | None, flag: str) -> str:
    """What is said of a flag that a command does not have."""
    known = (
        [spelled for param in ctx.command.get_params(ctx) for spelled in param.opts] if ctx else []
    )
    long = [spelled for spelled in known if spelled.startswith("--")]
    meant = difflib.get_close_matches(flag[:LONGEST], long, MOST, ALIKE)
    hint = f"did you mean {_either(meant)}?" if meant else "the help lists its flags"
    return f"no such option {flag[:LONGEST]}: {hint}"


def _either(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
