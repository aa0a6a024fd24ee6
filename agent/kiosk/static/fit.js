// Words of any language fit their screen: text gives way a little when a sentence is long.

const STEPS = [1, 0.92, 0.85, 0.78, 0.71, 0.65];
// On a tall screen the figure keeps at least a third.
const SHARE = 2 / 3;

export function fit(view) {
  const words = view?.querySelector(".words");
  if (!words) return;
  const room = document.querySelector("main").clientHeight;
  const most = matchMedia("(orientation: portrait)").matches ? room * SHARE : room;
  for (const step of STEPS) {
    words.style.setProperty("--fit", String(step));
    if (words.offsetHeight <= most && words.scrollWidth <= words.clientWidth + 1) return;
  }
}
