"""Files of model bundles: kept under their digest below the issuer's folder, handed out piece by piece over MQTT."""

import hashlib
import shutil
from pathlib import Path

from agent.wire.configuration import CHUNK_LIMIT, CHUNK_SIZE, Chunk, Fetch
from agent.wire.errors import Fault, WireError
from issuer.errors import IssuerError

_FOLDER = "bundles"


class BundleFiles:
    """The files below `root`."""

    def __init__(self, root: Path) -> None:
        self._folder = root / _FOLDER

    def add(self, path: Path) -> str:
        """Keep a copy of the file at `path`; its SHA-256 in hex.

        Raises:
            IssuerError: it cannot be copied.
        """
        try:
            with path.open("rb") as file:
                name = hashlib.file_digest(file, "sha256").hexdigest()
            self._folder.mkdir(exist_ok=True)
            if not (self._folder / name).exists():
                beside = self._folder / f".{name}"
                shutil.copyfile(path, beside)
                beside.rename(self._folder / name)
        except OSError as error:
            raise IssuerError(f"{path}: {error.strerror}") from error
        return name

    def take(self, terminal: str, data: bytes) -> bytes:
        """The chunk that a terminal asks for; an empty one past the end.

        Raises:
            WireError: not a fetch of that terminal, or a file that is not here.
        """
        fetch = Fetch.decode(data, limit=CHUNK_LIMIT)
        if fetch.terminal != terminal:
            raise WireError(Fault.CONTEXT, "asked for by another terminal")
        try:
            with (self._folder / fetch.sha256.hex()).open("rb") as file:
                file.seek(fetch.offset)
                piece = file.read(CHUNK_SIZE)
        except (OSError, OverflowError) as error:
            raise WireError(Fault.CONTEXT, "asked for a file that is not here") from error
        return Chunk(sha256=fetch.sha256, offset=fetch.offset, data=piece).encode()
