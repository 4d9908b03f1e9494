// The moderator's keys, in the queue and on the page of a decision: J and K go on and back, A approves (asks
// once), R rejects. And the queue, which renews itself, keeps the row that has the focus.

const queue = document.getElementById("queue");
const KEPT = "moderation-row";
const rows = () => [...document.querySelectorAll("#queue [data-row]")];
let place = 0;

const holding = () => document.activeElement?.closest?.("[data-row]");

function select(row) {
  if (!row) return;
  row.querySelector(".row-link").focus();
  row.scrollIntoView({ block: "nearest" });
}

function current() {
  const known = sessionStorage.getItem(KEPT);
  return holding() ?? rows().find((row) => row.dataset.row === known);
}

function step(by) {
  const listed = rows();
  const at = listed.indexOf(current());
  select(listed[at < 0 ? (by > 0 ? 0 : listed.length - 1) : Math.min(Math.max(at + by, 0), listed.length - 1)]);
}

// A row that went, or was drawn anew, took the focus with it: its place gets it back. Who clicks elsewhere
// lets go of it.
let kept = null;

document.addEventListener("focusin", () => {
  kept = holding();
  if (!kept) return;
  place = rows().indexOf(kept);
  sessionStorage.setItem(KEPT, kept.dataset.row);
});

document.addEventListener("focusout", ({ target }) => {
  setTimeout(() => {
    if (target.isConnected && document.activeElement === document.body) kept = null;
  });
});

document.addEventListener("htmx:after:swap", () => {
  if (!kept) return;
  const listed = rows();
  if (kept.isConnected) place = listed.indexOf(kept); // rows above it may have gone
  if (document.activeElement !== document.body) return;
  select(kept.isConnected ? kept : listed[Math.min(place, listed.length - 1)]);
});

function follow(selector) {
  const link = document.querySelector(selector);
  if (link) location.assign(link.href);
}

function open(search = "") {
  const link = current()?.querySelector(".row-link");
  if (link) location.assign(link.href + search);
}

function approve() {
  const button = document.getElementById("approve");
  if (!button || button.disabled) return;
  const asks = document.querySelector("[data-asks]");
  if (document.activeElement === button && asks.textContent) return void button.click();
  button.focus();
  asks.textContent = asks.dataset.say;
}

document.getElementById("approve")?.addEventListener("blur", () => {
  document.querySelector("[data-asks]").textContent = "";
});

const inQueue = { j: () => step(1), k: () => step(-1), a: () => open(), r: () => open("?act=reject") };
const onDecision = {
  j: () => follow("a[rel=next]"),
  k: () => follow("a[rel=prev]"),
  a: approve,
  r: () => document.getElementById("reject")?.click(),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable], dialog[open]");
  const held = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.repeat;
  if (typing || held || event.isComposing || document.querySelector("dialog[open]")) return;
  const act = (queue ? inQueue : onDecision)[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
});

// A frequent reason begins the note, which goes on by hand.
document.addEventListener("click", (event) => {
  const preset = event.target.closest("[data-preset]");
  if (!preset) return;
  const note = document.getElementById(preset.dataset.preset);
  note.value = note.value.trim() ? `${note.value.trimEnd()}\n${preset.value}` : preset.value;
  note.focus();
});
