"""Write docs/failures.md from the catalogue: `python -m agent.failures > docs/failures.md`."""

import sys

from agent.failures import catalogue

HEAD = """# Failure codes

Generated from `agent/failures/catalogue.toml` by `make docs`; a test holds the two together. The number is what the
screen shows to the person; the code is what logs, metrics, the audit and the issuer carry.

| number | code | cause | remedy | may try again |
| --- | --- | --- | --- | --- |
"""


def markdown() -> str:
    """The page, as Markdown."""
    rows = sorted(catalogue().values(), key=lambda failure: failure.number)
    return HEAD + "".join(
        f"| {f.number} | `{f.code}` | {f.cause} | {f.remedy} | {'yes' if f.retry else 'no'} |\n" for f in rows
    )


if __name__ == "__main__":
    sys.stdout.write(markdown())
