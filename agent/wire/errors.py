"""The one error of the wire: a message that is not what it should be, with the reason as a stable word."""

from enum import StrEnum


class Fault(StrEnum):
    """Why a message was not taken."""

    MALFORMED = "malformed"
    LIMIT = "limit"
    VERSION = "version"
    ALGORITHM = "algorithm"
    #: Signed in a suite that is not taken, or not installed, here.
    SUITE = "suite"
    SIGNATURE = "signature"
    CHAIN = "chain"
    DECRYPTION = "decryption"
    UNKNOWN_KEY = "unknown_key"
    CONTEXT = "context"


class WireError(Exception):
    """A message that was refused; the text never repeats its content."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault
