"""What commands end with, as a shell expects it."""

import sys

import click
import pytest

from hodei.cli import program

ENDS = {
    "pass": (0, ""),
    "sys.exit(7)": (7, ""),
    "sys.exit(None)": (0, ""),
    "sys.exit('words')": (1, ""),
    "return 5": (5, ""),
    "raise click.ClickException('no server')": (1, "Error: no server\n"),
    "raise click.ClickException('a\\x1b[2Jb')": (1, "Error: a\\x1b[2Jb\n"),
    "raise click.UsageError('expected a name')": (2, "Error: expected a name\nHelp: act --help\n"),
    "raise KeyboardInterrupt": (130, ""),
    "raise click.Abort": (130, ""),
    "raise OSError(28, 'No space left on device')": (
        1,
        "Error: cannot write the output: No space left on device\n",
    ),
    "raise FileNotFoundError(2, 'No such file or directory', 'x.sh')": (
        1,
        "Error: x.sh: No such file or directory\n",
    ),
    "raise BrokenPipeError(32, 'Broken pipe')": (141, ""),
}


@pytest.mark.parametrize("body", ENDS)
def test_the_code_of_a_command(body: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"click": click, "sys": sys}
    exec(f"def act():\n    {body}", names)
    with pytest.raises(SystemExit) as ended:
        program.run(click.Command("act", callback=names["act"]), "act", args=[])  # type: ignore[arg-type]
    code, words = ENDS[body]
    assert ended.value.code == code
    said = capsys.readouterr()
    assert said.err.endswith(words)
    assert "Traceback" not in said.err
    assert said.out == ""
