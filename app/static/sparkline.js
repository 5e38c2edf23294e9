// A quarter of an hour as a line. Time is true to scale: what was not observed stays empty, what nobody knew is marked.

import { svg, el } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 46;

// options: value (of a point), text (of a value), floor (the least top of the scale), limit (a line that must not be passed)
export function sparkline(figure, history, nowMs, { name, value, text, floor, limit = null }) {
  const begin = nowMs - history.span_ms;
  const values = history.points.map((point) => ({ at: point.time_ms, value: value(point) }));
  const known = values.filter((point) => point.value !== null).map((point) => point.value);
  const peak = known.length ? Math.max(...known) : 0;
  const top = Math.max(peak * 1.1, floor);
  const x = (at) => ((at - begin) / history.span_ms) * WIDTH;
  const y = (height) => HEIGHT - 2 - (height / top) * (HEIGHT - 6);

  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  drawing.append(svg("line", { class: "base", x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 }));
  if (limit !== null && limit <= top) {
    drawing.append(svg("line", { class: "limit", x1: 0, x2: WIDTH, y1: y(limit), y2: y(limit) }));
  }
  for (const run of runs(values, history.step_ms)) {
    const points = run.map((point) => `${x(point.at).toFixed(1)},${y(point.value).toFixed(1)}`);
    const [from, to] = [x(run[0].at).toFixed(1), x(run.at(-1).at).toFixed(1)];
    drawing.append(svg("path", { class: "area", d: `M${from},${HEIGHT - 1} L${points.join(" L")} L${to},${HEIGHT - 1} Z` }));
    drawing.append(svg("path", { class: "line", d: `M${points.join(" L")}${run.length === 1 ? " h0.5" : ""}` }));
  }
  for (const point of values.filter((one) => one.value === null)) {
    const width = (history.step_ms / history.span_ms) * WIDTH;
    drawing.append(svg("rect", { class: "hole", x: x(point.at) - width, y: 0, width, height: HEIGHT - 1 }));
  }
  const peakText = known.length ? `peak ${text(peak)}` : "";
  figure.replaceChildren(
    drawing,
    el("figcaption", {}, el("span", {}, "−15 min"), el("span", {}, peakText), el("span", {}, "now")),
  );
  figure.setAttribute("role", "img");
  figure.setAttribute("aria-label", `${name} over the last 15 minutes${known.length ? `, ${peakText}` : ""}`);
}

// Pieces without a hole in between.
function runs(values, stepMs) {
  const found = [];
  let run = [];
  for (const point of values) {
    const isNext = run.length > 0 && point.at - run.at(-1).at < 2.5 * stepMs;
    if (point.value === null || !isNext) {
      if (run.length) found.push(run);
      run = [];
    }
    if (point.value !== null) run.push(point);
  }
  if (run.length) found.push(run);
  return found;
}
