// The operator's page: a PIN opens it, a short while without a touch closes it.

import { post } from "./events.js";
import { drawKeys } from "./keys.js";
import { drawChooser, load, onChange, say } from "./language.js";
import { preview } from "./preview.js";

const AGAIN = 3000;
const AIM_AGAIN = 250;
const UNTOUCHED = 240000;
// Mean luma between which the quality gates are content.
const LIGHT_LOW = 0.25;
const LIGHT_HIGH = 0.7;

const byId = (id) => document.getElementById(id);
const pin = byId("pin");
const sight = preview(byId("preview"), "/operator/preview");

let facts = null;
let aiming = 0;
let sharpest = 0;
let asking = 0;

async function ask(path) {
  try {
    const answer = await fetch(path, { cache: "no-store" });
    if (answer.status === 401) close();
    // The agent was started anew: its page gives the new cookie, and the PIN is asked for again.
    if (answer.status === 403) location.reload();
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

function close() {
  stopAiming();
  clearTimeout(asking);
  byId("board").hidden = true;
  byId("terminal").textContent = "";
  byId("door").hidden = false;
  pin.value = "";
  pin.focus();
}

async function open() {
  byId("door").hidden = true;
  byId("board").hidden = false;
  await refresh();
}

async function refresh() {
  clearTimeout(asking);
  const newest = await ask("/operator/facts");
  if (byId("board").hidden) return;
  byId("board").classList.toggle("stale", !newest);
  if (newest) {
    facts = newest;
    show();
  }
  asking = setTimeout(refresh, AGAIN);
}

function show() {
  if (!facts) return;
  byId("terminal").textContent = facts.terminal;
  byId("version").textContent = facts.version;
  const minutes = Math.floor(facts.uptime / 60);
  byId("uptime").textContent = say("operator_hours", { hours: Math.floor(minutes / 60), minutes: minutes % 60 });
  byId("temperature").textContent =
    facts.temperature === null ? say("operator_unknown") : `${facts.temperature.toFixed(1)} °C`;
  for (const name of ["devices", "network", "checks"]) list(name, facts[name].map(part));
  list("outcomes", facts.outcomes.map(outcome));
  byId("aim").textContent = say(aiming ? "operator_aim_stop" : "operator_aim_start");
}

const part = ({ name, health, detail, code }) => ({
  health,
  name,
  state: say(`health_${health}`),
  detail: [detail, code].filter(Boolean).join(" · "),
});

// Somebody waits for the staff: nothing is broken.
const WANTS_STAFF = "liveness.staffed_path";

const outcome = ({ at, seconds, code }) => ({
  health: code === WANTS_STAFF ? "degraded" : code ? "bad" : "good",
  name: new Date(at * 1000).toLocaleTimeString(document.documentElement.lang),
  state: say("operator_seconds", { seconds: seconds.toFixed(1) }),
  detail: code === WANTS_STAFF ? `${say("operator_outcome_staff")} · ${code}` : code || say("operator_outcome_verified"),
});

function list(id, rows) {
  const items = rows.map(({ health, name, state, detail }) => {
    const item = document.createElement("li");
    item.className = health;
    item.append(piece("i", "dot", ""), piece("b", "", name), piece("span", "state", state));
    if (detail) item.append(piece("span", "detail", detail));
    return item;
  });
  if (!items.length) items.push(piece("li", "", say("operator_none")));
  byId(id).replaceChildren(...items);
}

function piece(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

async function aim() {
  const reading = await ask("/operator/aim");
  if (!aiming) return;
  byId("light-word").textContent = reading ? say(lightWord(reading.light)) : say("operator_no_picture");
  if (reading) {
    byId("light").style.setProperty("--part", String(100 * reading.light));
    sharpest = Math.max(sharpest, reading.sharpness);
    byId("focus").style.setProperty("--part", String((100 * reading.sharpness) / sharpest));
    byId("focus-value").textContent = reading.sharpness.toFixed(1);
  }
  aiming = setTimeout(aim, AIM_AGAIN);
}

const lightWord = (light) =>
  light < LIGHT_LOW ? "operator_light_low" : light > LIGHT_HIGH ? "operator_light_high" : "operator_light_good";

function startAiming() {
  sharpest = 0;
  aiming = setTimeout(aim);
  sight.start();
}

function stopAiming() {
  clearTimeout(aiming);
  aiming = 0;
  sight.stop();
}

async function enter() {
  const given = pin.value;
  pin.value = "";
  const answer = await post("/operator/session", { pin: given });
  if (answer?.status === 204) return open();
  // Another agent than the one that gave out this page: its page brings the cookie.
  if (answer?.status === 403) return location.reload();
  byId("door-wrong").textContent = await refusal(answer);
}

async function refusal(answer) {
  if (!answer) return say("gone_body");
  const { locked = 0 } = [401, 429].includes(answer.status) ? await answer.json() : {};
  return say(locked ? "operator_locked" : "operator_pin_wrong", { seconds: locked });
}

function words() {
  drawKeys(byId("keys"), pin, { letters: false, erase: say("entry_delete") });
  show();
}

let untouched = 0;
function touched() {
  clearTimeout(untouched);
  untouched = setTimeout(leave, UNTOUCHED);
}

async function leave() {
  stopAiming();
  await post("/operator/leave");
  location.assign("/");
}

async function start() {
  await load();
  drawChooser(byId("languages"));
  onChange(words);
  words();
  pin.addEventListener("input", () => {
    pin.value = pin.value.replace(/[^0-9]/g, "");
    byId("door-wrong").textContent = "";
    if (pin.value.length === 8) enter();
  });
  byId("door").addEventListener("submit", (event) => event.preventDefault());
  byId("leave").addEventListener("click", (event) => (event.preventDefault(), leave()));
  byId("run").addEventListener("click", async () => {
    byId("run").disabled = true;
    byId("run").textContent = say("operator_running");
    await post("/operator/self-test");
    await refresh();
    byId("run").disabled = false;
    byId("run").textContent = say("operator_run");
  });
  byId("aim").addEventListener("click", () => {
    if (aiming) stopAiming();
    else startAiming();
    byId("aim").setAttribute("aria-pressed", String(Boolean(aiming)));
    show();
  });
  for (const event of ["pointerdown", "keydown"]) document.addEventListener(event, touched, { passive: true });
  touched();
  const session = await ask("/operator/session");
  if (session?.open) return open();
  close();
  if (session && !session.pin) byId("door-wrong").textContent = say("operator_no_pin");
}

start().catch(() => setTimeout(() => location.assign("/"), 2000));
