// The control page's script: shows what the server sends, and sends what the developer clicks. All URLs are relative,
// so it works for every tenant.
"use strict";

const ARMED_MS = 5000;
const RETRY_MS = 2000;
const HIDDEN_MS = 60000;
const byId = (id) => document.getElementById(id);
const all = (selector) => document.querySelectorAll(selector);

// Screen readers say a text only when it differs from the one before.
function say(text) {
  const said = byId("said");
  said.textContent = said.textContent === text ? `${text}\u00a0` : text;
}

// Time follows the tenant's clock, which may have been moved.
let ahead = Number(byId("now").dataset.now) - Date.now();

function age(ms) {
  const s = Math.floor(ms / 1000);
  if (s < 1) return "just now";
  const [length, unit] = s < 60 ? [1, "s"] : s < 3600 ? [60, "min"] : s < 86400 ? [3600, "h"] : [86400, "d"];
  return `${Math.floor(s / length)} ${unit} ago`;
}

function tick() {
  const now = Date.now() + ahead;
  for (const element of all("[data-until]")) {
    const left = Math.max(0, element.dataset.until - now);
    const s = Math.ceil(left / 1000);
    if (element.localName === "progress") Object.assign(element, { max: element.dataset.span, value: left });
    else element.textContent = `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
  }
  for (const element of all("[data-since]")) element.textContent = age(now - element.dataset.since);
  byId("now").textContent = `${new Date(now).toISOString().slice(11, 19)} UTC`;
}

// Changes what is inside an element, but not where the keyboard is, nor what is open.
function keeping(element, change) {
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const open = Array.from(element.querySelectorAll("details[open]"), (details) => details.id);
  change();
  for (const id of open) byId(id)?.setAttribute("open", "");
  if (!focused || focused.isConnected) return;
  const same = focused.id && byId(focused.id);
  (same || element.closest("section")?.querySelector("h2"))?.focus({ preventScroll: true });
}

// Parts. One that is replaced between press and release would swallow the click, so it waits for the release.
let isPressed = false;
const waiting = new Map();

function showPart({ id, html }) {
  if (isPressed) return void waiting.set(id, html);
  const element = byId(id);
  if (element) keeping(element, () => { element.innerHTML = html; });
  showCounts();
  showArmed();
  tick();
}

function release() {
  isPressed = false;
  waiting.forEach((html, id) => showPart({ id, html }));
  waiting.clear();
}

addEventListener("pointerdown", ({ target }) => { isPressed = target.closest("button, summary") !== null; });
for (const end of ["pointerup", "pointercancel", "contextmenu", "blur"]) {
  addEventListener(end, () => setTimeout(release));
}

function showCounts() {
  for (const link of all("nav a")) {
    link.dataset.count = document.querySelector(`${link.hash} [data-count]`)?.dataset.count ?? "";
  }
  const pushes = document.querySelector("nav a").dataset.count;
  document.title = `${pushes && `(${pushes}) `}DirectAuth emulator`;
}

// The journal.
function showEntries({ html, clear }) {
  const list = byId("journal");
  const first = clear ? null : list.firstElementChild;
  const top = first?.getBoundingClientRect().top;
  keeping(list, () => {
    if (clear) list.replaceChildren();
    list.insertAdjacentHTML("afterbegin", html);
    for (let entry = first; (entry = entry?.previousElementSibling);) entry.dataset.new = "";
    while (list.children.length > list.dataset.most) list.lastElementChild.remove();
  });
  filterEntries();
  // A browser that does not anchor the scroll position gets it corrected.
  if (first && list.scrollTop && !CSS.supports("overflow-anchor", "auto")) {
    list.scrollTop += first.getBoundingClientRect().top - top;
  }
}

function filterEntries() {
  const words = byId("filter").value.toLowerCase().split(/\s+/);
  const entries = Array.from(byId("journal").children);
  for (const entry of entries) {
    const text = entry.querySelector("summary").textContent.toLowerCase();
    entry.hidden = !words.every((word) => text.includes(word));
  }
  const shown = entries.filter((entry) => !entry.hidden).length;
  byId("shown").textContent = shown === entries.length ? shown : `${shown} of ${entries.length}`;
  byId("no-entry").hidden = shown > 0;
  byId("no-entry").textContent = entries.length ? "No request matches the filter." : "No request arrived yet.";
}

byId("filter").addEventListener("input", filterEntries);

// What is behind a line. It never changes, so it is fetched once.
document.addEventListener("toggle", async ({ target }) => {
  const place = target.open && target.querySelector("[data-behind]");
  if (!place) return;
  try {
    const answer = await fetch(place.dataset.behind, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw answer;
    place.innerHTML = await answer.text();
    place.removeAttribute("data-behind");
  } catch {
    place.textContent = "It could not be fetched. Close and open to try again.";
  }
}, true);

// Problems.
function complain(problem, cause) {
  byId("problem").hidden = !problem;
  byId("problem-text").textContent = problem;
  byId("problem").dataset.cause = cause;
}

function dismiss() {
  const cause = byId("problem").contains(document.activeElement) && byId(byId("problem").dataset.cause);
  complain("", "");
  if (cause) cause.focus();
}

// Buttons. One that is at work is not `disabled`, which would take the keyboard's place from it.
async function post(button) {
  if (button.ariaDisabled) return;
  button.ariaDisabled = "true";
  dismiss();
  const headers = { "Content-Type": "application/json" };
  try {
    const answer = await fetch(button.dataset.post, { method: "POST", headers, body: button.dataset.body ?? "null" });
    const { problem } = answer.ok ? {} : await answer.json().catch(() => ({}));
    if (!answer.ok) complain(problem ?? `The emulator answered ${answer.status}.`, button.id);
  } catch {
    complain("The emulator did not answer.", button.id);
  }
  button.ariaDisabled = null;
}

async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    return complain("The browser did not let the page copy.", button.id);
  }
  button.textContent = "Copied";
  say("Copied");
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

// A button with `data-confirm` acts on the second press, within a few seconds; a new part does not disarm it.
let armed = "";
let armedTimer;

function showArmed() {
  for (const button of all("[data-confirm]")) button.toggleAttribute("data-armed", button.id === armed);
}

function arm(id) {
  clearTimeout(armedTimer);
  armed = id;
  if (id) armedTimer = setTimeout(arm, ARMED_MS, "");
  showArmed();
}

function pressTwice(button, isRepeated) {
  if (armed !== button.id) {
    arm(button.id);
    say(`${button.dataset.confirm} Press again to confirm.`);
  } else if (!isRepeated) { // A double click is one decision, not two.
    arm("");
    post(button);
  }
}

document.addEventListener("click", ({ target, detail }) => {
  const button = target.closest("button");
  if (button?.id === "dismiss") dismiss();
  else if (button?.dataset.copy) copy(button);
  else if (button?.dataset.confirm) pressTwice(button, detail > 1);
  else if (button?.dataset.post) post(button);
});

document.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  dismiss();
  arm("");
});

// On a narrow screen the pushes come first, and the connection is one tap away.
const wide = matchMedia("(min-width: 68.75rem)");
const fold = () => { byId("connection").open = wide.matches; };
wide.addEventListener("change", fold);

function showLive(state, text) {
  const live = byId("live");
  const before = live.dataset.state;
  live.dataset.state = state;
  live.textContent = text;
  if (state !== before && [state, before].includes("lost")) say(text);
}

// A browser has few connections for each host, and a page that nobody looks at gives its own back after a while.
let source;
let retry;
let hiding;

function disconnect() {
  clearTimeout(retry);
  source?.close();
}

function connect() {
  disconnect();
  const mine = source = new EventSource("events");
  const on = (name, act) => mine.addEventListener(name, ({ data }) => act(data));
  on("time", (data) => { ahead = data - Date.now(); tick(); });
  on("part", (data) => showPart(JSON.parse(data)));
  on("journal", (data) => showEntries(JSON.parse(data)));
  on("say", say);
  mine.onopen = () => showLive("live", "Live");
  mine.onerror = async () => {
    showLive("lost", "Disconnected, trying again");
    // After an answer that is no stream the browser gives up; the answer says why.
    if (mine.readyState !== EventSource.CLOSED) return;
    const problem = await refusal("events");
    if (mine !== source || byId("live").dataset.state === "paused") return;
    if (problem) showLive("lost", `Disconnected: ${problem}`);
    retry = setTimeout(connect, RETRY_MS);
  };
}

// Why an address is refused; nothing if it is not, or if nobody answers.
async function refusal(address) {
  const enough = new AbortController();
  try {
    const answer = await fetch(address, { signal: enough.signal });
    return answer.ok ? "" : (await answer.json()).problem;
  } catch {
    return "";
  } finally {
    enough.abort();
  }
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(() => { disconnect(); showLive("paused", "Paused"); }, HIDDEN_MS);
  else if (byId("live").dataset.state === "paused") connect();
});

fold();
showCounts();
filterEntries();
tick();
setInterval(tick, 1000);
connect();
