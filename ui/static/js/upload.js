// Recipients: drop or choose a file, watch it go, go on by itself where a broken connection left off.
//
// The file is one request body from the server's offset on. XMLHttpRequest, because fetch tells no upload progress.

import { duration, fill, percent, size } from "./format.js";

const host = document.getElementById("recipients");
const url = host.dataset.upload;
const WAITS_S = [1, 2, 4, 8, 15, 30];
const REFUSED = new Set([400, 401, 403, 404, 413, 415, 422]);

let current = null; // the transfer on its way

const part = (name) => host.querySelector(`[data-${name}]`);
const say = (sentence) => (part("message").textContent = sentence);

async function known() {
  const response = await fetch(url, { headers: { accept: "application/json" } });
  if (!response.ok) throw new Error(response.statusText);
  return response.json();
}

// One attempt: resolves with the server's answer, {status: 0} when the connection broke.
function send(file, offset, onProgress) {
  const request = new XMLHttpRequest();
  const query = new URLSearchParams({ offset, size: file.size, name: file.name });
  request.open("PUT", `${url}?${query}`);
  request.setRequestHeader("content-type", "application/octet-stream");
  request.setRequestHeader("accept", "application/json");
  request.responseType = "json";
  request.upload.onprogress = (event) => onProgress(offset + event.loaded);
  const done = new Promise((resolve) => {
    request.onloadend = () => resolve({ status: request.status, body: request.response });
  });
  request.send(file.slice(offset));
  return { request, done };
}

class Transfer {
  constructor(file) {
    this.file = file;
    this.stopped = false;
    this.marks = []; // [time, bytes] of the last seconds, for the rate
  }

  show(bytes) {
    const now = performance.now();
    this.marks.push([now, bytes]);
    while (this.marks.length > 2 && now - this.marks[0][0] > 5000) this.marks.shift();
    const [first, last] = [this.marks[0], this.marks.at(-1)];
    const rate = ((last[1] - first[1]) / (last[0] - first[0])) * 1000;
    const share = this.file.size ? bytes / this.file.size : 1;
    host.querySelector("progress").value = Math.floor(share * 1000);
    part("percent").textContent = percent(share);
    part("amount").textContent = `${size(bytes)} / ${size(this.file.size)}`;
    if (bytes >= this.file.size) part("pace").textContent = host.dataset.sayReading;
    else if (rate > 0) {
      const left = duration((this.file.size - bytes) / rate);
      part("pace").textContent = fill(host.dataset.sayRate, { rate: size(rate), left });
    }
  }

  async run(offset) {
    part("drop").hidden = true;
    part("transfer").hidden = false;
    part("title").textContent = this.file.name;
    say("");
    for (let tries = 0; !this.stopped; ) {
      const before = offset;
      this.marks = [];
      this.show(offset);
      const attempt = send(this.file, offset, (bytes) => this.show(bytes));
      this.request = attempt.request;
      const { status, body } = await attempt.done;
      if (this.stopped) return;
      if (status >= 200 && status < 300 && body.state !== "open") return refresh();
      if (REFUSED.has(status)) return this.fail(body?.detail || body?.title || status);
      if (status === 409 && body?.byte_offset === undefined) return this.fail(body?.detail || status);
      // Broken off, busy, or the server is elsewhere in the file: ask where it is, wait, go on from there.
      if (status !== 409) await this.wait(WAITS_S[Math.min(tries, WAITS_S.length - 1)]);
      try {
        const upload = await known();
        if (upload.state === "complete" || upload.state === "failed") return refresh();
        offset = upload.byte_offset ?? 0;
      } catch {
        // Not there yet: the next attempt tells.
      }
      tries = offset > before ? 0 : tries + 1;
    }
  }

  async wait(seconds) {
    say(fill(host.dataset.sayBroken, { seconds }));
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    say("");
  }

  fail(reason) {
    current = null;
    part("drop").hidden = false;
    part("transfer").hidden = true;
    host.querySelector("input[type=file]").value = ""; // or choosing the same file again is no change
    say(fill(host.dataset.sayFailed, { reason }));
  }

  stop() {
    this.stopped = true;
    this.request?.abort();
    refresh();
  }
}

// The server's panel says how the file was read; the chips then offer its columns.
async function refresh() {
  current = null;
  await htmx.ajax("GET", url, { target: "#recipients", swap: "innerHTML" });
  await htmx.ajax("GET", url.replace(/recipients$/, "columns"), { target: "#columns", swap: "innerHTML" });
  document.body.dispatchEvent(new Event("recount"));
}

function begin(file) {
  if (current || !file) return;
  const panel = host.querySelector("[data-upload-state]");
  const { uploadState, offset, size: wanted, name } = panel.dataset;
  const same = uploadState === "open" && name === file.name && Number(wanted) === file.size;
  current = new Transfer(file);
  current.run(same ? Number(offset) : 0);
}

host.addEventListener("change", (event) => {
  if (event.target.type === "file") begin(event.target.files[0]);
});
host.addEventListener("click", (event) => {
  if (event.target.closest("[data-stop]")) current?.stop();
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  host.addEventListener(kind, (event) => {
    const zone = event.target.closest("[data-drop]");
    if (!zone) return;
    event.preventDefault();
    zone.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") begin(event.dataTransfer.files[0]);
  });
}
addEventListener("beforeunload", (event) => {
  if (current) event.preventDefault();
});
