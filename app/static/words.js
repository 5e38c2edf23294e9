// How numbers, durations and times are said.

export function duration(ms) {
  if (ms === null || ms === undefined) return "unknown";
  if (ms < 10_000 && ms % 1000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 300_000) return `${Math.floor(ms / 1000)} s`;
  return ms < 7_200_000 ? `${Math.floor(ms / 60_000)} min` : `${Math.floor(ms / 3_600_000)} h`;
}

const groups = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export const number = (value) => groups.format(value);

export function rate(perSecond) {
  return perSecond < 10 ? perSecond.toFixed(1) : number(perSecond);
}

export function percent(share) {
  const text = (share * 100).toFixed(1);
  // Rounding must not hide the one read in a thousand that went elsewhere.
  if (text === "100.0" && share < 1) return "> 99.9 %";
  if (text === "0.0" && share > 0) return "< 0.1 %";
  return `${text.replace(/\.0$/, "")} %`;
}

export function clock(ms) {
  const at = new Date(ms);
  const two = (part) => String(part).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

// A datacenter's name as it is said: a single letter is a capital.
export const place = (dc) => (dc.length === 1 ? dc.toUpperCase() : dc);

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
