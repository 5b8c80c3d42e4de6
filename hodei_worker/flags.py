"""Help of the programs: each flag with its names in the environment."""

import click


def environment_shown(command: click.Command) -> click.Command:
    """The same command, whose help shows by which variables each flag is set too."""
    for option in command.params:
        if isinstance(option, click.Option) and option.envvar:
            option.show_envvar = True
    return command
