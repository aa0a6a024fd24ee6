"""The page over a long day: it forgets, it comes back, it stays small, it is quick, it talks to nobody else."""

import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, CDPSession, Page, expect

from agent.biometrics.types import Guidance
from agent.failures import lookup
from agent.verification.screen import Screen, Stage
from tests.system.kiosk.latency import measure, p95
from tests.system.kiosk.look import ROOT
from tests.system.kiosk.scenes import SCENES
from tests.system.kiosk.stand import Stand

pytestmark = pytest.mark.system


def test_whoever_comes_next_meets_the_terminals_own_language(page: Page, stand: Stand) -> None:
    page.get_by_role("button", name="中文").click()
    expect(page.locator("[data-for=idle] h1")).to_have_text("请将证件放在读卡器上")
    stand.show(Screen(Stage.VERIFIED))
    page.wait_for_selector("html[data-view=verified]")
    expect(page.locator("[data-for=verified] h1")).to_have_text("核验通过")
    stand.show(Screen(Stage.IDLE))
    expect(page.locator("[data-for=idle] h1")).to_have_text("Place your document on the reader")


def test_a_slow_page_that_missed_a_whole_visit_forgets_it_all_the_same(page: Page, stand: Stand) -> None:
    page.get_by_role("button", name="中文").click()
    expect(page.locator("[data-for=idle] h1")).to_have_text("请将证件放在读卡器上")
    stand.show(Screen(Stage.VERIFIED), Screen(Stage.IDLE))
    expect(page.locator("[data-for=idle] h1")).to_have_text("Place your document on the reader")


@pytest.mark.parametrize("between", [(Screen(Stage.IDLE),), ()], ids=["the page missed idle", "the next one hurries"])
def test_so_does_one_that_sees_the_next_visit_begin_after_the_last(
    page: Page, stand: Stand, between: tuple[Screen, ...]
) -> None:
    page.get_by_role("button", name="中文").click()
    stand.show(Screen(Stage.VERIFIED))
    page.wait_for_selector("html[data-view=verified]")
    stand.show(*between, Screen(Stage.READING))
    page.wait_for_selector("html[data-view=reading]")
    expect(page.locator("[data-for=reading] h1")).to_have_text("Leave your document on the reader")
    expect(page.get_by_role("button", name="English")).to_have_attribute("aria-pressed", "true")


def test_a_visit_keeps_its_language_when_the_page_loses_the_agent_for_a_moment(browser: Browser) -> None:
    stand = Stand()
    # Somebody was here before.
    stand.show(Screen(Stage.VERIFIED), Screen(Stage.IDLE), Screen(Stage.READING))
    context = browser.new_context()
    page = context.new_page()
    page.goto(stand.url)
    page.wait_for_selector("html[data-view=reading]")
    page.get_by_role("button", name="中文").click()
    stand.stop()
    page.wait_for_selector("html[data-view=gone]", timeout=10_000)
    stand.restart()
    page.wait_for_selector("html[data-view=reading]", timeout=10_000)
    expect(page.locator("[data-for=reading] h1")).to_have_text("请勿移动证件")
    context.close()
    stand.close()


def test_the_picture_is_wiped_when_the_face_is_done(page: Page, stand: Stand) -> None:
    stand.show(Screen(Stage.FACE, guidance=Guidance.LOOK_HERE))
    page.wait_for_selector("#preview[data-live]")
    assert colours(page) > 100
    stand.show(Screen(Stage.DECIDING))
    page.wait_for_selector("html[data-view=deciding]")
    assert colours(page) == 1


def colours(page: Page) -> int:
    found: int = page.evaluate(
        """() => {
          const canvas = document.getElementById("preview");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return new Set(new Uint32Array(data.buffer)).size;
        }"""
    )
    return found


def test_the_light_fills_the_page_and_leaves_with_the_face(page: Page, stand: Stand) -> None:
    stand.show(SCENES["face-light-blue"])
    page.wait_for_selector("html[data-lit=dark]")
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(16, 48, 255)"
    stand.show(Screen(Stage.DECIDING))
    page.wait_for_selector("html:not([data-lit])")
    expect(page.locator("body")).to_have_css("background-color", "rgb(247, 245, 240)")


def test_prompts_are_spoken_only_when_asked_for_and_until_the_next_person(page: Page, stand: Stand) -> None:
    page.evaluate(
        """() => {
          window.spoken = [];
          const speak = speechSynthesis.speak.bind(speechSynthesis);
          speechSynthesis.speak = (words) => (window.spoken.push([words.text, words.lang]), speak(words));
        }"""
    )
    stand.show(Screen(Stage.READING))
    page.wait_for_selector("html[data-view=reading]")
    assert page.evaluate("window.spoken") == []
    page.locator("#speak").tap()
    stand.show(Screen(Stage.FACE, guidance=Guidance.TURN_LEFT))
    page.wait_for_selector("html[data-guidance=turn_left]")
    stand.show(Screen(Stage.FACE, guidance=Guidance.TURN_LEFT, held=0.5))
    stand.show(Screen(Stage.IDLE))
    page.wait_for_selector("html[data-view=idle]")
    expect(page.locator("#speak")).to_have_attribute("aria-pressed", "false")
    spoken = page.evaluate("window.spoken")
    assert spoken[:2] == [["Leave your document on the reader", "en-GB"], ["Turn your head left", "en-GB"]]
    stand.show(Screen(Stage.VERIFIED))
    page.wait_for_selector("html[data-view=verified]")
    assert page.evaluate("window.spoken") == spoken


def test_a_failure_is_told_to_a_screen_reader(page: Page, stand: Stand) -> None:
    stand.show(SCENES["refused"])
    expect(page.get_by_role("status")).to_have_text(lookup("face.mismatch").person["en"])


def test_stop_reaches_the_flow(page: Page, stand: Stand) -> None:
    stand.show(Screen(Stage.READING))
    page.locator(".stop").tap()
    for _ in range(50):
        if stand.inputs.cancelled.is_set():
            break
        time.sleep(0.05)
    assert stand.inputs.cancelled.is_set()


def test_it_says_so_when_the_agent_is_gone_and_comes_back_with_it(browser: Browser) -> None:
    stand = Stand()
    context = browser.new_context()
    page = context.new_page()
    page.goto(stand.url)
    page.wait_for_selector("html[data-view=idle]")
    page.evaluate("window.loadedOnce = true")
    stand.stop()
    page.wait_for_selector("html[data-view=gone]", timeout=10_000)
    stand.show(Screen(Stage.READING))
    stand.restart()
    page.wait_for_selector("html[data-view=reading]", timeout=10_000)
    assert page.evaluate("window.loadedOnce")
    context.close()
    stand.close()


def test_an_upgraded_agent_gives_out_its_new_page(browser: Browser, tmp_path: Path) -> None:
    shipped = (ROOT / "agent/kiosk/languages/en.toml").read_text("utf-8")
    (tmp_path / "en.toml").write_text(shipped, "utf-8")
    stand = Stand(languages=tmp_path)
    context = browser.new_context()
    page = context.new_page()
    page.goto(stand.url)
    page.wait_for_selector("html[data-view=idle]")
    (tmp_path / "en.toml").write_text(shipped.replace("Place your document", "Lay your passport"), "utf-8")
    stand.stop()
    stand.restart()
    expect(page.locator("[data-for=idle] h1")).to_have_text("Lay your passport on the reader", timeout=10_000)
    context.close()
    stand.close()


def test_it_talks_to_this_terminal_alone_and_breaks_no_policy(browser: Browser, stand: Stand) -> None:
    context = browser.new_context()
    page = context.new_page()
    hosts: set[str] = set()
    said: list[str] = []
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(stand.url)
    for screen in SCENES.values():
        stand.show(screen)
        page.wait_for_selector(f"html[data-view={screen.stage.value}]")
    assert hosts == {urlsplit(stand.url).netloc}
    assert not said
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    context.close()


def test_the_screen_follows_a_device_within_a_tenth_of_a_second(page: Page, stand: Stand) -> None:
    """`tests.bench.bench_kiosk` measures at length; here one round in four must hold, for tests share their machine."""
    rounds: list[float] = []
    while not rounds or (rounds[-1] > 100 and len(rounds) < 4):
        rounds.append(p95(measure(page, stand, 40)))
    assert rounds[-1] <= 100, rounds


def test_the_first_paint_comes_soon(browser: Browser, stand: Stand) -> None:
    context = browser.new_context(viewport={"width": 800, "height": 480})
    page = context.new_page()
    page.goto(stand.url)
    page.wait_for_selector("html[data-view=idle]")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert 0 < paint < 1500
    context.close()


ONE = (
    Screen(Stage.READING, document=0.5, steps=3),
    Screen(Stage.FACE, document=0.8, guidance=Guidance.TURN_LEFT, steps=3, held=0.5),
    Screen(Stage.FACE, document=1.0, guidance=Guidance.WATCH_SCREEN, step=2, steps=3, light="#20ff40"),
    Screen(Stage.TRY_AGAIN, failure="face.none", number=180),
    Screen(Stage.IDLE),
)


def test_a_thousand_verifications_leave_no_trace(page: Page, stand: Stand) -> None:
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable")
    page.evaluate(
        """() => {
          window.seen = 0;
          new MutationObserver(() => (window.seen += 1))
            .observe(document.documentElement, { attributeFilter: ["data-serial"] });
        }"""
    )
    live(page, stand, 150)
    before = size(cdp)
    shown = live(page, stand, 1000)
    after = size(cdp)
    # A slow page may miss screens in between, but most must have been rendered for this to count.
    assert shown > 0.5 * 1000 * len(ONE)
    assert after["Nodes"] <= before["Nodes"] + 20
    assert after["JSEventListeners"] <= before["JSEventListeners"] + 2
    assert after["JSHeapUsedSize"] <= before["JSHeapUsedSize"] + 300_000


def live(page: Page, stand: Stand, verifications: int) -> int:
    """Run them as fast as the page follows; returns how many screens it rendered."""
    start: int = page.evaluate("window.seen")
    for _ in range(verifications // 50):
        for _ in range(50):
            for screen in ONE:
                stand.show(screen)
                time.sleep(0.0015)
        stand.show(Screen(Stage.IDLE))
        page.wait_for_selector("html[data-view=idle]", state="attached")
    seen: int = page.evaluate("window.seen")
    return seen - start


def size(cdp: CDPSession) -> dict[str, float]:
    """What the page holds, after everything that can be collected was."""
    for _ in range(3):
        cdp.send("HeapProfiler.collectGarbage")
    metrics = {metric["name"]: metric["value"] for metric in cdp.send("Performance.getMetrics")["metrics"]}
    return {name: metrics[name] for name in ("Nodes", "JSEventListeners", "JSHeapUsedSize")}
