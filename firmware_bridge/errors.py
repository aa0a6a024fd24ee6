"""What can go wrong between a bus and a document: one small tree, each error with a code of the catalogue.

The codes are stable strings; `agent/failures/catalogue.toml` gives each its cause and remedy (a test holds the two
together).
"""

from enum import StrEnum


class Code(StrEnum):
    """Failure codes that a reader can give."""

    READER_GONE = "reader.gone"
    READER_BUSY = "reader.busy"
    READER_REFUSED = "reader.refused"
    READER_SERVICE = "reader.service"
    READER_PROTOCOL = "reader.protocol"
    DOCUMENT_REMOVED = "document.removed"
    DOCUMENT_SILENT = "document.silent"
    DOCUMENT_TIMEOUT = "document.timeout"
    DOCUMENT_UNKNOWN = "document.unknown"
    DOCUMENT_KEY = "document.key"
    DOCUMENT_KEY_MISSING = "document.key_missing"
    DOCUMENT_ACCESS = "document.access"
    DOCUMENT_SECURE_MESSAGING = "document.secure_messaging"
    DOCUMENT_MALFORMED = "document.malformed"
    DOCUMENT_LIMIT = "document.limit"
    DOCUMENT_ALTERED = "document.altered"
    DOCUMENT_CLONED = "document.cloned"
    DOCUMENT_UNTRUSTED = "document.untrusted"
    DOCUMENT_EXPIRED = "document.expired"
    DOCUMENT_CANCELLED = "document.cancelled"


class BridgeError(Exception):
    """A read that failed; `code` names why, the text says what was seen and never holds personal data."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code
        #: Timed log of the exchanges that led here, cut so that no personal data is in it; and the steps begun.
        self.trace: tuple[str, ...] = ()
        self.steps: tuple[str, ...] = ()


class ReaderError(BridgeError):
    """The reader, its driver or its cable."""


class DocumentError(BridgeError):
    """The document: absent, silent, malformed, refused."""
