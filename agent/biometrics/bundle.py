"""A model bundle: a folder with `manifest.toml`, the files that it names and, unless it was shipped, `manifest.sig`.

Nothing of a bundle is used before its digest is checked: the signature covers the manifest, the manifest covers every
file by SHA-256, and the interpreter is held against the declared shapes.
"""

import hashlib
import tomllib
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from agent.biometrics.errors import ModelError
from agent.biometrics.manifest import Manifest, ModelEntry, Role, Section
from agent.biometrics.runtime import Network

MANIFEST = "manifest.toml"
SIGNATURE = "manifest.sig"
#: Larger files are no models that a terminal could run.
LARGEST_MODEL = 256 << 20
LARGEST_MANIFEST = 1 << 20

SectionType = TypeVar("SectionType", bound=Section)


class ModelBundle:
    """A checked manifest and the folder that holds its files."""

    def __init__(self, folder: Traversable, manifest: Manifest, digest: str) -> None:
        self._folder = folder
        self.manifest = manifest
        #: SHA-256 of manifest.toml: names the whole bundle, thresholds included.
        self.digest = digest

    @classmethod
    def shipped(cls) -> "ModelBundle":
        """The bundle that came with the package, trusted as the package's code is."""
        return cls._unchecked(resources.files("models"))

    @classmethod
    def signed(cls, folder: Path, trusted_keys: Sequence[bytes]) -> "ModelBundle":
        """The bundle in `folder`, signed by one of `trusted_keys` (PEM public keys, P-256 or Ed25519).

        Raises:
            ModelError: `model.signature`, no trusted key signed this manifest; `model.manifest`, it is malformed.
        """
        from agent.biometrics.signature import check_signature

        content = _read_bounded(folder / MANIFEST, LARGEST_MANIFEST)
        check_signature(content, folder / SIGNATURE, trusted_keys)
        return cls._of(folder, content)

    @classmethod
    def unsigned(cls, folder: Path) -> "ModelBundle":
        """The bundle in `folder` without a look at its signature: for measuring and signing, never for the daemon."""
        return cls._unchecked(folder)

    @classmethod
    def _unchecked(cls, folder: Traversable) -> "ModelBundle":
        return cls._of(folder, _read_bounded(folder / MANIFEST, LARGEST_MANIFEST))

    @classmethod
    def _of(cls, folder: Traversable, content: bytes) -> "ModelBundle":
        return cls(folder, parse_manifest(content), hashlib.sha256(content).hexdigest())

    def entry(self, role: Role) -> ModelEntry:
        """The manifest's entry for `role`.

        Raises:
            ModelError: `model.manifest`, the bundle has none.
        """
        if role not in self.manifest.models:
            raise ModelError("model.manifest", f"the bundle {self.manifest.name!r} has no model for {role}")
        return self.manifest.models[role]

    @property
    def templates(self) -> str:
        """Names what makes this bundle's templates: the embedding's SHA-256, and a second one's with its weight."""
        first = self.entry(Role.EMBED).sha256
        second = self.manifest.models.get(Role.SECOND)
        return first if second is None else f"{first}+{second.sha256}@{second.weight:g}"

    def read(self, role: Role) -> bytes:
        """The bytes of the model for `role`, checked against the manifest's digest.

        Raises:
            ModelError: `model.digest`, the file is absent, too large or another one.
        """
        entry = self.entry(role)
        content = _read_bounded(self._folder / entry.file, LARGEST_MODEL)
        found = hashlib.sha256(content).hexdigest()
        if found != entry.sha256:
            raise ModelError("model.digest", f"{entry.file}: SHA-256 {found}, the manifest says {entry.sha256}")
        return content

    def network(self, role: Role) -> Network:
        """Load the model for `role` into an interpreter of its own."""
        entry = self.entry(role)
        try:
            return Network(self.read(role), entry.input.tensor, [output.tensor for output in entry.outputs])
        except ModelError as error:
            raise ModelError(error.code, f"{entry.file}: {error.args[0]}") from error


def parse_manifest(content: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        ModelError: `model.manifest`, it is no TOML, or a key is missing, unknown or out of range.
    """
    return parse_toml(Manifest, content, MANIFEST)


def parse_toml(kind: type[SectionType], content: bytes, name: str) -> SectionType:
    """Read `content` of the file `name` as a table of this kind; raises as `parse_manifest` does."""
    try:
        return kind.model_validate(tomllib.loads(content.decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError("model.manifest", f"{name}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ModelError("model.manifest", f"{name}: {place}: {first['msg']}") from error


def _read_bounded(path: Traversable, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ModelError("model.digest", f"{path.name}: {error.strerror}") from error
    if len(content) > limit:
        raise ModelError("model.digest", f"{path.name}: larger than {limit} bytes")
    return content
