"""What this host is, in words of Hello.capabilities. Servers make labels of them."""

import platform

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
"""The kernel's name → Docker's; other names are the same."""


def machine() -> list[str]:
    architecture = platform.machine()
    system = platform.system().lower()
    return [f"os={system}", f"arch={ARCHITECTURES.get(architecture, architecture)}"]
