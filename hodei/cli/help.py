"""`hodei help`."""

import click
from click.shell_completion import CompletionItem

from hodei.cli import suggestions


def _next_words(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The commands that may follow the words that are complete."""
    try:
        here = context_of(ctx.find_root(), ctx.params.get("words") or ())
    except click.UsageError:
        return []
    group = here.command
    names = group.list_commands(here) if isinstance(group, click.Group) else []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@click.command(epilog="\b\nExample:\n  hodei help job list\n  hodei help --man >hodei.1")
@click.argument("words", nargs=-1, metavar="[COMMAND]...", shell_complete=_next_words)
@click.option("--man", "manual", is_flag=True, help="The manual page of all commands, for man(1).")
@click.pass_context
def help_command(ctx: click.Context, words: tuple[str, ...], manual: bool) -> None:
    """Show the help of a command, or of hodei."""
    if manual and words:
        raise click.UsageError("--man: expected no command with it, as the page has all of them")
    if manual:
        from hodei.cli.man import page

        click.echo(page(ctx.find_root()), nl=False)
    else:
        click.echo(context_of(ctx.find_root(), words).get_help())


def context_of(root: click.Context, words: tuple[str, ...]) -> click.Context:
    """The context of the command that these words call. UsageError: there is none."""
    here = root
    for word in words:
        group = here.command
        if not isinstance(group, click.Group):
            called = " ".join(["hodei", *suggestions.words_of(here)])
            raise click.UsageError(f"{called} is a command, and has no command {word[:60]!r}", here)
        command = group.get_command(here, word)
        if command is None:
            raise click.UsageError(suggestions.unknown_command(here, word), here)
        here = click.Context(command, parent=here, info_name=word)
    return here
