// On-screen keys that type into a field; a keyboard that is plugged in types into the same field.

const ROWS = ["1234567890", "QWERTYUIOP", "ASDFGHJKL", "ZXCVBNM<"];
const INDENT = [1, 1, 2, 4];

function key(text, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.tabIndex = -1;
  button.textContent = text;
  // The field keeps the focus.
  button.addEventListener("pointerdown", (event) => event.preventDefault());
  button.addEventListener("click", act);
  return button;
}

/** Fill `place` with keys for `field`: letters and digits, or digits alone. */
export function drawKeys(place, field, { letters, erase }) {
  const type = (text) => () => {
    if (field.value.length < field.maxLength) field.value += text;
    changed(field);
  };
  const remove = key("", () => {
    field.value = field.value.slice(0, -1);
    changed(field);
  });
  remove.className = "delete";
  remove.setAttribute("aria-label", erase);
  remove.append(drawErase());
  place.classList.toggle("digits", !letters);
  place.replaceChildren();
  if (!letters) {
    place.append(...[..."1234567890"].map((digit) => key(digit, type(digit))), remove);
    return;
  }
  ROWS.forEach((row, index) => {
    const buttons = [...row].map((character) => key(character, type(character)));
    buttons[0].classList.add("from");
    buttons[0].style.setProperty("--from", String(INDENT[index]));
    place.append(...buttons);
  });
  place.append(remove);
}

function drawErase() {
  const make = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const picture = make("svg", { viewBox: "0 0 32 24", "aria-hidden": "true" });
  picture.append(make("path", { d: "M10 3h18v18H10l-8-9zM15 8.500l7 7m0-7-7 7" }));
  return picture;
}

function changed(field) {
  field.dispatchEvent(new Event("input", { bubbles: true }));
}
