// Typing the key of a chip: the MRZ's number, birth and expiry with their check digits, or the access number.

import { post } from "./events.js";
import { drawKeys } from "./keys.js";
import { say } from "./language.js";

// The lower line of the specimen in ICAO Doc 9303-4, and where each field stands in it.
const SPECIMEN = "L898902C36UTO7408122F1204159ZE184226B<<<<<10";
const FIELDS = {
  number: { length: 10, at: 0, letters: true },
  birth: { length: 7, at: 13 },
  expiry: { length: 7, at: 21 },
  can: { length: 6 },
};
const STEPS = { mrz: ["number", "birth", "expiry"], can: ["can"] };
const FORGET = 60000;
const THANKS = 2500;

const byId = (id) => document.getElementById(id);

/** ICAO Doc 9303-3, 4.9. */
function checks(text) {
  const value = (character) => (character === "<" ? 0 : parseInt(character, 36));
  const sum = [...text.slice(0, -1)].reduce((total, character, i) => total + value(character) * [7, 3, 1][i % 3], 0);
  return sum % 10 === Number(text.at(-1));
}

/** `changed(view)` is called with the view to show, or null when typing has ended. */
export function entry(changed) {
  const field = byId("entry-field");
  let kind = "";
  let typed = {};
  let view = null;
  let timer = 0;

  // Nothing while none is chosen, and while the answer to what was typed is awaited.
  const step = () => STEPS[kind]?.[Object.keys(typed).length];

  function go(next) {
    view = next;
    clearTimeout(timer);
    if (view) timer = setTimeout(close, view === "entry_thanks" ? THANKS : FORGET);
    changed(view);
    if (view === "entry_field") field.focus();
  }

  function wipe() {
    typed = {};
    kind = "";
    field.value = "";
    byId("keys").replaceChildren();
    byId("entry-wrong").textContent = "";
  }

  function close() {
    if (!view) return;
    wipe();
    go(null);
  }

  function ask() {
    const name = step();
    const { length, letters = false } = FIELDS[name];
    field.value = "";
    field.maxLength = length;
    field.style.setProperty("--cells", String(length));
    byId("entry-form").classList.toggle("letters", letters);
    words();
    wrong("");
    go("entry_field");
  }

  function words() {
    const name = step();
    if (!name) return;
    const { length, at, letters = false } = FIELDS[name];
    const steps = STEPS[kind];
    const last = steps.at(-1) === name;
    byId("entry-count").textContent =
      steps.length > 1 ? say("entry_step", { step: steps.indexOf(name) + 1, steps: steps.length }) : "";
    byId("entry-title").textContent = say(`entry_${name}_title`);
    byId("entry-body").textContent = say(`entry_${name}_body`);
    byId("entry-next").textContent = say(last ? "entry_finish" : "entry_next");
    drawKeys(byId("keys"), field, { letters, erase: say("entry_delete") });
    const sample = byId("sample");
    sample.replaceChildren();
    if (at === undefined) return;
    const mark = document.createElement("mark");
    mark.textContent = SPECIMEN.slice(at, at + length);
    sample.append(SPECIMEN.slice(0, at), mark, SPECIMEN.slice(at + length));
  }

  function wrong(text) {
    byId("entry-wrong").textContent = text;
    field.setAttribute("aria-invalid", String(text !== ""));
  }

  function complete(text) {
    const name = step();
    return text.length === FIELDS[name].length && (name === "can" || (/\d$/.test(text) && checks(text)));
  }

  async function give() {
    const answer = await post("/key", { kind, ...typed });
    if (answer?.status === 422) return again((await answer.json()).field);
    wipe();
    go(answer?.status === 204 ? "entry_thanks" : null);
  }

  // The terminal knows the calendar as well: the field that it names is asked for again, and what follows it.
  function again(name) {
    if (!kind) return;
    typed = Object.fromEntries(Object.entries(typed).slice(0, STEPS[kind].indexOf(name)));
    ask();
    wrong(say("entry_wrong"));
  }

  field.addEventListener("input", () => {
    const letters = FIELDS[step()]?.letters;
    field.value = field.value.toUpperCase().replace(letters ? /[^A-Z0-9<]/g : /[^0-9]/g, "");
    wrong("");
    byId("entry-next").disabled = field.value.length !== field.maxLength;
    clearTimeout(timer);
    timer = setTimeout(close, FORGET);
  });

  byId("entry-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = step();
    if (!name) return;
    if (!complete(field.value)) return wrong(say("entry_wrong"));
    typed[name] = field.value;
    if (step()) ask();
    else give();
  });

  const acts = {
    close,
    back() {
      const given = Object.keys(typed);
      if (!given.length) return close();
      delete typed[given.at(-1)];
      ask();
    },
    mrz: () => ((kind = "mrz"), ask()),
    can: () => ((kind = "can"), ask()),
  };
  for (const button of document.querySelectorAll("[data-entry]"))
    button.addEventListener("click", () => acts[button.dataset.entry]());
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });

  return { open: () => (wipe(), go("entry_choose")), close, words, view: () => view };
}
