// Throughput: three series, the same colour for the same status as everywhere, and the same figures as a table.

import { rate } from "./format.js";

const BUCKET_S = 10;
const ROWS = 360;
const HEIGHT = 240;

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// light-dark() is resolved by asking what a property comes to on an element.
function colour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

function series(label, name, dash) {
  return {
    label,
    stroke: colour(name),
    width: 2,
    dash,
    points: { show: false },
    value: (_, value) => (value == null ? "–" : `${rate(value)}/s`),
  };
}

function axis(extra) {
  return {
    stroke: colour("--ink-2"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1, size: 4 },
    font: `12px ${token("--font")}`,
    ...extra,
  };
}

export class Throughput {
  constructor(element, rows) {
    this.element = element;
    this.rows = rows;
    this.data = [[], [], [], []];
    const timeZone = element.dataset.zone;
    this.clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium", timeZone });
    this.draw();
    new ResizeObserver(() => this.resize()).observe(element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  draw() {
    this.plot?.destroy();
    const { labelTime, labelSent, labelDelivered, labelFailed } = this.element.dataset;
    const options = {
      width: this.element.clientWidth,
      height: HEIGHT,
      scales: { y: { range: (_, _min, max) => [0, Math.max(1, max * 1.1)] } },
      padding: [12, 28, 0, 0],
      legend: { live: true },
      hooks: { setCursor: [(plot) => this.element.classList.toggle("hovered", plot.cursor.idx != null)] },
      cursor: { y: false, points: { size: 6 } },
      series: [
        { label: labelTime, value: (_, at) => (at == null ? "–" : this.clock.format(at * 1000)) },
        series(labelSent, "--flight"),
        series(labelDelivered, "--delivered", [6, 4]),
        series(labelFailed, "--failed", [2, 3]),
      ],
      axes: [axis({ space: 64, incrs: [10, 30, 60, 300, 600, 1800, 3600, 14400, 86400], values: (_, ticks) => ticks.map((at) => this.clock.format(at * 1000)) }), axis({ size: 56, values: (_, ticks) => ticks.map((tick) => rate(tick)) })],
    };
    this.plot = new uPlot(options, this.data, this.element);
  }

  resize() {
    const width = this.element.clientWidth;
    if (width && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  async load() {
    const response = await fetch(this.element.dataset.chart, { headers: { accept: "application/json" } });
    if (!response.ok) return;
    const now = Date.parse(response.headers.get("date")) / 1000;
    this.show((await response.json()).points, now);
  }

  // A second's rate of each bucket; buckets in which nothing happened are not sent, and are zero. The last one
  // may have begun just now: its rate is over the part that has passed, by the server's clock.
  show(points, now) {
    const data = [[], [], [], []];
    const add = (at, sent, delivered, failed) => {
      [at, sent, delivered, failed].forEach((value, index) => data[index].push(value));
    };
    for (const point of points) {
      const at = Date.parse(point.at) / 1000;
      const last = data[0].at(-1);
      if (last !== undefined && at - last > BUCKET_S) {
        add(last + BUCKET_S, 0, 0, 0);
        if (at - BUCKET_S > last + BUCKET_S) add(at - BUCKET_S, 0, 0, 0);
      }
      const passed = Math.min(BUCKET_S, Math.max(1, now - at || BUCKET_S));
      add(at, point.sent / passed, point.delivered / passed, point.failed / passed);
    }
    this.data = data;
    this.plot.setData(data);
    this.tell(points);
  }

  tell(points) {
    const rows = points.slice(-ROWS).reverse().map((point) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = this.clock.format(Date.parse(point.at));
      row.append(head);
      for (const value of [point.sent, point.delivered, point.failed]) {
        const cell = document.createElement("td");
        cell.className = "n";
        cell.textContent = rate(value);
        row.append(cell);
      }
      return row;
    });
    this.rows.replaceChildren(...rows);
  }
}
