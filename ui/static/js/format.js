// Numbers and times as control_plane/web/format.py writes them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const UNITS = ["B", "kB", "MB", "GB", "TB"];

export const number = (value) => (value == null ? "–" : whole.format(value));

export const rate = (value) =>
  value == null ? "–" : value > 0 && value < 100 ? tenth.format(value) : whole.format(value);

export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  if (share > 0.999 && share < 1) return "99.9 %";
  return share > 0 && share < 1 ? `${tenth.format(share * 100)} %` : `${whole.format(share * 100)} %`;
}

export function size(bytes) {
  let unit = 0;
  while (bytes >= 999.5 && unit < UNITS.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  return `${unit === 0 || bytes >= 100 ? whole.format(bytes) : tenth.format(bytes)} ${UNITS[unit]}`;
}

export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} min ${s % 60} s`;
  const h = Math.floor(m / 60);
  return h < 48 ? `${h} h ${m % 60} min` : `${Math.floor(h / 24)} d ${h % 24} h`;
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "always" });

export function ago(at, now = Date.now()) {
  const s = (now - at) / 1000;
  if (s < 45) return "just now";
  if (s < 3600) return relative.format(-Math.max(1, Math.round(s / 60)), "minute");
  if (s < 86400) return relative.format(-Math.max(1, Math.round(s / 3600)), "hour");
  if (s < 30 * 86400) return relative.format(-Math.max(1, Math.round(s / 86400)), "day");
  return new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short", year: "numeric" }).format(at);
}

// "{n} recipients" with n put in: the sentences themselves come from the page.
export const fill = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);
