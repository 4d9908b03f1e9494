// A campaign as it goes out: figures by server-sent events, by polling where those do not come through.

import { duration, fill, number, percent, rate } from "./format.js";

const page = document.getElementById("live");
const base = `/campaigns/${page.dataset.campaign}`;
const part = (name) => page.querySelector(`[data-${name}]`);
const POLL_MS = 3000;
const CHART_MS = 10_000;
const GIVE_UP_MS = 15_000; // without an event: poll

let state = page.dataset.state;
let final = page.dataset.final === "true";
let heard = performance.now();
let chart = null;

function icon(element, name) {
  element.querySelector("use").setAttribute("href", `${page.dataset.icons}#${name}`);
}

function link(kind) {
  const element = part("link");
  if (!element) return;
  const [tone, shape, words] = {
    live: ["delivered", "delivered", page.dataset.sayLive],
    late: ["held", "clock", page.dataset.sayLate],
    final: ["waiting", "waiting", page.dataset.sayFinal],
    unreachable: ["failed", "failed", page.dataset.sayUnreachable],
  }[kind];
  if (element.dataset.kind === kind) return;
  element.dataset.kind = kind;
  element.className = `status link-state tone-${tone}`;
  icon(element, shape);
  element.querySelector("span").textContent = words;
}

function put(element, words) {
  if (element && element.textContent !== words) element.textContent = words;
}

function proportion(outcome, accepted) {
  let x = 0;
  let bar = page.querySelector("[data-proportion]");
  for (const rect of bar.querySelectorAll("rect")) {
    const width = accepted ? (1000 * outcome[rect.dataset.share]) / accepted : 0;
    rect.setAttribute("x", x.toFixed(2));
    rect.setAttribute("width", width.toFixed(2));
    x += width;
  }
}

function badge(view) {
  const status = page.querySelector("[data-badge] .status");
  status.className = `status tone-${view.tone} badge`;
  icon(status, view.icon);
  status.lastChild.textContent = view.word;
}

function show(figures) {
  heard = performance.now();
  const waiting = page.dataset.reload === "true";
  if (waiting && figures.state !== state) return location.reload();
  put(part("reason"), figures.reason);
  if (waiting) return undefined;
  if (!figures.reachable) return link("unreachable"); // the state and figures stay: the last known
  if (figures.state !== state) {
    state = figures.state;
    badge(figures.view);
    htmx.ajax("GET", `${base}/actions`, { target: "#actions", swap: "innerHTML" });
  }
  final = figures.final;
  link(final ? "final" : "live");
  part("away")?.remove();
  put(part("percent"), percent(figures.progress));
  put(page.querySelector('[data-n="sent"]'), number(figures.sent));
  put(page.querySelector('[data-n="accepted"]'), number(figures.counts.accepted));
  put(part("rate"), rate(figures.rate_per_s));
  const left = figures.seconds_left;
  put(part("left"), left == null ? "" : fill(page.dataset.sayLeft, { left: duration(left) }));
  proportion(figures.outcome, figures.counts.accepted);
  for (const tile of page.querySelectorAll("[data-tile]")) {
    const value = figures.outcome[tile.dataset.tile];
    put(tile.querySelector("[data-figure]"), number(value));
    put(tile.querySelector("[data-share]"), percent(figures.counts.accepted ? value / figures.counts.accepted : 0));
    if ("rare" in tile.dataset) tile.hidden = !value;
  }
  part("doubt").hidden = !figures.outcome.in_doubt;
  part("unpaid").hidden = !figures.unpaid;
  const charged = part("charged");
  put(charged, figures.charged);
  charged.hidden = charged.previousElementSibling.hidden = !figures.charged;
  const size = document.querySelector("[data-cancel-size]");
  if (size) put(size, fill(page.dataset.sayCancel, { n: number(figures.unsent) }));
  return undefined;
}

async function poll() {
  try {
    const response = await fetch(`${base}/status`, { headers: { accept: "application/json" } });
    if (response.status === 401) location.reload();
    else if (response.ok) show(await response.json());
    else link("late");
  } catch {
    link("late");
  }
}

// The browser reconnects a broken stream itself; the poll runs while nothing is heard.
function listen() {
  if (final) return;
  const source = new EventSource(`${base}/events`);
  source.addEventListener("status", (event) => show(JSON.parse(event.data)));
  source.addEventListener("end", () => {
    source.close();
    chart?.load();
    if (document.getElementById("over-channels")) {
      htmx.ajax("GET", `${base}/channels`, { target: "#over-channels", swap: "outerHTML" });
    }
    const tab = document.querySelector("#tabs [aria-current]");
    if (tab) htmx.ajax("GET", tab.getAttribute("href"), { target: "#tabs", swap: "outerHTML" });
  });
  source.onerror = () => final || link("late");
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  setInterval(() => {
    if (!final && performance.now() - heard > GIVE_UP_MS) poll();
  }, POLL_MS);
}

async function plot() {
  const element = part("chart");
  if (!element) return;
  const { Throughput } = await import("./chart.js");
  chart = new Throughput(element, part("chart-rows"));
  await chart.load();
  if (!final) {
    const timer = setInterval(() => {
      chart.load();
      if (final) clearInterval(timer);
    }, CHART_MS);
  }
}

listen();
plot();
