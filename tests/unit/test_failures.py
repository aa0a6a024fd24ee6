"""The catalogue is complete, and the page in docs is its image."""

import re
from pathlib import Path

from agent.failures import catalogue, lookup
from agent.failures.__main__ import markdown
from firmware_bridge.errors import Code

ROOT = Path(__file__).parents[2]


def test_every_code_of_the_bridge_is_in_the_catalogue() -> None:
    assert {code.value for code in Code} <= set(catalogue())


def test_the_page_in_docs_is_generated_from_the_catalogue() -> None:
    assert (ROOT / "docs/failures.md").read_text("utf-8") == markdown(), "run `make docs`"


def test_every_code_that_the_code_raises_is_in_the_catalogue() -> None:
    raised = re.compile(r'[A-Z]\w*Error\(\s*"([a-z]+(?:\.[a-z_]+)+)"')
    for folder in ("agent", "firmware_bridge", "issuer"):
        for path in (ROOT / folder).rglob("*.py"):
            unknown = set(raised.findall(path.read_text("utf-8"))) - set(catalogue())
            assert not unknown, f"{path.relative_to(ROOT)} raises {sorted(unknown)}"


def test_an_unknown_code_is_still_told() -> None:
    assert lookup("no.such_code").code == "internal.error"
