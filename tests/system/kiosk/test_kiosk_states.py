"""Every moment of the page on every screen: it fits, it is readable, it is for everybody; and its picture is kept."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from agent.verification.screen import Screen, Stage
from tests.system.kiosk.look import DOCS, HERE, PICTURES, ROOT, faults, judged, keep, serious
from tests.system.kiosk.scenes import SCENES, SIZES
from tests.system.kiosk.stand import Stand, joining

SHIPPED = ROOT / "agent/kiosk/languages"

#: Kept for every language and size; the others for small panels in the shipped languages.
FEW = frozenset({"idle", "face-turn-left", "refused"})

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def all_languages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped languages, one that runs from right to left, and one of long words: each one file more."""
    folder = tmp_path_factory.mktemp("languages")
    for file in (*SHIPPED.glob("*.toml"), *(HERE / "languages").glob("*.toml")):
        (folder / file.name).write_text(file.read_text("utf-8"), "utf-8")
    return folder


@pytest.fixture(scope="module", params=["en", "zh", "ar", "de"])
def speaking(request: pytest.FixtureRequest, all_languages: Path) -> Iterator[tuple[str, Stand]]:
    """The page in one language; the buttons are those of the shipped ones."""
    language = request.param
    options = {"languages": all_languages} if language in {"ar", "de"} else {}
    stand = Stand(language, join=joining(), **options)
    yield language, stand
    stand.close()


def visit(page: Page, stand: Stand, screen: Screen) -> None:
    stand.show(screen)
    page.wait_for_selector(f"html[data-view='{screen.stage.value}'][data-guidance='{screen.guidance or ''}']")
    if screen.light:
        # This light, not that of the scene before.
        page.wait_for_selector(f"html[data-lit][style*='--light: {screen.light};']")
    if screen.stage is Stage.FACE:
        page.wait_for_selector("#preview[data-live]")
    if screen.stage is Stage.IDLE:
        expect(page.locator("#code")).not_to_have_js_property("naturalWidth", 0)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_every_moment_fits_every_screen(browser: Browser, speaking: tuple[str, Stand], size: tuple[int, int]) -> None:
    language, stand = speaking
    width, height = size
    if language in {"ar", "de"} and width >= 1024:
        pytest.skip("the shape of 800x480 again, only larger")
    stand.show(Screen(Stage.DECIDING))
    context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    page = context.new_page()
    page.goto(stand.url)
    wrong: list[str] = []
    for name, screen in SCENES.items():
        visit(page, stand, screen)
        wrong += [f"{name}: {fault}" for fault in faults(page)]
        if name in FEW or (width < 1024 and language in {"en", "zh"}):
            keep(page, f"{name}-{width}x{height}-{language}")
    context.close()
    assert not wrong, "\n".join(wrong)


def test_no_moment_keeps_anybody_out(browser: Browser, stand: Stand) -> None:
    report = {}
    context = browser.new_context(viewport={"width": 800, "height": 480}, reduced_motion="reduce")
    page = context.new_page()
    page.goto(stand.url)
    for name, screen in SCENES.items():
        visit(page, stand, screen)
        report[name] = judged(page)
    context.close()
    folder = DOCS if os.environ.get("RENZHENG_DOCS") else PICTURES
    (folder / "accessibility.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    assert not [text for text in map(serious, report.values()) if text]


def test_text_runs_from_right_to_left(browser: Browser, all_languages: Path) -> None:
    stand = Stand("ar", languages=all_languages)
    context = browser.new_context(viewport={"width": 1024, "height": 600})
    page = context.new_page()
    page.goto(stand.url)
    visit_without_code(page, stand)
    figure = page.locator("[data-for=idle] .figure").bounding_box()
    words = page.locator("[data-for=idle] h1").bounding_box()
    assert figure is not None
    assert words is not None
    assert figure["x"] > words["x"]
    context.close()
    stand.close()


def visit_without_code(page: Page, stand: Stand) -> None:
    stand.show(Screen(Stage.IDLE))
    page.wait_for_selector("html[data-view=idle][dir=rtl]")
