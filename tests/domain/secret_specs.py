"""Specs of jobs with secrets: part of good_specs.py and bad_specs.py."""

from typing import Any

LABELS = {"hodei/secrets": "yes"}

GOOD_SECRETS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a secret in the environment": (
        {"command": "x", "env": {"A": "1", "TOKEN": {"secret": "ci-token"}}},
        {"command": "x", "env": {"A": "1", "TOKEN": {"secret": "ci-token"}}, "labels": LABELS},
    ),
    "a secret of a registry": (
        {"image": "x", "registry_secret": "registry.login"},
        {
            "image": "x",
            "registry_secret": "registry.login",
            "command": [],
            "start_timeout": 600,
            "labels": LABELS | {"hodei/executor": "docker"},
        },
    ),
    "32 secrets under 1,000 names": (
        {"command": "x", "env": {f"A{n}": {"secret": f"s{n % 32}"} for n in range(1000)}},
        {
            "command": "x",
            "env": {f"A{n}": {"secret": f"s{n % 32}"} for n in range(1000)},
            "labels": LABELS,
        },
    ),
    "the label of secrets without one": (
        {"command": "x", "labels": {"hodei/secrets": "yes", "a": "b"}, "env": {"A": "{}"}},
        {"command": "x", "labels": {"a": "b"}, "env": {"A": "{}"}},
    ),
    "the longest name of a secret": (
        {"command": "x", "env": {"A": {"secret": "a" * 100}}},
        {"command": "x", "env": {"A": {"secret": "a" * 100}}, "labels": LABELS},
    ),
}

WORDS = 'env.A: expected a string, or the name of a secret as {"secret": "name"}'

BAD_SECRETS: dict[str, tuple[Any, str]] = {
    **{
        f"a secret as {given!r}": ({"command": "x", "env": {"A": given}}, WORDS)
        for given in (
            {},
            {"secret": "a", "version": 1},
            {"Secret": "a"},
            {"secret": 1},
            {"secret": None},
            {"secret": {"secret": "a"}},
            {"secret": ""},
            {"secret": "-a"},
            {"secret": "a b"},
            {"secret": "a\n"},
            {"secret": "ñ"},
            {"secret": "a" * 101},
        )
    },
    "a list as a variable": (
        {"command": "x", "env": {"A": [{"secret": "a"}]}},
        "env.A: expected a string, got array",
    ),
    "a secret as a label": (
        {"command": "x", "labels": {"a": {"secret": "a"}}},
        "labels.a: expected a string, got object",
    ),
    "33 secrets": (
        {
            "image": "x",
            "registry_secret": "s",
            "env": {f"A{n}": {"secret": f"s{n}"} for n in range(32)},
        },
        "env: expected at most 32 different secrets, got 33",
    ),
    "a registry's secret without an image": (
        {"command": "x", "registry_secret": "a"},
        "registry_secret: expected an image with it",
    ),
    "a registry's secret of odd letters": (
        {"image": "x", "registry_secret": "a/b"},
        "registry_secret: expected the name of a secret: up to 100 letters, digits, . _ -, "
        'got "a/b"',
    ),
}
