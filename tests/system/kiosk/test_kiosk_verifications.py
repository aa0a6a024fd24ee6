"""Every moment of the page is reached by real verifications, and each leaves its picture in `build/kiosk/real`."""

from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
from playwright.sync_api import Browser, Page, expect

from agent.biometrics.liveness.lockout import Lockout
from agent.biometrics.simulator.actors import Holder
from agent.biometrics.simulator.motion import Habits
from agent.biometrics.simulator.person import Person
from agent.biometrics.simulator.portraits import LIVE, shipped
from agent.biometrics.simulator.scene import Light, Studio
from agent.biometrics.types import Image
from agent.demo.theatre import holder, other
from agent.failures import lookup
from agent.verification.outcome import Result
from firmware_bridge.emrtd.mrz import information
from tests.system.kiosk.look import faults, keep
from tests.system.kiosk.stand import PIN
from tests.system.kiosk.terminal import HELP, Terminal, needs

pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(needs()), reason=needs())]


CHALLENGES = ("face:turn_", "face:look_up", "face:look_down")
FREE_ATTEMPTS = Lockout().failures
VIEW = "document.documentElement.dataset.view"


class Stiff(Holder):
    """Somebody whose head does not turn, drawn at the pace of a camera: there is time to find the button."""

    def __init__(self) -> None:
        super().__init__(Person.of(shipped(LIVE)), habits=Habits(yaw=(0.0, 0.0), pitch=(0.0, 0.0)))

    def picture(self, studio: Studio, light: Light, now: float) -> Image:
        sleep(1 / 15)
        return super().picture(studio, light, now)


@pytest.fixture(scope="module")
def terminal() -> Iterator[Terminal]:
    with Terminal() as terminal:
        yield terminal


@pytest.fixture
def glass(browser: Browser, terminal: Terminal) -> Iterator[Page]:
    """The page of the terminal, watching what it shows."""
    context = browser.new_context(viewport={"width": 800, "height": 480}, has_touch=True, reduced_motion="reduce")
    page = context.new_page()
    page.goto(terminal.url)
    page.wait_for_selector("html:not([data-view=gone])", timeout=20_000)
    page.evaluate(
        """() => {
          window.views = [];
          new MutationObserver(() => {
            const { view, guidance } = document.documentElement.dataset;
            const now = guidance ? `${view}:${guidance}` : view;
            if (window.views.at(-1) !== now) window.views.push(now);
          }).observe(document.documentElement, { attributeFilter: ["data-serial", "data-view"] });
        }"""
    )
    yield page
    context.close()


def watch(page: Page, last: str, name: str) -> list[str]:
    """Take a picture of each view until `last` is shown; returns all that were seen."""
    taken: set[str] = set()
    deadline = monotonic() + 40
    while monotonic() < deadline:
        view = str(page.evaluate("window.views.at(-1) ?? ''"))
        if (
            view.startswith(("face:turn_", "face:look_up", "face:look_down"))
            and held(page) > 0.3
            and "held" not in taken
        ):
            taken.add("held")
            picture(page, "challenge")
        if view and view not in taken:
            taken.add(view)
            picture(page, f"{name}-{view.replace(':', '-')}")
        if view == last:
            break
        page.wait_for_timeout(20)
    page.wait_for_timeout(500)
    picture(page, f"{name}-{last}")
    assert not faults(page)
    seen: list[str] = page.evaluate("window.views")
    return seen


def held(page: Page) -> float:
    """How much of the asked pose has been held."""
    return float(page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--part') || 0")) / 100


def picture(page: Page, name: str) -> None:
    keep(page, f"real/{name}")


def test_the_holder_is_verified(glass: Page, terminal: Terminal) -> None:
    visit = terminal.begin(terminal.passports.genuine, holder)
    seen = watch(glass, "verified", "holder")
    assert visit.ended().result is Result.VERIFIED
    # A chip that is slower than the face is read to its end after it: the same view, twice.
    ordered = [view for view in dict.fromkeys(seen) if view in {"reading", "deciding", "verified"}]
    assert ordered == ["reading", "deciding", "verified"]
    assert any(view.startswith(CHALLENGES) for view in seen), seen
    glass.wait_for_selector("html[data-view=idle]", timeout=20_000)


def test_a_passport_whose_lines_are_typed_on_the_page_is_read(glass: Page, terminal: Terminal) -> None:
    visit = terminal.begin(terminal.passports.genuine, holder, scan=False)
    glass.wait_for_selector("html[data-view=need_key]", timeout=20_000)
    picture(glass, "typed-need_key")
    glass.locator("[data-for=need_key] [data-act=type]").tap()
    glass.locator("[data-entry=mrz]").tap()
    lines = information(terminal.passports.genuine.key)
    for name, field in (("number", lines[:10]), ("birth", lines[10:17]), ("expiry", lines[17:])):
        glass.keyboard.type(field)
        picture(glass, f"typed-{name}")
        glass.keyboard.press("Enter")
    seen = watch(glass, "verified", "typed")
    assert visit.ended().result is Result.VERIFIED
    assert seen.index("need_key") < seen.index("verified")


def test_somebody_else_is_sent_to_the_staff(glass: Page, terminal: Terminal) -> None:
    visit = terminal.begin(terminal.passports.genuine, other)
    glass.wait_for_selector("html:is([data-view=try_again], [data-view=refused])", timeout=40_000)
    picture(glass, f"other-{glass.evaluate(VIEW)}")
    assert visit.ended().code == "face.mismatch"
    expect(glass.locator(".code:visible")).to_have_text("Code 183")


def test_a_cloned_chip_is_refused(glass: Page, terminal: Terminal) -> None:
    visit = terminal.begin(terminal.passports.cloned, holder)
    watch(glass, "refused", "clone")
    assert visit.ended().code == "document.cloned"
    expect(glass.locator("[data-for=refused] .code")).to_have_text("Code 131")


def test_a_passport_that_is_lifted_is_asked_for_again(glass: Page, terminal: Terminal) -> None:
    visit = terminal.begin(terminal.passports.genuine, holder, scan=False)
    glass.wait_for_selector("html[data-view=need_key]", timeout=20_000)
    glass.locator(".stop").tap()
    watch(glass, "try_again", "stopped")
    assert visit.ended().code == "verification.cancelled"


def test_who_cannot_turn_the_head_is_led_to_the_staff_and_has_failed_nothing(glass: Page, terminal: Terminal) -> None:
    for attempt in range(FREE_ATTEMPTS + 1):
        visit = terminal.begin(terminal.passports.genuine, Stiff)
        glass.wait_for_selector("html[data-view=face]", timeout=20_000)
        # As somebody does who has a keyboard or a switch: on to the button, and press it.
        button = glass.get_by_role("button", name="I cannot turn my head")
        for _ in range(8):
            if button.evaluate("element => element === document.activeElement"):
                break
            glass.keyboard.press("Tab")
        glass.keyboard.press("Enter")
        glass.wait_for_selector("html[data-view=staff]", timeout=5_000)
        outcome = visit.ended()
        assert (outcome.result, outcome.code) == (Result.FAILED, "liveness.staffed_path"), attempt
    expect(glass.locator("#prompt")).to_have_text(f"A member of our staff will help you. {HELP}")
    expect(glass.locator("[data-for=staff] .body")).to_have_text(HELP)
    expect(glass.locator("[data-for=staff] .code")).to_have_text(f"Code {lookup('liveness.staffed_path').number}")
    assert not faults(glass)
    picture(glass, "staffed-staff")


def test_without_a_broker_the_terminal_says_that_it_is_out_of_order(glass: Page, terminal: Terminal) -> None:
    terminal.broker(there=False)
    visit = terminal.begin(terminal.passports.genuine, holder)
    glass.wait_for_selector("html:is([data-view=out_of_order], [data-view=try_again])", timeout=20_000)
    picture(glass, f"no-broker-{glass.evaluate(VIEW)}")
    assert visit.ended().code == "broker.unreachable"
    expect(glass.locator(".code:visible")).not_to_be_empty()
    # And then nobody else is invited, until the broker is back.
    glass.wait_for_selector("html[data-view=out_of_order]", timeout=25_000)
    expect(glass.locator("[data-for=out_of_order] .code")).to_have_text(f"Code {lookup('broker.unreachable').number}")
    picture(glass, "out_of_order")
    terminal.broker(there=True)
    glass.wait_for_selector("html[data-view=idle]", timeout=25_000)
    expect(glass.locator("#code")).to_be_visible()
    picture(glass, "idle")


def test_the_operator_sees_the_terminal_and_aims_its_camera(glass: Page, terminal: Terminal) -> None:
    terminal.camera.stage(holder())
    glass.goto(terminal.url + "/operator")
    glass.wait_for_selector("#door:not([hidden])")
    glass.keyboard.type(PIN)
    expect(glass.locator("#terminal")).to_have_text("demo-terminal")
    expect(glass.locator("#outcomes li.good").first).to_be_visible()
    expect(glass.locator("#outcomes")).to_contain_text("document.cloned")
    expect(glass.locator("#outcomes li.degraded").first).to_contain_text("asked for the staff")
    glass.locator("#aim").tap()
    glass.wait_for_selector("#preview[data-live]", timeout=10_000)
    glass.wait_for_timeout(500)
    picture(glass, "operator")


def test_no_picture_of_the_holder_stays_anywhere(terminal: Terminal) -> None:
    """What the pictures of this test show is rendered; what the agent itself writes is no picture."""
    written = [path for path in Path(terminal.built.folder).rglob("*") if path.is_file()]
    assert written
    for path in written:
        assert b"\xff\xd8\xff" not in path.read_bytes()[:4096], path.name
