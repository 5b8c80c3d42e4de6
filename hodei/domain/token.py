"""What a bootstrap token may be: usable once, or why it is not."""

from enum import StrEnum


class TokenState(StrEnum):
    USABLE = "USABLE"
    CONSUMED = "CONSUMED"  # a worker has redeemed it
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"


NIL_ID = "00000000-0000-0000-0000-000000000000"
"""The worker id of a token that any worker may redeem."""
