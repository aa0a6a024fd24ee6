"""The page in real Chromium: from a published screen to its frame, first paint, preview pictures a second.

python -m tests.bench.bench_kiosk [PROMPTS]     # an idle machine; one JSON line
"""

import json
import statistics
import sys
import time

from playwright.sync_api import Page, sync_playwright

from agent.verification.screen import Screen, Stage
from tests.system.kiosk.conftest import CHROMIUM, FLAGS
from tests.system.kiosk.latency import measure, p95
from tests.system.kiosk.stand import Stand

SECONDS = 3.0


def preview_rate(page: Page) -> float:
    """Preview pictures drawn a second."""
    count = "performance.getEntriesByType('resource').filter((entry) => entry.name.endsWith('/preview')).length"
    page.evaluate("performance.clearResourceTimings()")
    start = time.monotonic()
    time.sleep(SECONDS)
    drawn: int = page.evaluate(count)
    return drawn / (time.monotonic() - start)


def main() -> None:
    """Print what was measured."""
    prompts = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    stand = Stand()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 800, "height": 480})
        page.goto(stand.url)
        page.wait_for_selector("html[data-view=idle]")
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        times = measure(page, stand, prompts)
        rate = preview_rate(page)
        stand.show(Screen(Stage.IDLE))
        browser.close()
    stand.close()
    report = {
        "prompts": prompts,
        "latency_ms": {"median": statistics.median(times), "p95": p95(times), "worst": max(times)},
        "first_contentful_paint_ms": paint,
        "preview_pictures_per_second": rate,
    }
    print(json.dumps(report, default=lambda value: round(value, 1)))  # noqa: T201  # a benchmark prints


if __name__ == "__main__":
    main()
