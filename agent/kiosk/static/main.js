// The page: from each state that the agent tells to what is seen. The document never grows: views are shown and hidden.

import { entry } from "./entry.js";
import { listen, post } from "./events.js";
import { fit } from "./fit.js";
import { drawChooser, load, onChange, percent, reset, say, sayFailure } from "./language.js";
import { preview } from "./preview.js";
import { offerSpeech, silence, speak } from "./speech.js";

const GONE = { stage: "gone", document: 0, guidance: "", step: 0, steps: 0, held: 0, light: "", failure: "", number: 0, code: 0, visits: 0, serial: 0 };
const UNTOUCHED = 60000;
const BECKON = 30000;
// While these are shown a person may still be typing.
const TYPING = new Set(["idle", "need_key", "reading"]);

const root = document.documentElement;
const byId = (id) => document.getElementById(id);
const mirror = preview(byId("preview"), "/preview");
const typing = entry(() => show(state));

let state = GONE;
let prompted = "";

/** A state from the agent; after an upgrade it names another page than this one. */
let page = "";
function hear(next) {
  page ||= next.page;
  if (next.page !== page) location.reload();
  else show(next);
}

function show(next) {
  const before = state;
  state = next;
  if (!TYPING.has(state.stage) || state.document > 0) typing.close();
  root.dataset.view = typing.view() ?? state.stage;
  root.dataset.guidance = state.stage === "face" ? state.guidance : "";
  if (state.stage === "face") mirror.start();
  else mirror.stop();
  showLight(state.stage === "face" ? state.light : "");
  showProgress();
  showWords();
  showCode();
  fitView();
  if (before.visits !== state.visits || (state.stage === "idle" && before.stage !== "idle")) forget();
  root.dataset.serial = state.serial;
}

/** The next person meets the terminal as the first one did. */
function forget() {
  silence();
  reset();
}

// Somebody chose a language or the voice, and went away without a document.
let untouched = 0;
function touched() {
  clearTimeout(untouched);
  untouched = setTimeout(() => state.stage === "idle" && forget(), UNTOUCHED);
}

function showLight(colour) {
  if (!colour) {
    delete root.dataset.lit;
    root.style.removeProperty("--light");
    return;
  }
  const [red, green, blue] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16) / 255);
  const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const luminance = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  // Black on a colour of more than this luminance has the greater contrast (WCAG 2.2, 1.4.3).
  root.dataset.lit = luminance > 0.179 ? "bright" : "dark";
  root.style.setProperty("--light", colour);
}

function showProgress() {
  const reading = state.stage === "reading";
  root.style.setProperty("--part", String(100 * (reading ? state.document : state.held)));
  byId("percent").textContent = percent(state.document);
  const read = state.document >= 1;
  byId("document").classList.toggle("read", read);
  byId("document-bar").value = state.document;
  const steps = byId("steps");
  while (steps.childElementCount > state.steps) steps.lastElementChild.remove();
  while (steps.childElementCount < state.steps) steps.append(document.createElement("li"));
  [...steps.children].forEach((item, i) => {
    item.className = i < state.step ? "past" : i === state.step ? "now" : "";
  });
}

function showWords() {
  const guidance = state.guidance || "look_here";
  const failure = state.failure ? sayFailure(state.failure) : state.stage === "out_of_order" ? say("out_of_order_body") : "";
  const code = state.number ? say("code", { number: state.number }) : "";
  byId("guidance").textContent = say(guidance);
  byId("guidance-more").textContent = say(`${guidance}_more`);
  byId("document-words").textContent = say(state.document >= 1 ? "face_document_done" : "face_document");
  for (const place of document.querySelectorAll(".failure")) place.textContent = failure;
  for (const place of document.querySelectorAll(".code")) place.textContent = code;
  // Where help is must be heard as well.
  const help = state.stage === "staff" ? ` ${say("staff_body")}` : "";
  prompt(state.stage === "face" ? say(guidance) : failure + help || say(`${state.stage}_title`));
}

/** Say it once, to screen readers and, when asked for, aloud. */
function prompt(text) {
  if (text === prompted) return;
  prompted = text;
  byId("prompt").textContent = text;
  speak(text);
}

// Measuring is layout: only when the view or its words have changed.
let fitted = "";
function fitView() {
  const view = document.querySelector(`[data-for="${root.dataset.view}"]`);
  const words = `${root.dataset.view} ${view.textContent} ${state.code > 0} ${innerWidth}x${innerHeight}`;
  if (words === fitted) return;
  fitted = words;
  fit(view);
}

// The idle figure moves for a while, rests, and moves again: a terminal waits all day, and motion costs a small device.
function beckon() {
  if (state.stage !== "idle") return;
  for (const animation of document.querySelector(".lay").getAnimations({ subtree: true })) animation.play();
}

let shownCode = 0;
function showCode() {
  byId("scan").hidden = byId("code").hidden = !state.code;
  if (!state.code || state.stage !== "idle" || state.code === shownCode) return;
  shownCode = state.code;
  byId("code").src = `/code.svg?${shownCode}`;
}

async function start() {
  await load();
  drawChooser(byId("languages"));
  onChange(() => {
    typing.words();
    show(state);
  });
  offerSpeech(() => speak(prompted));
  for (const button of document.querySelectorAll("[data-act='type']")) button.addEventListener("click", typing.open);
  document.querySelector("[data-act='cancel']").addEventListener("click", () => post("/cancel"));
  document.querySelector("[data-act='staff']").addEventListener("click", () => post("/staff"));
  for (const event of ["pointerdown", "keydown"]) document.addEventListener(event, touched, { passive: true });
  window.addEventListener("resize", fitView);
  setInterval(beckon, BECKON);
  document.addEventListener("contextmenu", (event) => event.preventDefault());
  show(GONE);
  // Whoever stands there may still be there when the agent is back.
  listen(hear, () => show({ ...GONE, visits: state.visits }));
}

start().catch(() => setTimeout(() => location.reload(), 2000));
