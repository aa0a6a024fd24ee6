"""Files that are whole or not there: written beside, synced, renamed, and the folder synced (rename(2), fsync(2))."""

import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Replace `path` by `content`; durable on return, and a power cut leaves the old file or the new one.

    Raises:
        OSError: the disk is full or failing; the old file is untouched.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    beside.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path, *, limit: int) -> bytes | None:
    """The content of `path`, None where there is no such file.

    Raises:
        OSError: it cannot be read, or is larger than `limit`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        return None
    if len(content) > limit:
        raise OSError(f"larger than {limit} bytes")
    return content
