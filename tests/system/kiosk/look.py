"""How a test looks at the page: does everything fit, does nothing lie on anything else, can all of it be used.

Pictures are kept in `build/kiosk`. With RENZHENG_DOCS=1 those of the guide and the accessibility report are renewed in
`docs/kiosk` as well.
"""

import json
import os
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PICTURES = ROOT / "build/kiosk"
DOCS = ROOT / "docs/kiosk"
#: Pictures of the guide: what a test calls it, and its name in the guide.
DOCUMENTED = {
    "real/idle": "idle",
    "idle-480x800-zh": "idle-tall-zh",
    "idle-800x480-ar": "idle-right-to-left",
    "real/typed-need_key": "need-key",
    "real/typed-birth": "typing",
    "reading-800x480-en": "reading",
    "real/holder-face-look_here": "face",
    "face-come-closer-480x800-zh": "closer-tall-zh",
    "real/challenge": "challenge",
    "face-light-blue-800x480-en": "light",
    "deciding-800x480-en": "deciding",
    "real/holder-verified": "verified",
    "real/clone-refused": "refused",
    "real/other-try_again": "try-again",
    "real/staffed-staff": "staff",
    "real/out_of_order": "out-of-order",
    "real/operator": "operator",
}
AXE = HERE / "node_modules/axe-core/axe.min.js"

#: Boxes of what a person reads or touches in the view that is shown, and of the strips above and below it.
_FAULTS = """() => {
  const shown = (element) => element.checkVisibility({ visibilityProperty: true }) && element.getClientRects().length;
  const words = (element) => (element.textContent || element.id).trim().slice(0, 40);
  const name = (element) => `${element.tagName.toLowerCase()} "${words(element)}"`;
  const leaves = [...document.querySelectorAll("main :is(h1, p, button, img, input), main progress")]
    .filter((element) => shown(element) && !element.closest(".unseen") && !element.closest(".figure"));
  const strips = [...document.querySelectorAll(".top > *, .foot > *, .tools button")].filter(shown);
  const faults = [];
  const rect = (element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    const text = element.matches("h1, p") ? range.getBoundingClientRect() : element.getBoundingClientRect();
    return text.width ? text : element.getBoundingClientRect();
  };
  for (const element of [...leaves, ...strips]) {
    const box = rect(element);
    if (box.left < -1 || box.top < -1 || box.right > innerWidth + 1 || box.bottom > innerHeight + 1)
      faults.push(`${name(element)} leaves the screen`);
    if (element.scrollWidth > element.clientWidth + 2 && element.matches("h1, p, button"))
      faults.push(`${name(element)} is cut`);
  }
  const over = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  for (const element of leaves)
    for (const strip of strips)
      if (over(rect(element), rect(strip))) faults.push(`${name(element)} lies on ${name(strip)}`);
  leaves.forEach((one, i) => {
    for (const other of leaves.slice(i + 1))
      if (!one.contains(other) && !other.contains(one) && over(rect(one), rect(other)))
        faults.push(`${name(one)} lies on ${name(other)}`);
  });
  for (const target of [...leaves, ...strips].filter((element) => element.matches("button, a")))
    if (target.getBoundingClientRect().height < 42) faults.push(`${name(target)} is too low to touch`);
  if (document.scrollingElement.scrollTop || document.scrollingElement.scrollLeft) faults.push("the page scrolled");
  return faults;
}"""

_AXE = """async () => {
  const result = await axe.run(document, { resultTypes: ["violations", "incomplete"] });
  const where = (nodes) => nodes.map((node) => node.html.slice(0, 160));
  const list = (found) => found.map(({ id, impact, nodes }) => ({ id, impact, nodes: where(nodes) }));
  const passed = result.passes.map(({ id }) => id);
  return { passed, undecided: list(result.incomplete), broken: list(result.violations) };
}"""


def keep(page: Page, name: str) -> None:
    """Take a picture of what is shown."""
    path = PICTURES / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
    if os.environ.get("RENZHENG_DOCS") and name in DOCUMENTED:
        with Image.open(path) as picture:
            small = picture.convert("RGB").quantize(192, dither=Image.Dither.FLOYDSTEINBERG)
            small.save(DOCS / f"{DOCUMENTED[name]}.png", optimize=True)


def faults(page: Page) -> list[str]:
    """What does not fit, overlaps, is cut, or is too small to touch."""
    found: list[str] = page.evaluate(_FAULTS)
    return found


def _axe() -> str:
    if not AXE.exists():
        raise RuntimeError("axe-core is absent; remedy: npm ci --prefix tests/system/kiosk (`make test` does it)")
    return AXE.read_text("utf-8")


def judged(page: Page) -> dict[str, Any]:
    """What axe-core says of the page as it is now: the rules that it passed, those left undecided, those broken."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_axe())
    found: dict[str, Any] = page.evaluate(_AXE)
    return found


def serious(found: dict[str, Any]) -> str:
    """The broken rules that keep somebody out, as text; empty if none does."""
    kept = [rule for rule in found["broken"] if rule["impact"] in {"serious", "critical"}]
    return json.dumps(kept, indent=1) if kept else ""
