"""Where the running agent says how it is and answers the self-test: a folder on a tmpfs, gone when the agent is."""

import os
import tempfile
from functools import cache
from pathlib import Path

#: The service's, as systemd makes it (`RuntimeDirectory=renzheng`): where a command looks for the running agent.
SERVICE = Path("/run/renzheng")


def folder() -> Path:
    """This agent's own: systemd's runtime directory, or a private one where something else started it."""
    named = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(named or _private().name)


@cache
def _private() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="renzheng-run-", ignore_cleanup_errors=True)
