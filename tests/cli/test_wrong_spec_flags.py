"""Wrong flags of a job: the exact words that each gets, in this process. Each is refused before
anything is sent."""

import pytest

from hodei.cli.main import cli

WRONG = [
    (["--grace", "20m", "--", "x"], '--grace: expected seconds from 0 to 600, as 90, "90s"'),
    (["--grace", "20m", "--", "x"], 'got "20m"'),
    (["--timeout", "soon", "--", "x"], "--timeout: expected seconds from 0.001 to 31536000, as 90"),
    (["--timeout", "0s", "--", "x"], 'got "0s"'),
    (
        ["--final-exit-code", "300", "--", "x"],
        "--final-exit-code: expected an exit code from 1 to 255, got 300",
    ),
    (["--final-exit-code", "x", "--", "x"], "expected a whole number, got 'x'"),
    *[
        ([f"--retries={text}", "--", "x"], f"expected a whole number, got {text!r}")
        for text in ("1_0", "+5", " 7", "7 ", "\u0663", "0x1", "1e1", "9" * 20)
    ],
    (
        ["--priority", "5000", "--", "x"],
        "--priority: expected a whole number from -1000 to 1000, got 5000",
    ),
    (["--retries", "-1", "--", "x"], "--retries: expected a whole number from 0 to 1000, got -1"),
    (
        ["--umask", "22", "--", "x"],
        '--umask: expected a text of four octal digits, as "0022", got "22"',
    ),
    (
        ["--term-signal", "KILL", "--", "x"],
        '--term-signal: expected one of TERM, INT, HUP, QUIT, USR1, USR2, got "KILL"',
    ),
    (["-w", "tmp", "--", "x"], '--workdir: expected an absolute path, got "tmp"'),
    (["-l", "-a=b", "--", "x"], "--label: expected names of up to 63 letters, digits, . _ / -"),
    (["-l", "a", "--", "x"], "--label: expected KEY=VALUE, got 'a'"),
    (["-l", "a=" + "x" * 256, "--", "x"], "--label a: expected at most 255 characters, got 256"),
    (["-e", "A" * 300, "--", "x"], "is not set here: set it, or give A"),
    (["-e", "1A=x", "--", "x"], "--env: expected NAME=VALUE, or the NAME of a variable"),
    (["--id", "42", "--", "x"], "--id: expected a UUID, got '42'"),
    (["-n", "a\x1b[2J", "--", "x"], "--name: expected text without control characters"),
    (["-n", "", "--", "x"], "--name: expected a value, got an empty one"),
    (["--command", "  "], "--command: expected a program to run, got an empty one"),
    (["--", "  "], "-- ARGV: expected a program to run, got an empty one"),
    (["--run-at", "2026-01-31T12:00:00", "--", "x"], "--run-at: expected a time with its offset"),
    (
        ["--run-at", "+1x", "--", "x"],
        '--run-at: expected seconds, as 90, "90s" or "1h30m", got "1x"',
    ),
    (
        ["--interpreter", 'sh "', "--script", "/dev/null"],
        "--interpreter: expected a program and its arg",
    ),
    (["--script", "/dev/null"], "--script: expected the text of a script, got an empty one"),
    (
        ["--script", "-", "-i"],
        "--script - and -i: expected one of them, as standard input can be read",
    ),
    (
        ["--env-file", "-", "--stdin", "-", "--", "x"],
        "--stdin - and --env-file -: expected one of them",
    ),
    (
        ["-i", "--stdin", "/dev/null", "--", "x"],
        "-i: expected it alone, or --stdin FILE alone, got both",
    ),
    (["--env-file", "/none", "--", "x"], "--env-file /none: No such file or directory"),
    (
        ["-f", "/none", "-n", "x", "-i"],
        "--file: expected specs alone, got --name and --interactive with",
    ),
    (["-f", "/none", "--term-signal", "INT", "--", "x"], "got -- ARGV and --term-signal with it"),
    (["-f", "/none", "--priority", "0"], "--file: expected specs alone, got --priority with it"),
    (["-f", "/none", "--pids", "0"], "--file: expected specs alone, got --pids with it"),
    (["-f", "/none", "--retries", "0"], "--file: expected specs alone, got --retries with it"),
    (
        ["--image", "x", "--pids", "0"],
        "--pids: expected a whole number from 1 to 4194304, got 0",
    ),
    (["--pids", "0", "--", "x"], "--pids: expected a whole number from 1 to 4194304, got 0"),
    (
        ["--image", "x", "--memory", "99999999999999g"],
        '--memory: expected a number of bytes as text, as "512m" or "2g", at most 999999g, got',
    ),
    (
        ["--image", "x", "--entrypoint", "y", "--command", "z"],
        "--entrypoint: expected its arguments as -- ARGV…, or nothing else to run, got --command",
    ),
    (
        ["--image", "x", "--entrypoint", "y", "--script", "/dev/null"],
        "--entrypoint: expected its arguments as -- ARGV…, or nothing else to run, got --script",
    ),
    (["--image", "x", "--platform", "linux"], "--platform: expected OS/ARCHITECTURE, as linux"),
    (["--image", "a/../b"], "--image: expected the name of an image, as busybox or"),
    (["-f", "/none"], "--file /none: No such file or directory"),
    (["--partial", "--", "x"], "--partial and --ids-from: expected --file with them"),
    (
        ["--ids-from", "7", "-f", "/dev/null"],
        "--ids-from: expected a UUID that an earlier try printed",
    ),
    (["-f", "/dev/null"], "--file /dev/null: expected a spec for each job, got none"),
]


CASES = [
    (verb, flags, words)
    for flags, words in WRONG
    for verb in ("submit", "run")
    if verb == "submit" or not {"-f", "--partial"} & set(flags)
]


@pytest.mark.parametrize(("verb", "flags", "words"), CASES)
def test_a_wrong_flag_is_named_with_what_was_given_and_what_is_expected(
    verb: str, flags: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--server", "127.0.0.1:1", "job", verb, *flags], prog_name="hodei")
    assert end.value.code == 2
    assert words in capfd.readouterr().err


def test_flags_are_checked_before_standard_input_is_read(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hodei.cli.spec_flags.read_file", lambda *_: pytest.fail("it was read"))
    with pytest.raises(SystemExit):
        cli.main(["job", "run", "-i", "--umask", "9", "--", "cat"], prog_name="hodei")
    assert "--umask: expected" in capfd.readouterr().err
