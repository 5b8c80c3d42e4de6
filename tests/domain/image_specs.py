"""Specs of container jobs: part of good_specs.py and bad_specs.py."""

from typing import Any

GOOD_IMAGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an image alone": (
        {"image": "busybox"},
        {
            "image": "busybox",
            "command": [],
            "start_timeout": 600,
            "labels": {"hodei/executor": "docker"},
        },
    ),
    "an image with everything": (
        {
            "image": "registry.example:5000/team/tool:1.2@sha256:ab",
            "entrypoint": "/bin/tool -x",
            "command": ["--all", ""],
            "pull": "always",
            "memory": "512m",
            "cpus": "1.5",
            "pids": 20.0,
            "network": "none",
            "volumes": ["/data/in:/in:ro", "/data/out:/out"],
            "user": "1000:users",
            "read_only": True,
            "tmpfs": ["/tmp:size=64m"],
            "shm_size": "1G",
            "platform": "linux/arm64/v8",
            "start_timeout": "1h",
            "term": "INT",
            "labels": {"hodei/executor": "process", "hodei/arch": "arm64"},
        },
        {
            "image": "registry.example:5000/team/tool:1.2@sha256:ab",
            "entrypoint": "/bin/tool -x",
            "command": ["--all", ""],
            "pull": "always",
            "memory": "512m",
            "cpus": "1.5",
            "pids": 20,
            "network": "none",
            "volumes": ["/data/in:/in:ro", "/data/out:/out"],
            "user": "1000:users",
            "read_only": True,
            "tmpfs": ["/tmp:size=64m"],
            "shm_size": "1G",
            "platform": "linux/arm64/v8",
            "start_timeout": 3600,
            "term": "INT",
            "labels": {"hodei/executor": "docker", "hodei/arch": "arm64"},
        },
    ),
    "an image with a script and 32 labels": (
        {
            "image": "x",
            "script": "true",
            "labels": {"hodei/executor": "docker"} | {f"l{n}": "" for n in range(32)},
        },
        {
            "image": "x",
            "script": "true",
            "interpreter": ["/bin/sh"],
            "command": ["/bin/sh", "<script>"],
            "start_timeout": 600,
            "labels": {"hodei/executor": "docker"} | {f"l{n}": "" for n in range(32)},
        },
    ),
    **{
        f"the image {name} of {size}": (
            {"image": name, "memory": size, "start_timeout": 1},
            {
                "image": name,
                "memory": size,
                "command": [],
                "start_timeout": 1,
                "labels": {"hodei/executor": "docker"},
            },
        )
        for name, size in (
            *(("localhost:5000/a", "999999g"), ("a.b/c/d_e/f--g:H_.-1", "999999999M")),
            *(("127.0.0.1:1/x:none", "999999999999k"), ("a/b..c", "999999999999999b")),
            *(("x:1@sha512:AB", "999999999999999"), ("_".join("ab") * 100, "0512m")),
        )
    },
    "a container job that became a process": (
        {"command": "x", "labels": {"hodei/executor": "docker"}},
        {"command": "x", "labels": {}},
    ),
}

BAD_IMAGES: dict[str, tuple[Any, str]] = {
    "an image of odd letters": (
        {"image": "-x y"},
        "image: expected the name of an image, as busybox or registry.example:5000/team/tool:1.2, "
        'got "-x y"',
    ),
    "memory without an image": (
        {"command": "x", "memory": "1g", "volumes": []},
        "memory: expected an image with it",
    ),
    "memory as a number": (
        {"image": "x", "memory": 512},
        'memory: expected a number of bytes as text, as "512m" or "2g", at most 999999g,'
        " got number",
    ),
    **{
        f"a size of {size}": (
            {"image": "x", key: size},
            f'{key}: expected a number of bytes as text, as "512m" or "2g", at most 999999g,'
            f' got "{size}"',
        )
        for key, size in (
            *(("memory", "99999999999999g"), ("shm_size", "1000000g"), ("memory", "1000000000m")),
            *(("memory", "9999999999999k"), ("shm_size", "1000000000000000"), ("memory", "-1")),
        )
    },
    **{
        f"the image {name}": (
            {"image": name},
            "image: expected the name of an image, as busybox or"
            f' registry.example:5000/team/tool:1.2, got "{name}"',
        )
        for name in (
            *("a/x/../../b/tool:1", "a/../b", "a/..", "a/.", "a/./b", "a//b", "a/", "a/.b/c"),
            *("a@x/../../b", "a@sha256", "a@sha256:", "a@sha256:x", "a@:ab", "a@sha256:ab/../b"),
            *("a:1/b:2:3", "a:", "a:..", "a:.x", "a/b:1/c", "a%2e%2e/b", "a?b", "a#b"),
        )
    },
    "a platform without an architecture": (
        {"image": "x", "platform": "linux"},
        'platform: expected OS/ARCHITECTURE, as linux/arm64, got "linux"',
    ),
    "umask with an image": ({"image": "x", "umask": "0022"}, "umask: expected no image with it"),
    "entrypoint and a command text": (
        {"image": "x", "entrypoint": "y", "command": "z"},
        "entrypoint: expected a list of arguments with it, or nothing else to run",
    ),
    "entrypoint and a script": (
        {"image": "x", "entrypoint": "y", "script": "z"},
        "entrypoint: expected a list of arguments with it, or nothing else to run",
    ),
    "read_only as text": (
        {"image": "x", "read_only": "yes"},
        "read_only: expected true or false, got string",
    ),
    "volumes as text": (
        {"image": "x", "volumes": "/a:/b"},
        "volumes: expected a list of strings, got string",
    ),
    "a volume that is a number": (
        {"image": "x", "volumes": ["/a:/b", 7]},
        "volumes: expected a list of strings, got number in it",
    ),
    "a relative volume": (
        {"image": "x", "volumes": ["/a:/b", "a:/b"]},
        'volumes: expected /SOURCE:/TARGET or /SOURCE:/TARGET:ro, got "a:/b"',
    ),
    "volumes by the hundred": (
        {"image": "x", "volumes": ["/a:/b"] * 101},
        "volumes: expected at most 100 entries, got 101",
    ),
    "the network of another container": (
        {"image": "x", "network": "container:y"},
        'network: expected the name of a network, got "container:y"',
    ),
    "pids of none": (
        {"image": "x", "pids": 0},
        "pids: expected a whole number from 1 to 4194304, got 0",
    ),
    "an image of blank argv": (
        {"image": "x", "command": ["", "y"]},
        "command: expected a program to run, got an empty one",
    ),
}
