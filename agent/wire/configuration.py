"""What an authority tells terminals: settings and model bundles, signed by its own key and by no other.

    document = COSE_Sign1(configuration authority's key, ConfigurationDocument)
    manifest = COSE_Sign1(configuration authority's key, BundleManifest)

The authority is neither the broker nor the issuer: both only carry its documents. Whom a document is for stands inside
it, since one document may serve a group.
"""

import hashlib
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from agent.wire import cose
from agent.wire.claims import Count, Digest, TerminalId, Token
from agent.wire.cose import Context
from agent.wire.keys import KeyRing, Signer
from agent.wire.message import Key, Message, Versioned

SETTINGS_LIMIT = 64 * 1024
DOCUMENT_LIMIT = SETTINGS_LIMIT + 8 * 1024
MANIFEST_LIMIT = 32 * 1024
#: One piece of a file on its way over MQTT.
CHUNK_SIZE = 64 * 1024
CHUNK_LIMIT = CHUNK_SIZE + 4 * 1024
FILE_LIMIT = 256 * 1024 * 1024

#: One terminal, or every terminal that its local settings put into a group.
Target = Annotated[str, StringConstraints(strict=True, pattern=r"\A(terminal|group):[A-Za-z0-9_-]{1,64}\z")]
FileName = Annotated[str, StringConstraints(strict=True, pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\z")]
Url = Annotated[str, StringConstraints(strict=True, pattern=r"\Ahttps://[A-Za-z0-9.-]+(:[0-9]{1,5})?/", max_length=500)]


class ConfigurationDocument(Versioned):
    """Settings for a target: TOML text that is laid over the terminal's own file."""

    #: Strictly rising for a terminal; an older document is refused for good.
    number: Annotated[Count, Key(-75050)]
    #: The version of the settings' schema that the text was written for.
    schema_version: Annotated[Count, Key(-75051)]
    target: Annotated[Target, Key(-75052)]
    #: Seconds since 1970 from which it may be put in force.
    valid_from: Annotated[Count, Key(-75053)]
    settings: Annotated[Annotated[str, StringConstraints(strict=True, max_length=SETTINGS_LIMIT)], Key(-75054)]


class BundleFile(Message):
    """One file of a bundle."""

    name: Annotated[FileName, Key(1)]
    size: Annotated[Annotated[int, Field(strict=True, ge=1, le=FILE_LIMIT)], Key(2)]
    sha256: Annotated[Digest, Key(3)]


class BundleManifest(Versioned):
    """A model bundle: its files, and where else than over MQTT they may be fetched."""

    number: Annotated[Count, Key(-75050)]
    target: Annotated[Target, Key(-75052)]
    valid_from: Annotated[Count, Key(-75053)]
    files: Annotated[tuple[BundleFile, ...], Field(min_length=1, max_length=64), Key(-75055)]
    #: Each file is `origin + name`. Empty: over MQTT.
    origins: Annotated[tuple[Url, ...], Field(max_length=4), Key(-75056)] = ()


class Fetch(Versioned):
    """A terminal asks for the piece of a file that begins at `offset`."""

    terminal: Annotated[TerminalId, Key(-75001)]
    sha256: Annotated[Digest, Key(-75057)]
    offset: Annotated[Count, Key(-75058)]


class Chunk(Versioned):
    """A piece of a file. Not signed: the manifest's digest decides whether the whole is taken."""

    sha256: Annotated[Digest, Key(-75057)]
    offset: Annotated[Count, Key(-75058)]
    data: Annotated[Annotated[bytes, Field(strict=True, max_length=CHUNK_SIZE)], Key(-75059)]


class ChangeReport(Versioned):
    """What became of a document or bundle: the payload of an event of kind `REPORT`."""

    subject: Annotated[Literal["configuration", "bundle"], Key(1)]
    number: Annotated[Count, Key(2)]
    digest: Annotated[Digest, Key(3)]
    state: Annotated[Literal["refused", "trial", "committed", "rolled_back", "fallen_back"], Key(4)]
    #: A failure code; empty where all is well.
    reason: Annotated[Token | Literal[""], Key(5)] = ""
    #: What is in force now; 0 is the terminal's own file.
    active: Annotated[Count, Key(6)] = 0


REPORT = "configuration.report"


def digest(signed: bytes) -> bytes:
    """The digest that names a signed document."""
    return hashlib.sha256(signed).digest()


def sign_document(document: ConfigurationDocument, signer: Signer) -> bytes:
    """The document as it is published."""
    return cose.sign(document.encode(), signer, _context("configuration"))


def read_document(data: bytes, authority: KeyRing) -> ConfigurationDocument:
    """A document of the authority; the caller checks whom it is for.

    Raises:
        WireError: not by a trusted key, or not a document.
    """
    payload = _verified(data, authority, "configuration", DOCUMENT_LIMIT)
    return ConfigurationDocument.decode(payload, limit=DOCUMENT_LIMIT)


def sign_manifest(manifest: BundleManifest, signer: Signer) -> bytes:
    """The manifest as it is published."""
    return cose.sign(manifest.encode(), signer, _context("bundle"))


def read_manifest(data: bytes, authority: KeyRing) -> BundleManifest:
    """A manifest of the authority; the caller checks whom it is for.

    Raises:
        WireError: not by a trusted key, or not a manifest.
    """
    return BundleManifest.decode(_verified(data, authority, "bundle", MANIFEST_LIMIT), limit=MANIFEST_LIMIT)


def _verified(data: bytes, authority: KeyRing, kind: str, limit: int) -> bytes:
    return cose.verify_by_ring(data, authority, _context(kind), limit=limit)


def _context(kind: str) -> Context:
    return Context(kind, "*", "authority")
