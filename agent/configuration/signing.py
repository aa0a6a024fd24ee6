"""The configuration authority: whose documents count, what they may change, and how its operator signs them.

The authority's public key is pinned at provisioning as `authority.pem` in the identity's trust folder. Without that
file nobody can configure the terminal from afar.
"""

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asn1crypto import pem
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from agent.configuration.load import parse
from agent.configuration.migrations import Tables, current_schema, migrate
from agent.configuration.schema import Settings
from agent.failures import RenzhengError
from agent.wire import configuration
from agent.wire.configuration import BundleFile, BundleManifest, ConfigurationDocument
from agent.wire.errors import Fault, WireError
from agent.wire.keys import KeyRing, PublicKey, algorithm_of, spki

AUTHORITY = "authority.pem"

#: What only the terminal's own file may say: who it is, whom it trusts, where its state lies.
LOCAL_ONLY = ("version", "identity", "terminal.state", "terminal.groups", "faces.model_authority", "faces.origins")

_END = b"-----END PUBLIC KEY-----"
_CODES = {Fault.LIMIT: "configuration.oversized", Fault.MALFORMED: "configuration.malformed"}


@dataclass(frozen=True, slots=True)
class Document:
    """A document of the authority, verified."""

    number: int
    digest: bytes
    target: str
    valid_from: int
    #: Brought to the current schema.
    tables: Tables
    signed: bytes


def load_authority(path: Path) -> KeyRing:
    """The authority's public keys (PEM; several while a key is being changed). No file: no keys, nothing is taken.

    Raises:
        RenzhengError: `configuration.authority`; the file holds something else.
    """
    try:
        blocks = path.read_bytes().split(_END)
    except FileNotFoundError:
        return KeyRing([])
    except OSError as error:
        raise RenzhengError("configuration.authority", f"{path}: {error.strerror}") from error
    keys = [_public_key(path, block + _END) for block in blocks if block.strip()]
    if not keys:
        raise RenzhengError("configuration.authority", f"{path} holds no public key")
    return KeyRing(keys)


def public_pem(key: PublicKey) -> bytes:
    """The public key as terminals pin it."""
    return bytes(pem.armor("PUBLIC KEY", spki(key)))


def open_document(data: bytes, authority: KeyRing) -> Document:
    """Verify a signed document and bring its tables to the current schema.

    Raises:
        RenzhengError: `configuration.` oversized, malformed, unsigned (not by a trusted key), schema, or forbidden.
    """
    try:
        document = configuration.read_document(data, authority)
    except WireError as error:
        raise RenzhengError(_CODES.get(error.fault, "configuration.unsigned"), str(error)) from error
    tables = migrate(_tables(document.settings), document.schema_version)
    for key in LOCAL_ONLY:
        if _names(tables, key.split(".")):
            raise RenzhengError("configuration.forbidden", f"{key} is for the terminal's own file only")
    return Document(document.number, configuration.digest(data), document.target, document.valid_from, tables, data)


def unsigned_document(settings: str, *, number: int, target: str, valid_from: int) -> ConfigurationDocument:
    """The document for TOML text, checked as far as it can be without the terminal's own file.

    Raises:
        RenzhengError: `configuration.malformed` or `configuration.forbidden`.
    """
    tables = _tables(settings)
    for key in LOCAL_ONLY:
        if _names(tables, key.split(".")):
            raise RenzhengError("configuration.forbidden", f"{key} is for the terminal's own file only")
    try:
        return ConfigurationDocument(
            number=number,
            schema_version=current_schema(),
            target=target,
            valid_from=valid_from,
            settings=settings,
        )
    except ValueError as error:
        raise RenzhengError("configuration.malformed", "number, target or size cannot be used") from error


def unsigned_manifest(folder: Path, *, number: int, target: str, origins: Sequence[str] = ()) -> BundleManifest:
    """The manifest of the files in `folder`.

    Raises:
        RenzhengError: `configuration.malformed`; names, sizes, number, target or origins cannot be used.
    """
    try:
        files = tuple(_bundle_file(path) for path in sorted(folder.iterdir()) if path.is_file())
        return BundleManifest(number=number, target=target, valid_from=0, files=files, origins=tuple(origins))
    except (OSError, ValueError) as error:
        raise RenzhengError("configuration.malformed", f"{folder} cannot be described by a manifest") from error


def _bundle_file(path: Path) -> BundleFile:
    with path.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").digest()
    return BundleFile(name=path.name, size=path.stat().st_size, sha256=digest)


def require_target(target: str, terminal: str, groups: Sequence[str]) -> None:
    """Refuse what is neither for this terminal nor for one of its groups.

    Raises:
        RenzhengError: `configuration.foreign`.
    """
    kind, _, name = target.partition(":")
    if not (name == terminal if kind == "terminal" else name in groups):
        raise RenzhengError("configuration.foreign", f"for {target}, not for this terminal")


def laid_over(base: Tables, document: Document, *, source: str, folder: Path) -> Settings:
    """The settings of a terminal whose own file holds `base`, with `document` laid over it.

    Tables are merged, everything else is replaced. Relative paths start from `folder`.

    Raises:
        RenzhengError: `configuration.invalid`; the whole would not be valid settings.
    """
    try:
        return parse(_merged(base, document.tables), source=source, base=folder)
    except RenzhengError as error:
        raise RenzhengError("configuration.invalid", str(error.args[0])) from error


def _merged(under: Tables, over: Tables) -> Tables:
    return {**under, **{key: _laid(under.get(key), value) for key, value in over.items()}}


def _laid(below: Any, value: Any) -> Any:
    if not isinstance(below, dict) or not isinstance(value, dict):
        return value
    # A table that names another type is another thing: nothing of the old one may shine through.
    another = value.get("type", below.get("type")) != below.get("type")
    return value if another else _merged(below, value)


def _names(tables: Tables, steps: Sequence[str]) -> bool:
    head, *rest = steps
    if head not in tables:
        return False
    return not rest or (isinstance(tables[head], dict) and _names(tables[head], rest))


def _tables(text: str) -> Tables:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RenzhengError("configuration.malformed", f"not TOML: {error}") from error


def _public_key(path: Path, text: bytes) -> PublicKey:
    try:
        key = load_pem_public_key(text)
        algorithm_of(key)
    except (ValueError, UnsupportedAlgorithm, WireError) as error:
        raise RenzhengError(
            "configuration.authority", f"{path} holds something else than P-256 or Ed25519 public keys"
        ) from error
    return key  # type: ignore[return-value]  # algorithm_of refused every other kind
