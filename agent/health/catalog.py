"""Write the journal's message catalogue: `python -m agent.health.catalog > renzheng.catalog`.

Format: https://systemd.io/CATALOG. With it `journalctl -x` shows what an event means under its line.
"""

import sys

from agent.health.events import all_events


def catalog() -> str:
    """The catalogue's text."""
    entries = []
    for event in all_events():
        subject = event.text
        for name in event.fields:
            subject = subject.replace(f"{{{name}}}", f"@RENZHENG_{name.upper()}@")
        entries.append(f"-- {event.message_id}\nSubject: {subject}\nDefined-By: renzheng\n\n{event.meaning}\n")
    return "\n".join(entries)


if __name__ == "__main__":
    sys.stdout.write(catalog())
