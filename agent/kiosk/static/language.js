// The sentences of the page in the language that is chosen, and the buttons that choose it.

let bundle = null;
let code = "";
const listeners = new Set();

export async function load() {
  const answer = await fetch("/languages");
  if (!answer.ok) throw new Error(`languages: ${answer.status}`);
  bundle = await answer.json();
  choose(bundle.first);
}

export const current = () => bundle.languages[code];

/** The sentence `name` with its {parts} filled in. */
export function say(name, parts = {}) {
  return current().page[name].replace(/\{(\w+)\}/g, (_, part) => parts[part]);
}

export const sayFailure = (failure) => current().failures[failure] ?? current().failures["internal.error"];

export const percent = (part) => new Intl.NumberFormat(current().tag, { style: "percent" }).format(part);

export const onChange = (listener) => listeners.add(listener);

export function choose(wanted) {
  if (wanted === code) return;
  code = wanted;
  const root = document.documentElement;
  root.lang = current().tag;
  root.dir = current().direction;
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = say(element.dataset.t);
  for (const element of document.querySelectorAll("[data-t-label]"))
    element.setAttribute("aria-label", say(element.dataset.tLabel));
  for (const button of document.querySelectorAll("#languages button"))
    button.setAttribute("aria-pressed", String(button.dataset.language === code));
  for (const listener of listeners) listener();
}

/** Whoever comes next starts with the terminal's own language. */
export const reset = () => choose(bundle.first);

// More names than this need a list.
const MOST_BUTTONS = 3;

/** A button for each language, in its own name; or a list of them. */
export function drawChooser(place) {
  const names = Object.keys(bundle.languages);
  if (names.length > MOST_BUTTONS) drawList(place, names);
  else place.append(...names.map(drawButton));
}

function drawButton(name) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.language = name;
  label(button, name);
  button.setAttribute("aria-pressed", String(name === code));
  button.addEventListener("click", () => choose(name));
  return button;
}

function drawList(place, names) {
  const list = document.createElement("select");
  list.dataset.tLabel = "choose_language";
  list.setAttribute("aria-label", say("choose_language"));
  for (const name of names) {
    const option = document.createElement("option");
    option.value = name;
    label(option, name);
    list.append(option);
  }
  list.value = code;
  list.addEventListener("change", () => choose(list.value));
  listeners.add(() => (list.value = code));
  place.append(list);
}

function label(element, name) {
  element.lang = bundle.languages[name].tag;
  element.textContent = bundle.languages[name].name;
}
