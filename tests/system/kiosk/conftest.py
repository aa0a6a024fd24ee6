"""Debian's Chromium, driven by Playwright, before the real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from agent.verification.screen import Screen, Stage
from tests.system.kiosk.stand import Stand, joining

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.skip("chromium is not installed: `make test` installs requirements/apt-test.txt")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shared_stand() -> Iterator[Stand]:
    stand = Stand(join=joining())
    yield stand
    stand.close()


@pytest.fixture
def stand(shared_stand: Stand) -> Stand:
    shared_stand.show(Screen(Stage.IDLE))
    return shared_stand


@pytest.fixture
def page(browser: Browser, stand: Stand) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1024, "height": 600}, has_touch=True)
    page = context.new_page()
    page.goto(stand.url)
    page.wait_for_selector("html[data-view=idle]")
    yield page
    context.close()
