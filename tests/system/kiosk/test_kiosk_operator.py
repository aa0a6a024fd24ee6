"""The operator's page: a PIN by touch, the facts, the self-test, the camera's aim, and the way out."""

import logging

import pytest
from playwright.sync_api import Browser, Page, expect

from agent.verification.screen import Screen, Stage
from tests.system.kiosk.look import judged, keep, serious
from tests.system.kiosk.scenes import SIZES
from tests.system.kiosk.stand import PIN, Stand

pytestmark = pytest.mark.system


def enter(page: Page, pin: str) -> None:
    for digit in pin:
        page.locator("#keys").get_by_text(digit, exact=True).tap()


def test_the_way_from_the_page_in_and_out_again(page: Page) -> None:
    page.locator("a.staff").tap()
    page.wait_for_selector("#door:not([hidden])")
    enter(page, PIN)
    expect(page.locator("#terminal")).to_have_text("lobby-07")
    expect(page.locator("#devices li.bad")).to_contain_text("reader.gone")
    expect(page.locator("#outcomes li")).to_have_count(4)
    page.locator("#leave").tap()
    page.wait_for_selector("html[data-view=idle]")
    page.goto(page.url + "operator")
    page.wait_for_selector("#door:not([hidden])")


def test_the_digits_travel_in_a_body_and_nowhere_else(
    page: Page, stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sent: list[tuple[str, str, str]] = []
    page.on("request", lambda request: sent.append((request.method, request.url, request.post_data or "")))
    page.locator("a.staff").click()
    page.wait_for_selector("#door:not([hidden])")
    enter(page, PIN)
    page.wait_for_selector("#board:not([hidden])")
    assert [(method, url) for method, url, body in sent if PIN in body] == [("POST", f"{stand.url}/operator/session")]
    assert not [url for _method, url, _body in sent if PIN in url]
    assert PIN not in caplog.text
    assert page.locator("#pin").input_value() == ""


def test_a_wrong_pin_is_told_and_many_are_locked_out(browser: Browser) -> None:
    stand = Stand()
    context = browser.new_context(has_touch=True)
    page = context.new_page()
    page.goto(stand.url + "/operator")
    page.wait_for_selector("#door:not([hidden])")
    for _ in range(4):
        page.keyboard.type("11111111")
        expect(page.locator("#door-wrong")).to_have_text("This PIN is not right.")
        expect(page.locator("#pin")).to_have_value("")
    page.keyboard.type("11111111")
    expect(page.locator("#door-wrong")).to_contain_text("Too many tries.")
    page.keyboard.type(PIN)
    expect(page.locator("#door-wrong")).to_contain_text("Too many tries.")
    context.close()
    stand.close()


def test_a_pin_is_not_called_wrong_when_nobody_has_looked_at_it(browser: Browser) -> None:
    stand = Stand()
    context = browser.new_context()
    page = context.new_page()
    page.goto(stand.url + "/operator")
    page.wait_for_selector("#door:not([hidden])")
    stand.stop()
    page.keyboard.type(PIN)
    expect(page.locator("#door-wrong")).to_have_text("This terminal will be with you in a moment.")
    stand.restart()
    # The agent was started anew: the page fetches its new cookie, and the PIN is asked for again.
    with page.expect_navigation():
        page.keyboard.type(PIN)
    page.wait_for_selector("#door:not([hidden])")
    page.keyboard.type(PIN)
    page.wait_for_selector("#board:not([hidden])")
    context.close()
    stand.close()


def test_the_self_test_runs_when_asked(page: Page, stand: Stand) -> None:
    page.goto(stand.url + "/operator")
    page.wait_for_selector("#door:not([hidden])")
    before = stand.operator.self_tests
    page.keyboard.type(PIN)
    # The button is enabled before the touch arrives as well: the answer is what tells.
    with page.expect_response("**/operator/self-test"):
        page.locator("#run").tap()
    expect(page.locator("#run")).to_be_enabled()
    assert stand.operator.self_tests == before + 1


def test_the_camera_is_aimed_by_light_and_focus(page: Page, stand: Stand) -> None:
    page.goto(stand.url + "/operator")
    page.wait_for_selector("#door:not([hidden])")
    page.keyboard.type(PIN)
    page.locator("#aim").tap()
    expect(page.locator("#light-word")).to_have_text("good")
    page.wait_for_selector("#preview[data-live]")
    assert float(page.locator("#focus-value").inner_text()) > 1
    page.locator("#aim").tap()
    expect(page.locator("#preview[data-live]")).to_have_count(0)


def test_the_operators_page_fits_and_is_for_everybody(browser: Browser, stand: Stand) -> None:
    stand.show(Screen(Stage.IDLE))
    wrong: list[str] = []
    for width, height in SIZES:
        context = browser.new_context(viewport={"width": width, "height": height})
        page = context.new_page()
        page.goto(stand.url + "/operator")
        page.wait_for_selector("#door:not([hidden])")
        small = (width, height) == SIZES[1]
        if small:
            wrong += filter(None, [serious(judged(page))])
        page.keyboard.type(PIN)
        page.wait_for_selector("#devices li")
        page.locator("#aim").click()
        page.wait_for_selector("#preview[data-live]")
        if small:
            wrong += filter(None, [serious(judged(page))])
        if page.evaluate("document.querySelector('main').scrollWidth > innerWidth"):
            wrong.append(f"{width}x{height}: the board is wider than the screen")
        keep(page, f"operator-{width}x{height}-en")
        context.close()
    assert not wrong, "\n".join(wrong)
