"""What the command line keeps or makes on its own host, as it is shown."""

from dataclasses import dataclass
from typing import Annotated

from hodei.shapes.fields import Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Servers, CA and key that `hodei login` keeps under a name. The key itself is not shown."""

    name: Annotated[str, "Its name."]
    used: Annotated[bool, "Whether commands use it."]
    server: Annotated[str, "The servers, as --server takes them."]
    key_id: Annotated[str, "The id of its API key."]
    tls_ca: Annotated[str | None, "The file with the CAs; null: those of the system."] = None
    tls_name: Annotated[
        str | None, "The name that the server's certificate must have; null: the address's host."
    ] = None
    tls_cert: Annotated[str | None, "The file with the certificate that is shown."] = None
    tls_key: Annotated[str | None, "The file with its private key."] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Certificates that were made, each with its key beside it."""

    folder: Annotated[str, "Where they are."]
    new_ca: Annotated[bool, "Whether the CA is a new one, or was there."]
    names: Annotated[list[str], "The names and IP addresses that the server's certificate has."]
    expires_at: Annotated[Time, "Until when they are valid."]
