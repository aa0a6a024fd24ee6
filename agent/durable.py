"""Files that are whole or not there: written beside, synced, renamed, and the folder synced (rename(2), fsync(2)).

The service's user owns what is durable, also when root changes it by a command: root makes new files, follows no link
that lies in the way, and gives what it makes to the folder's owner.
"""

import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Replace `path` by `content`; durable on return, and a power cut leaves the old file or the new one.

    Raises:
        OSError: the disk is full or failing; the old file is untouched.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = create(beside, os.O_EXCL)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    beside.rename(path)
    sync_folder(path.parent)


def create(path: Path, flags: int = 0) -> int:
    """A descriptor to write to the file at `path`, made if absent (0600) as its folder's owner's.

    Raises:
        OSError: it cannot be made, or a link lies there.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    if os.geteuid() == 0 and (owner := path.parent.stat()).st_uid:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


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
