"""Where the running agent says how it is and answers the self-test: a folder on a tmpfs, gone when the agent is."""

import os
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

#: The service's, as systemd makes it (`RuntimeDirectory=renzheng`).
SERVICE = Path("/run/renzheng")
#: In the state folder: the way to its agent's folder. Another terminal's agent on this machine is not taken for it.
LINK = "agent"


def folder() -> Path:
    """This agent's own: systemd's runtime directory, or a private one where something else started it."""
    named = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(named or _private().name)


def leave_word(state: Path) -> None:
    """Let the commands on this machine find this agent by its `state` folder, where they cannot know its own."""
    link = state / LINK
    # A full disk keeps no terminal from serving.
    with suppress(OSError):
        if not (link.is_symlink() and link.readlink() == folder()):
            link.unlink(missing_ok=True)
            link.symlink_to(folder())


def find(state: Path) -> Path:
    """The folder of the agent whose state folder is `state`, running or not; one that is not there if none ever ran."""
    link = state / LINK
    try:
        return link.readlink()
    except FileNotFoundError:
        return link
    except OSError:
        # Whoever may not look into the service's state folder may read what the service says.
        return SERVICE


@cache
def _private() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="renzheng-run-", ignore_cleanup_errors=True)
