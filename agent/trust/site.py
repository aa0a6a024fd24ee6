"""What the issuer told this terminal of its site when it enrolled: settings, and whose documents to believe.

Kept beside the identity, so that provisioning can be repeated without asking again:

    site/settings.toml   TOML text of the settings that the issuer wishes
    site/documents/      certificates, master lists and revocation lists of states
"""

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path

from agent import durable
from agent.trust.errors import TrustError
from agent.wire.enrolment import SITE_DOCUMENTS, SITE_SETTINGS

_LIMIT = 256 * 1024
#: As an issuer may choose them.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def keep(folder: Path, answer: Mapping[str, str]) -> None:
    """Keep the site's files of an answer below the identity `folder`; names that are not expected are not written.

    Raises:
        TrustError: `provision.refused`; a file is not what the contract says.
    """
    for name, text in answer.items():
        place, _, file = name.rpartition("/")
        try:
            if name == SITE_SETTINGS:
                durable.write(folder / SITE_SETTINGS, text.encode("utf-8"))
            elif place == SITE_DOCUMENTS and _NAME.fullmatch(file):
                durable.write(folder / SITE_DOCUMENTS / file, base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError) as error:
            raise TrustError("provision.refused", f"{name} of the issuer's answer cannot be read") from error


def settings(folder: Path) -> str:
    """The settings that the issuer wishes, as TOML text; empty when it said nothing.

    Raises:
        TrustError: `provision.site`; the file cannot be read.
    """
    try:
        return (durable.read(folder / SITE_SETTINGS, limit=_LIMIT) or b"").decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrustError("provision.site", f"{folder / SITE_SETTINGS} cannot be read") from error


def documents(folder: Path) -> list[Path]:
    """The files of the states whose documents are to be believed."""
    place = folder / SITE_DOCUMENTS
    return sorted(path for path in place.iterdir() if path.is_file()) if place.is_dir() else []
