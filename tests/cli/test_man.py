"""The manual page has every command and flag, and troff reads it without a warning."""

import re
import shutil
import subprocess

import click
import pytest

from hodei.cli import man, suggestions
from hodei.cli.main import cli


def root() -> click.Context:
    return click.Context(cli, info_name="hodei", **cli.context_settings)


def printed(text: str) -> str:
    """What troff makes of a page, on lines that are long enough for any."""
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    argv = ["groff", "-man", "-ww", "-Tutf8", "-P-cbou", "-rLL=1000n", "-dAD=l", "-K", "utf8"]
    ran = subprocess.run(argv, input=text, capture_output=True, text=True, check=True, timeout=60)
    assert ran.stderr == ""
    return ran.stdout


def test_the_page_has_each_command_with_its_flags_as_they_are_typed() -> None:
    shown = printed(man.page(root()))
    paths = [" ".join(("hodei", *path)) for path in suggestions.command_paths(root())]
    assert len(paths) > 20
    for path in paths:
        assert re.search(rf"^ +{path} \[", shown, re.M), path
    for words in ("--correlation-id", 'hodei job run --name hello --command "echo hello"'):
        assert words in shown


def test_no_text_of_a_command_is_taken_for_a_request() -> None:
    help_text = "\b\n.so /etc/passwd\n'br\nback\\slash -x …"
    command = click.Command("odd", help=help_text, params=[click.Option(["--flag"], help=".ig")])
    group = click.Group("hodei", commands=[command], help="words")
    shown = printed(man.page(click.Context(group, info_name="hodei")))
    for words in (".so /etc/passwd", "'br", "back\\slash -x ...", ".ig"):
        assert words in shown
