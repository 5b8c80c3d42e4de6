"""What is wrong before a program's log is set up: an option, or a setting. Who reads a log of JSON gets
it as a line of JSON, too."""

import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NoReturn

import click

from hodei.protocol.log.setup import last_words

FLAG = "--log-format"


def in_json(words: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Returns whether the log is to be JSON, by a command line that may be wrong elsewhere."""
    given = environment.get("HODEI_LOG_FORMAT")
    for word, following in pairwise([*words, ""]):
        if word == FLAG:
            given = following
        elif word.startswith(f"{FLAG}="):
            given = word.removeprefix(f"{FLAG}=")
    return given == "json"


def run(command: click.Command, name: str) -> NoReturn:
    """Ends the process with the command's exit code, and its errors in JSON."""
    try:
        ended = command.main(prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        last_words(error.format_message(), "json")
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(ended)
