"""The flags for a connection by TLS."""

from collections.abc import Callable
from typing import Any

import click

from hodei.tls.caller import FLAGS, VARIABLES

HELP = (
    "Trust the CAs in FILE (PEM), not those of the system.",
    "Expect this name in the servers' certificates, not the host of the address.",
    "The certificate to show to a server that asks for one, in PEM.",
    "The private key of that certificate.",
)


def tls_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --tls, --tls-ca, --tls-name, --tls-cert and --tls-key."""
    for flag, variable, words in reversed(tuple(zip(FLAGS, VARIABLES, HELP, strict=True))):
        metavar = "NAME" if flag == "--tls-name" else "FILE"
        command = click.option(flag, envvar=variable, metavar=metavar, help=words)(command)
    words = "TLS also for addresses without https://."
    return click.option("--tls", envvar="HODEI_TLS", is_flag=True, help=words)(command)
