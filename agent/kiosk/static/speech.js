// Spoken prompts, off until somebody asks for them, and off again for whoever comes next.

import { current } from "./language.js";

const button = document.getElementById("speak");
let on = false;

function set(wanted) {
  on = wanted;
  button.setAttribute("aria-pressed", String(on));
  speechSynthesis.cancel();
}

export function speak(text) {
  if (!on) return;
  const words = new SpeechSynthesisUtterance(text);
  words.lang = current().tag;
  speechSynthesis.cancel();
  speechSynthesis.speak(words);
}

export const silence = () => set(false);

/** Without a voice on the device there is nothing to offer. */
export function offerSpeech(repeat) {
  button.hidden = !("speechSynthesis" in window);
  button.addEventListener("click", () => {
    set(!on);
    repeat();
  });
}
