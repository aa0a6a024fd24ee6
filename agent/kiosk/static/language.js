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

/** One button for each language, in its own name. */
export function drawChooser(place) {
  for (const [name, language] of Object.entries(bundle.languages)) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.language = name;
    button.lang = language.tag;
    button.textContent = language.name;
    button.setAttribute("aria-pressed", String(name === code));
    button.addEventListener("click", () => choose(name));
    place.append(button);
  }
}
