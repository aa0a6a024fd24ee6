"""A passport's lines are typed by touch, by keyboard, and wrong; what was typed is forgotten."""

from datetime import date

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from agent.verification.screen import Screen, Stage
from firmware_bridge.emrtd.mrz import check_digit
from firmware_bridge.reader import CanKey, MrzKey
from tests.system.kiosk.look import faults, judged, serious
from tests.system.kiosk.scenes import SIZES
from tests.system.kiosk.stand import Stand

pytestmark = pytest.mark.system

SPECIMEN = ("L898902C36", "7408122", "1204159")
KEY = MrzKey("L898902C3", date(1974, 8, 12), date(2012, 4, 15))


def begin(page: Page, kind: str) -> None:
    page.locator("[data-for=idle] [data-act=type]").click()
    page.locator(f"[data-entry={kind}]").click()
    expect(page.locator("#entry-field")).to_be_focused()


def test_a_passports_lines_are_typed_with_a_finger(page: Page, stand: Stand) -> None:
    page.locator("[data-for=idle] [data-act=type]").tap()
    page.locator("[data-entry=mrz]").tap()
    for field in SPECIMEN:
        for character in field:
            page.locator("#keys").get_by_text(character, exact=True).tap()
        page.locator("#entry-next").tap()
    page.wait_for_selector("html[data-view=entry_thanks]")
    assert stand.taken_key() == KEY
    page.wait_for_selector("html[data-view=idle]", timeout=5000)


def test_a_passports_lines_are_typed_on_a_keyboard(page: Page, stand: Stand) -> None:
    page.keyboard.press("Tab")
    while page.evaluate("document.activeElement.dataset.act") != "type":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    while page.evaluate("document.activeElement.dataset.entry") != "mrz":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    for field in SPECIMEN:
        page.keyboard.type(field.lower())
        page.keyboard.press("Enter")
    page.wait_for_selector("html[data-view=entry_thanks]")
    assert stand.taken_key() == KEY


def test_the_access_number_is_typed(page: Page, stand: Stand) -> None:
    begin(page, "can")
    page.keyboard.type("50x0540")
    page.keyboard.press("Enter")
    page.wait_for_selector("html[data-view=entry_thanks]")
    assert stand.taken_key() == CanKey("500540")


def test_a_wrong_character_is_told_at_once_and_mended(page: Page, stand: Stand) -> None:
    begin(page, "mrz")
    page.keyboard.type("L898902C37")
    page.keyboard.press("Enter")
    expect(page.locator("#entry-wrong")).not_to_be_empty()
    expect(page.locator("#entry-field")).to_have_attribute("aria-invalid", "true")
    page.locator("#keys .delete").tap()
    expect(page.locator("#entry-wrong")).to_be_empty()
    page.keyboard.type("6")
    page.keyboard.press("Enter")
    expect(page.locator("#entry-count")).to_have_text("2 / 3")
    page.locator("[data-entry=back]").click()
    expect(page.locator("#entry-count")).to_have_text("1 / 3")
    expect(page.locator("#entry-field")).to_have_value("")


def test_a_day_that_does_not_exist_is_told_by_its_field_and_mended(page: Page, stand: Stand) -> None:
    # The check digit holds: only the calendar refuses the 31st of February.
    nowhere = f"740231{check_digit('740231')}"
    begin(page, "mrz")
    for field in (SPECIMEN[0], nowhere, SPECIMEN[2]):
        page.keyboard.type(field)
        page.keyboard.press("Enter")
    expect(page.locator("#entry-wrong")).not_to_be_empty()
    expect(page.locator("#entry-count")).to_have_text("2 / 3")
    for field in SPECIMEN[1:]:
        page.keyboard.type(field)
        page.keyboard.press("Enter")
    page.wait_for_selector("html[data-view=entry_thanks]")
    assert stand.taken_key() == KEY


def test_an_impatient_finger_breaks_nothing_while_the_answer_is_awaited(page: Page, stand: Stand) -> None:
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))

    def linger(route: Route) -> None:
        page.wait_for_timeout(300)
        route.continue_()

    page.route("**/key", linger)
    begin(page, "can")
    page.keyboard.type("500540")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.keyboard.press("Backspace")
    page.get_by_role("button", name="中文").click()
    page.wait_for_selector("html[data-view=entry_thanks]")
    expect(page.locator("[data-for=entry_thanks] h1")).to_have_text("谢谢")
    assert stand.taken_key() == CanKey("500540")
    assert not said


def test_an_unfinished_field_goes_nowhere(page: Page) -> None:
    begin(page, "mrz")
    page.keyboard.type("L8989")
    expect(page.locator("#entry-next")).to_be_disabled()
    page.keyboard.press("Enter")
    expect(page.locator("#entry-count")).to_have_text("1 / 3")


@pytest.mark.parametrize("stage", [Stage.FACE, Stage.VERIFIED, Stage.OUT_OF_ORDER])
def test_what_was_typed_is_wiped_when_the_terminal_goes_on(page: Page, stand: Stand, stage: Stage) -> None:
    begin(page, "mrz")
    page.keyboard.type("L898902C36")
    stand.show(Screen(stage))
    page.wait_for_selector(f"html[data-view={stage.value}]")
    assert page.locator("#entry-field").input_value() == ""
    assert "L898902C36" not in page.evaluate("document.body.innerText")


def test_typing_goes_on_while_the_terminal_waits_for_it(page: Page, stand: Stand) -> None:
    begin(page, "mrz")
    page.keyboard.type("L8989")
    before = page.locator("html").get_attribute("data-serial")
    stand.show(Screen(Stage.NEED_KEY))
    page.wait_for_selector(f"html:not([data-serial='{before}'])")
    page.keyboard.type("02C36")
    expect(page.locator("#entry-field")).to_have_value("L898902C36")


def test_escape_leaves(page: Page) -> None:
    begin(page, "can")
    page.keyboard.press("Escape")
    page.wait_for_selector("html[data-view=idle]")


def test_typing_fits_every_screen_and_is_for_everybody(browser: Browser, stand: Stand) -> None:
    wrong: list[str] = []
    for width, height in SIZES:
        context = browser.new_context(viewport={"width": width, "height": height})
        page = context.new_page()
        page.goto(stand.url)
        page.wait_for_selector("html[data-view=idle]")
        page.locator("[data-for=idle] [data-act=type]").click()
        wrong += [f"choose {width}x{height}: {fault}" for fault in faults(page)]
        page.locator("[data-entry=mrz]").click()
        for field in SPECIMEN[:2]:
            page.keyboard.type(field)
            wrong += [f"{field} {width}x{height}: {fault}" for fault in faults(page)]
            if (width, height) == SIZES[1]:
                wrong += filter(None, [serious(judged(page))])
            page.keyboard.press("Enter")
        context.close()
    assert not wrong, "\n".join(wrong)
