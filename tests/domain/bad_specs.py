"""Specs with the refusal they get: asked of Python here and of PostgreSQL in tests/store."""

from typing import Any

from tests.domain.image_specs import BAD_IMAGES
from tests.domain.secret_specs import BAD_SECRETS

BAD: dict[str, tuple[Any, str]] = {
    **BAD_IMAGES,
    **BAD_SECRETS,
    "a list": ([1], "spec: expected a JSON object, got array"),
    "a string": ("x", "spec: expected a JSON object, got string"),
    "unknown key": (
        {"command": "x", "comand": 1, "cmd": 2},
        "cmd: unknown key; known are id, name, command, ",
    ),
    "neither": ({}, "command: expected a command or a script, got neither"),
    "null command": ({"command": None}, "command: expected a command or a script, got neither"),
    "empty command": ({"command": " \t\n"}, "command: expected a program to run, got an empty one"),
    "empty argv": ({"command": []}, "command: expected a program to run, got an empty one"),
    "argv of blank": (
        {"command": [" ", "x"]},
        "command: expected a program to run, got an empty one",
    ),
    "argv of numbers": ({"command": ["echo", 1]}, "command: expected a list of strings"),
    "command number": ({"command": 5}, "command: expected a list of strings, got number"),
    "both": (
        {"command": "x", "script": "y"},
        "command: expected either command or script, got both",
    ),
    "empty script": ({"script": "\n"}, "script: expected the text of a script, got an empty one"),
    "script of CR LF": (
        {"script": "echo\r\nx"},
        "script: expected lines that end with LF, got CR LF; convert it, or ",
    ),
    "#! of CR LF": (
        {"script": "#!/bin/sh\r\nx"},
        "script: expected lines that end with LF, got CR LF; convert it, or ",
    ),
    "a byte order mark": (
        {"script": "\ufeffecho"},
        "script: expected text without a byte order mark (U+FEFF) at its b",
    ),
    "#! of nothing": ({"script": "#! \t\nx"}, "script: expected a program behind #!, got none"),
    "#! too long": (
        {"script": "#!" + "x" * 131_072},
        "interpreter: expected arguments of at most 131071 bytes, got one of ",
    ),
    "script number": ({"script": 1}, "script: expected the text of a script, got number"),
    "interpreter alone": (
        {"command": "x", "interpreter": ["sh"]},
        "interpreter: expected a script with it",
    ),
    "interpreter empty": (
        {"script": "x", "interpreter": []},
        "interpreter: expected a program to run, got an empty one",
    ),
    "id number": ({"command": "x", "id": 7}, "id: expected a UUID, got number"),
    "id no uuid": ({"command": "x", "id": "7"}, 'id: expected a UUID, got "7"'),
    "name empty": ({"command": "x", "name": ""}, "name: expected 1 to 200 characters, got 0"),
    "name long": (
        {"command": "x", "name": "ñ" * 201},
        "name: expected 1 to 200 characters, got 201",
    ),
    "name number": ({"command": "x", "name": 1}, "name: expected a string, got number"),
    "actor object": ({"command": "x", "actor": {}}, "actor: expected a string, got object"),
    "workdir relative": (
        {"command": "x", "workdir": "tmp"},
        'workdir: expected an absolute path, got "tmp"',
    ),
    "on_lost": (
        {"command": "x", "on_lost": "maybe"},
        'on_lost: expected "rerun" or "fail", got "maybe"',
    ),
    "timeout zero": (
        {"command": "x", "timeout": 0},
        'timeout: expected seconds from 0.001 to 31536000, as 90, "90s" or "1h30m", got 0',
    ),
    "timeout negative": (
        {"command": "x", "timeout": -1.5},
        'timeout: expected seconds from 0.001 to 31536000, as 90, "90s" or "1h30m", got -1.5',
    ),
    "timeout text": (
        {"command": "x", "timeout": "soon"},
        'timeout: expected seconds from 0.001 to 31536000, as 90, "90s" or "1h30m", got "soon"',
    ),
    "timeout true": (
        {"command": "x", "timeout": True},
        'timeout: expected seconds from 0.001 to 31536000, as 90, "90s" or "1h30m", got boolean',
    ),
    "queue_timeout zero": (
        {"command": "x", "queue_timeout": 0},
        'queue_timeout: expected seconds from 0.001 to 31536000, as 90, "90s" or "1h30m", got 0',
    ),
    "start_timeout text": (
        {"command": "x", "start_timeout": "0.0004s"},
        'start_timeout: expected seconds from 0.001 to 31536000, as 90, "90s" or "1h30m", got "0.0004s"',
    ),
    "silence_timeout": (
        {"command": "x", "silence_timeout": -1},
        'silence_timeout: expected seconds from 0.001 to 31536000, as 90, "90s" or "1h30m", got -1',
    ),
    "codes text": (
        {"command": "x", "final_exit_codes": "3"},
        "final_exit_codes: expected a list of exit codes from 1 to 255, got string",
    ),
    "codes zero": (
        {"command": "x", "final_exit_codes": [0]},
        "final_exit_codes: expected a list of exit codes from 1 to 255, got 0 in it",
    ),
    "codes broken": (
        {"command": "x", "final_exit_codes": [1, 1.5, 300]},
        "final_exit_codes: expected a list of exit codes from 1 to 255, got 1.5 in it",
    ),
    "codes words": (
        {"command": "x", "final_exit_codes": ["3"]},
        "final_exit_codes: expected a list of exit codes from 1 to 255, got string in it",
    ),
    "codes many": (
        {"command": "x", "final_exit_codes": [1] * 256},
        "final_exit_codes: expected at most 255 entries, got 256",
    ),
    "grace long": (
        {"command": "x", "grace": 601},
        'grace: expected seconds from 0 to 600, as 90, "90s" or "1h30m", got 601',
    ),
    "grace as a long text": (
        {"command": "x", "grace": "20m"},
        'grace: expected seconds from 0 to 600, as 90, "90s" or "1h30m", got "20m"',
    ),
    **{
        f"timeout {text!r}": (
            {"command": "x", "timeout": text},
            'timeout: expected seconds from 0.001 to 31536000, as 90, "90s" or "1h30m", '
            f'got "{text[:80]}"',
        )
        for text in (
            "",
            " 5m",
            "5m ",
            "5M",
            "5 m",
            "1m1h",
            "1h1h",
            "1h30",
            "-1s",
            "+1s",
            "1e3",
            ".5s",
            "5.s",
            "1,5h",
            "5min",
            "P1D",
            "1_000",
            "\u0665s",
            "5s\n",
            "0s",
            "366d",
            "9999999999",
            "1.0000000000",
            "x" * 90,
        )
    },
    "priority as a duration": (
        {"command": "x", "priority": "5s"},
        "priority: expected a whole number from -1000 to 1000, got string",
    ),
    "umask number": (
        {"command": "x", "umask": 22},
        'umask: expected a text of four octal digits, as "0022", got number',
    ),
    **{
        f"umask {text}": (
            {"command": "x", "umask": text},
            f'umask: expected a text of four octal digits, as "0022", got "{text}"',
        )
        for text in ("22", "022", "1022", "0888", "00022", "u=rw")
    },
    **{
        f"term {text}": (
            {"command": "x", "term": text},
            f'term: expected one of TERM, INT, HUP, QUIT, USR1, USR2, got "{text}"',
        )
        for text in ("KILL", "STOP", "SIGTERM", "term", "15")
    },
    "term number": (
        {"command": "x", "term": 15},
        "term: expected one of TERM, INT, HUP, QUIT, USR1, USR2, got number",
    ),
    "priority high": (
        {"command": "x", "priority": 1001},
        "priority: expected a whole number from -1000 to 1000, got 1001",
    ),
    "priority broken": (
        {"command": "x", "priority": 1.5},
        "priority: expected a whole number from -1000 to 1000, got 1.5",
    ),
    "retries": (
        {"command": "x", "retries": -1},
        "retries: expected a whole number from 0 to 1000, got -1",
    ),
    "env list": ({"command": "x", "env": []}, "env: expected an object of strings, got array"),
    "env name": (
        {"command": "x", "env": {"1A": "x"}},
        'env: expected names of letters, digits and _, got "1A"',
    ),
    "env value": ({"command": "x", "env": {"A": 1}}, "env.A: expected a string, got number"),
    "label name": (
        {"command": "x", "labels": {"-a": "x"}},
        'labels: expected names of up to 63 letters, digits, . _ / -, got "-a"',
    ),
    "label value": (
        {"command": "x", "labels": {"a": "x" * 256}},
        "labels.a: expected at most 255 characters, got 256",
    ),
    "33 labels": (
        {"command": "x", "labels": {f"l{n}": "" for n in range(33)}},
        "labels: expected at most 32 entries, got 33",
    ),
    "both stdins": (
        {"command": "x", "stdin": "a", "stdin_base64": ""},
        "stdin: expected either stdin or stdin_base64, got both",
    ),
    "stdin number": ({"command": "x", "stdin": 1}, "stdin: expected a string, got number"),
    "base64 broken": ({"command": "x", "stdin_base64": "A"}, "stdin_base64: expected base64 text"),
    "base64 with padding alone": (
        {"command": "x", "stdin_base64": "AAAA===="},
        "stdin_base64: expected base64 text",
    ),
    "base64 number": ({"command": "x", "stdin_base64": 1}, "stdin_base64: expected base64 text"),
    "run_at local": (
        {"command": "x", "run_at": "2026-01-31T12:00:00"},
        "run_at: expected a time of the years 2000 to 2999 with its offset, "
        'as 2026-01-31T12:00:00Z, got "2026-01-31T12:00:00"',
    ),
    "run_at word": (
        {"command": "x", "run_at": "tomorrow"},
        "run_at: expected a time of the years 2000 to 2999 with its offset, "
        'as 2026-01-31T12:00:00Z, got "tomorrow"',
    ),
    "run_at impossible": (
        {"command": "x", "run_at": "2026-02-30T12:00:00Z"},
        "run_at: expected a time of the years 2000 to 2999 with its offset, "
        'as 2026-01-31T12:00:00Z, got "2026-02-30T12:00:00Z"',
    ),
    "timeout tiny": (
        {"command": "x", "timeout": 0.0009},
        'timeout: expected seconds from 0.001 to 31536000, as 90, "90s" or "1h30m", got 0.0009',
    ),
    "run_at early": (
        {"command": "x", "run_at": "2000-01-01T00:00:00+00:01"},
        "run_at: expected a time of the years 2000 to 2999 ",
    ),
    "run_at late": (
        {"command": "x", "run_at": "2999-12-31T23:59:59-00:01"},
        "run_at: expected a time of the years 2000 to 2999 ",
    ),
    "run_at of ten thousand": (
        {"command": "x", "run_at": "9999-12-31T23:59:59-14:00"},
        "run_at: expected a time of the years ",
    ),
    "run_at offset": (
        {"command": "x", "run_at": "2026-01-01T00:00:00+16:00"},
        "run_at: expected a time of the years ",
    ),
    "run_at hour 24": (
        {"command": "x", "run_at": "2026-01-01T24:00:00Z"},
        "run_at: expected a time of the years ",
    ),
    "run_at second 60": (
        {"command": "x", "run_at": "2026-01-01T23:59:60Z"},
        "run_at: expected a time of the years ",
    ),
    "name with escape": (
        {"command": "x", "name": "a\x1b[2J"},
        "name: expected text without control characters",
    ),
    "name with C1": (
        {"command": "x", "name": "a\x9b2J"},
        "name: expected text without control characters",
    ),
    "actor with newline": (
        {"command": "x", "actor": "a\nb"},
        "actor: expected text without control characters",
    ),
    "correlation_id with DEL": (
        {"command": "x", "correlation_id": "\x7f"},
        "correlation_id: expected text without control ",
    ),
    "label with tab": (
        {"command": "x", "labels": {"a": "\t"}},
        "labels.a: expected text without control characters",
    ),
    "argument too long": (
        {"command": ["a", "ñ" * 65_536]},
        "command: expected arguments of at most 131071 bytes, got one of 131072",
    ),
    "pair too long": (
        {"command": "x", "env": {"A": "x" * 131_070}},
        "env.A: expected NAME=VALUE of at most 131071 bytes, got 131072",
    ),
    "another command with script": (
        {"script": "x", "command": ["/bin/bash", "<script>"]},
        "command: expected either command or script, got both",
    ),
    "too big": (
        {"command": "x" * 262_144},
        "spec: expected at most 262144 bytes of JSON, got 262159",
    ),
}
