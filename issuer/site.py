"""What a terminal is told of its site when it enrols, besides certificates: settings, and whose documents to believe.

site/settings.toml   settings that every terminal gets: the relying party, the broker; its hardware it finds itself
site/documents/      CSCA certificates, ICAO master lists and CRLs, as states publish them
"""

import base64
import json
import tomllib

from agent.wire.enrolment import ANSWER_LIMIT, SITE_DOCUMENTS, SITE_SETTINGS
from issuer.errors import IssuerError
from issuer.layout import Layout

_DEFAULT = """\
# What terminals are told when they enrol. Any setting of a terminal may stand here, but who it is and where it keeps
# its state; readers and camera it finds by itself when they are not named. Who is enrolled already keeps what it has.
[terminal]
relying_party = {name}

[broker]
urls = [{broker}]
"""


def write_default(layout: Layout, name: str, broker: str) -> None:
    """Write the settings of a site whose relying party is `name`, with the broker's URL."""
    layout.site_documents.mkdir(parents=True, exist_ok=True)
    text = _DEFAULT.format(name=json.dumps(name, ensure_ascii=False), broker=json.dumps(broker))
    layout.site_settings.write_text(text, "utf-8")


def files(layout: Layout) -> dict[str, str]:
    """The files of the site as an answer to enrolment carries them; none where the operator has removed them.

    Raises:
        IssuerError: the settings are no TOML, or all together are too large for an answer.
    """
    found = {}
    try:
        if layout.site_settings.exists():
            found[SITE_SETTINGS] = layout.site_settings.read_text("utf-8")
            tomllib.loads(found[SITE_SETTINGS])
        if layout.site_documents.is_dir():
            for path in sorted(path for path in layout.site_documents.iterdir() if path.is_file()):
                found[f"{SITE_DOCUMENTS}/{path.name}"] = base64.b64encode(path.read_bytes()).decode("ascii")
    except (OSError, ValueError) as error:
        raise IssuerError(f"the site's files at the issuer cannot be used: {error}") from error
    # The certificates and anchors beside them take a few kilobytes.
    if sum(len(content) for content in found.values()) > ANSWER_LIMIT * 7 // 8:
        raise IssuerError("the site's files at the issuer are too large to hand out: remove lists that are not needed")
    return found
