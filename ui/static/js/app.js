// Small manners of every page. Each page works without them, only less comfortably.

import { ago } from "./format.js";

const all = (selector, root = document) => root.querySelectorAll(selector);

function tellTimes(root = document) {
  for (const time of all("time[data-ago]", root)) time.textContent = ago(Date.parse(time.dateTime));
}

function prepare(root = document) {
  for (const button of all("[data-reveal], [data-copy]", root)) button.hidden = false;
  for (const dialog of all("dialog[data-open]", root)) if (!dialog.open) dialog.showModal();
}

function reveal(button) {
  const show = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(show));
  for (const id of button.dataset.reveal.split(" ")) {
    document.getElementById(id).type = show ? "text" : "password";
  }
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    getSelection().selectAllChildren(source); // no permission: leave it selected to be copied by hand
  }
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-opens], [data-closes], [data-reveal], [data-copy]");
  if (!target) return;
  if (target.dataset.opens) document.getElementById(target.dataset.opens).showModal();
  else if ("closes" in target.dataset) target.closest("dialog").close();
  else if (target.dataset.reveal) reveal(target);
  else copy(target);
});

// A form that must be sent once: its buttons rest until the answer is here.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!("once" in form.dataset) || event.defaultPrevented) return;
  if (form.dataset.busy && event.submitter) event.submitter.lastChild.textContent = form.dataset.busy;
  setTimeout(() => form.querySelectorAll("button").forEach((button) => (button.disabled = true)));
});

addEventListener("pageshow", (event) => {
  if (event.persisted) for (const button of all("form[data-once] button")) button.disabled = false;
});

for (const clock of all("[data-countdown]")) {
  const until = Date.now() + Number(clock.dataset.countdown) * 1000;
  const timer = setInterval(() => {
    const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
    clock.textContent = left;
    if (!left) clearInterval(timer);
  }, 1000);
}

prepare();
tellTimes();
setInterval(tellTimes, 30_000);
document.addEventListener("htmx:after:swap", () => {
  prepare();
  tellTimes();
});
