"""Commands that end in a command line of somebody else's, as `hodei job run -- ls -l`."""

import shlex

import click

MOST_SHOWN = 80
"""Characters of that command line that an error shows."""


class ArgvCommand(click.Command):
    """Its own flags stand before the first word of the argument `argv`. A flag behind that word
    needs `--`, as it may be meant for either of the two."""

    allow_interspersed_args = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        rest = super().parse_args(ctx, args)
        argv = ctx.params.get("argv") or ()
        separated = given[: len(given) - len(argv)][-1:] == ["--"]
        if not separated and not ctx.resilient_parsing:
            for word in argv[1:]:
                if word.startswith("-") and len(word) > 1:
                    raise click.UsageError(_misplaced(ctx, argv, word), ctx)
        return rest


def _misplaced(ctx: click.Context, argv: tuple[str, ...], word: str) -> str:
    call = f"{ctx.command_path} [FLAGS] -- {shlex.join(argv)}"
    shown = call if len(call) <= MOST_SHOWN else call[: MOST_SHOWN - 1] + "…"
    return f"no such option {word.partition('=')[0][:40]} here: put -- before the command: {shown}"
