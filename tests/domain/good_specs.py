"""Specs with their stored form: asked of Python here and of PostgreSQL in tests/store."""

from typing import Any

from tests.domain.image_specs import GOOD_IMAGES
from tests.domain.secret_specs import GOOD_SECRETS

GOOD: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **GOOD_IMAGES,
    **GOOD_SECRETS,
    "shell command": ({"command": "echo hi"}, {"command": "echo hi"}),
    "argv": ({"command": ["echo", "hi", ""]}, {"command": ["echo", "hi", ""]}),
    "script": (
        {"script": "exit 3"},
        {"script": "exit 3", "interpreter": ["/bin/sh"], "command": ["/bin/sh", "<script>"]},
    ),
    "script with interpreter": (
        {"script": "print(1)", "interpreter": ["python3", "-u"]},
        {
            "script": "print(1)",
            "interpreter": ["python3", "-u"],
            "command": ["python3", "-u", "<script>"],
        },
    ),
    "interpreter as text": (
        {"script": "1", "interpreter": "bash"},
        {"script": "1", "interpreter": ["bash"], "command": ["bash", "<script>"]},
    ),
    **{
        f"#! {line!r}": (
            {"script": f"{line}\nx\r\n"},
            {
                "script": f"{line}\nx\r\n",
                "interpreter": interpreter,
                "command": [*interpreter, "<script>"],
            },
        )
        for line, interpreter in (
            ("#!/bin/bash", ["/bin/bash"]),
            ("#! \t/usr/bin/env python3 \t", ["/usr/bin/env", "python3"]),
            ("#!/usr/bin/env -S python3 -u  -B", ["/usr/bin/env", "-S python3 -u  -B"]),
            ("#!/bin/sh\t -e x", ["/bin/sh", "-e x"]),
            ("#!/opt/größe/x \xa0", ["/opt/größe/x", "\xa0"]),
            (" #!/bin/bash", ["/bin/sh"]),
            ("# !/bin/bash", ["/bin/sh"]),
        )
    },
    "#! alone": (
        {"script": "#!/bin/cat"},
        {"script": "#!/bin/cat", "interpreter": ["/bin/cat"], "command": ["/bin/cat", "<script>"]},
    ),
    "#! and an interpreter": (
        {"script": "#!/bin/cat", "interpreter": "sh"},
        {"script": "#!/bin/cat", "interpreter": ["sh"], "command": ["sh", "<script>"]},
    ),
    "CR LF, a mark and an interpreter": (
        {"script": "\ufeff#!\r\nx", "interpreter": "python3"},
        {"script": "\ufeff#!\r\nx", "interpreter": ["python3"], "command": ["python3", "<script>"]},
    ),
    "id and actor leave": (
        {"command": "true", "id": "0190B5C5-0000-7000-8000-000000000001", "actor": "ana"},
        {"command": "true"},
    ),
    "nulls are absent": ({"command": "true", "timeout": None, "env": None}, {"command": "true"}),
    "everything": (
        {
            "command": "true",
            "name": "ñandú",
            "env": {"A": "1", "_b2": ""},
            "workdir": "/tmp",
            "stdin": "",
            "timeout": 0.5,
            "grace": 0,
            "priority": -1000,
            "labels": {"gpu": "a100", "zone/x.y-z": ""},
            "retries": 3,
            "on_lost": "fail",
            "correlation_id": "wf-1",
            "run_at": "2026-01-31T12:00:00+02:00",
            "log_limit": 0,
            "queue_timeout": 60,
            "start_timeout": 1.5,
            "silence_timeout": 3,
            "final_exit_codes": [1, 255],
            "umask": "0027",
            "term": "USR1",
        },
        {
            "command": "true",
            "name": "ñandú",
            "env": {"A": "1", "_b2": ""},
            "workdir": "/tmp",
            "stdin": "",
            "timeout": 0.5,
            "grace": 0,
            "priority": -1000,
            "labels": {"gpu": "a100", "zone/x.y-z": ""},
            "retries": 3,
            "on_lost": "fail",
            "correlation_id": "wf-1",
            "run_at": "2026-01-31T12:00:00+02:00",
            "log_limit": 0,
            "queue_timeout": 60,
            "start_timeout": 1.5,
            "silence_timeout": 3,
            "final_exit_codes": [1, 255],
            "umask": "0027",
            "term": "USR1",
        },
    ),
    "base64": (
        {"command": "cat", "stdin_base64": "AP8="},
        {"command": "cat", "stdin_base64": "AP8="},
    ),
    "empty base64": (
        {"command": "cat", "stdin_base64": ""},
        {"command": "cat", "stdin_base64": ""},
    ),
    "a stored script": (
        {"script": "x", "interpreter": ["/bin/sh"], "command": ["/bin/sh", "<script>"]},
        {"script": "x", "interpreter": ["/bin/sh"], "command": ["/bin/sh", "<script>"]},
    ),
    "rounded up": (
        {"command": "x", "timeout": 0.0015, "grace": 0.0005},
        {"command": "x", "timeout": 0.002, "grace": 0.001},
    ),
    "rounded down": (
        {"command": "x", "timeout": 1.0004999, "grace": 0.00049},
        {"command": "x", "timeout": 1, "grace": 0},
    ),
    "codes as floats": (
        {"command": "x", "final_exit_codes": [3.0]},
        {"command": "x", "final_exit_codes": [3]},
    ),
    "first run_at": (
        {"command": "x", "run_at": "2000-01-01T00:00Z"},
        {"command": "x", "run_at": "2000-01-01T00:00Z"},
    ),
    "last run_at": (
        {"command": "x", "run_at": "3000-01-01T15:58:59.999999+15:59"},
        {"command": "x", "run_at": "3000-01-01T15:58:59.999999+15:59"},
    ),
    "long argument": ({"command": ["x" * 131_071]}, {"command": ["x" * 131_071]}),
    "long pair": (
        {"command": "x", "env": {"A": "x" * 131_069}},
        {"command": "x", "env": {"A": "x" * 131_069}},
    ),
    "newlines in env": (
        {"command": "a\nb", "env": {"A": "\n\x1b"}},
        {"command": "a\nb", "env": {"A": "\n\x1b"}},
    ),
    **{
        f"timeout {text}": ({"command": "x", "timeout": text}, {"command": "x", "timeout": stored})
        for text, stored in (
            ("90", 90),
            ("1.5", 1.5),
            ("90s", 90),
            ("1h30m", 5400),
            ("1.5h", 5400),
            ("2d", 172_800),
            ("1w", 604_800),
            ("500ms", 0.5),
            ("1m500ms", 60.5),
            ("5m", 300),
            ("5ms", 0.005),
            ("1w2d3h4m5s6ms", 788_645.006),
            ("365d", 31_536_000),
            ("000000001s", 1),
            ("0.9999999h0.36ms", 3600),
            ("0.001s0.4999999ms", 0.001),
            ("1.5ms", 0.002),
        )
    },
    "grace of nothing": ({"command": "x", "grace": "0s"}, {"command": "x", "grace": 0}),
    "umask of all and of none": (
        {"command": "x", "umask": "0777", "term": "TERM"},
        {"command": "x", "umask": "0777", "term": "TERM"},
    ),
    "longest timeout": (
        {"command": "x", "timeout": 31536000},
        {"command": "x", "timeout": 31536000},
    ),
    "whole as float": ({"command": "x", "priority": 7.0}, {"command": "x", "priority": 7}),
    "just within": ({"command": "x" * 262_100}, {"command": "x" * 262_100}),
}
