"""From the moment the flow publishes a screen to the frame that shows it, on one machine's clock."""

import math
import time

from playwright.sync_api import Page

from agent.biometrics.types import Guidance
from agent.verification.screen import Screen, Stage
from tests.system.kiosk.stand import Stand

# A frame callback runs before its frame is painted, a message that it sends runs after: then it is on the glass.
_WATCH = """() => {
  window.painted = {};
  const channel = new MessageChannel();
  let waiting = [];
  channel.port1.onmessage = () => {
    const now = performance.timeOrigin + performance.now();
    for (const serial of waiting) window.painted[serial] ??= now;
    waiting = [];
  };
  new MutationObserver(() => {
    const serial = document.documentElement.dataset.guidance + document.documentElement.dataset.serial;
    requestAnimationFrame(() => { waiting.push(serial); channel.port2.postMessage(0); });
  }).observe(document.documentElement, { attributeFilter: ["data-serial"] });
}"""
_GUIDANCE = (Guidance.TURN_LEFT, Guidance.TURN_RIGHT, Guidance.LOOK_UP, Guidance.HOLD_STILL)


def measure(page: Page, stand: Stand, prompts: int) -> list[float]:
    """Milliseconds from publishing to paint, for `prompts` prompts while the preview runs."""
    stand.show(Screen(Stage.FACE, guidance=Guidance.LOOK_HERE))
    page.wait_for_selector("#preview[data-live]")
    page.evaluate(_WATCH)
    published: list[tuple[str, float]] = []
    for number in range(prompts):
        guidance = _GUIDANCE[number % len(_GUIDANCE)]
        published.append((guidance.value, 1000 * time.time()))
        stand.show(Screen(Stage.FACE, guidance=guidance, steps=3))
        # Off the display's beat, so that each phase of a frame is met.
        time.sleep(0.0431)
    time.sleep(0.2)
    painted = sorted(page.evaluate("Object.entries(window.painted)"), key=lambda entry: entry[1])
    times: list[float] = []
    for guidance_name, at in published:
        [first, *_] = [when for name, when in painted if name.startswith(guidance_name) and when >= at - 1] or [None]
        if first is None:
            raise AssertionError(f"{guidance_name} was never painted")
        times.append(first - at)
    return times


def p95(times: list[float]) -> float:
    """The time that 95 in 100 do not exceed."""
    return sorted(times)[math.ceil(0.95 * len(times)) - 1]
