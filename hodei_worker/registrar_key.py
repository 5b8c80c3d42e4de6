"""The API key of a registrar, by which a worker that has no token is registered."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hodei.protocol import api_key
from hodei.protocol.api_key import FILE_VARIABLE, PLAINTEXT_VARIABLE, VARIABLE, BadKey
from hodei_worker.config import BadSetting


@dataclass(frozen=True)
class RegistrarKey:
    """`file` is read at each registration: what is mounted there may be replaced. It goes before
    `text`."""

    file: str | None
    text: str | None = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)  # whether plain text is allowed

    @property
    def source(self) -> str:
        return f"--api-key-file {self.file}" if self.file else VARIABLE

    def read(self) -> str:
        """Raises BadSetting if there is no key in it."""
        try:
            if self.file:
                return api_key.read(self.file, self.source)
            return api_key.checked(self.text or "", self.source)
        except BadKey as error:
            raise BadSetting(str(error)) from None

    def metadata(self, address: str, *, private: bool) -> tuple[tuple[str, str], ...]:
        """What a registration at this HOST:PORT says. Raises BadSetting if there is no key, or it
        must not be sent there."""
        key = self.read()
        try:
            api_key.check_way(address, self.environment, private=private)
        except BadKey as error:
            raise BadSetting(str(error)) from None
        return api_key.metadata(key)


def registrar_key(file: str | None, environment: Mapping[str, str]) -> RegistrarKey | None:
    """The key of the flag or of the environment. None: there is none."""
    text = environment.get(VARIABLE)
    if not (file or text):
        return None
    allowed = {PLAINTEXT_VARIABLE: environment.get(PLAINTEXT_VARIABLE, "")}
    return RegistrarKey(file or None, text, allowed)


VARIABLES = (VARIABLE, FILE_VARIABLE, PLAINTEXT_VARIABLE)
"""What is taken out of the environment, so that no other process inherits it."""
