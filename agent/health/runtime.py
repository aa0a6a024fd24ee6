"""Where the running agent says how it is and answers the self-test: a folder on a tmpfs, gone when the agent is."""

import os
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

#: The service's, as systemd makes it (`RuntimeDirectory=renzheng`).
SERVICE = Path("/run/renzheng")
#: In the state folder of an agent that something else started: the way to its folder.
LINK = "agent"


def folder() -> Path:
    """This agent's own: systemd's runtime directory, or a private one where something else started it."""
    named = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(named or _private().name)


def leave_word(state: Path) -> None:
    """Let the commands on this machine find this agent by its `state` folder, where they cannot know its own."""
    link = state / LINK
    link.unlink(missing_ok=True)
    if folder() != SERVICE:
        link.symlink_to(folder())


def find(state: Path) -> Path:
    """The folder of the agent whose state folder is `state`, running or not."""
    with suppress(OSError):
        return (state / LINK).readlink()
    return SERVICE


@cache
def _private() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="renzheng-run-", ignore_cleanup_errors=True)
