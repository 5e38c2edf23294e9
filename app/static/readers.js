// Where reads were served from, and what the audit found.

import { byId, el, show, svg } from "./dom.js";
import { number, percent, rate } from "./words.js";

const NAMES = { local: "memory", redis: "Redis", loaded: "database", stale: "superseded" };

export function showHits({ processes, tiers }) {
  const bars = processes.map(({ name, is_up: isUp, figures }) => ({ name, isUp, tiers: figures?.tiers ?? [] }));
  const together = bars.length > 1 && tiers.length ? [{ name: "together", isUp: true, tiers }] : [];
  show(byId("hits"), [...together, ...bars], (all) =>
    all.length ? all.map(bar) : [el("p", { class: "quiet" }, "No web process is listed in [[serve.component]].")]);
}

function bar({ name, isUp, tiers }) {
  const reads = tiers.reduce((sum, tier) => sum + tier.reads_per_s, 0);
  const box = el("div", { class: isUp ? "bar" : "bar down" });
  const busy = !isUp ? "does not answer" : tiers.length ? `${rate(reads)} reads/s` : "not seen long enough";
  box.append(el("p", { class: "bar-head" }, el("b", {}, name), el("span", {}, busy)));
  if (!reads) return box;
  const used = tiers.filter((tier) => tier.share > 0);
  const text = used.map((tier) => `${NAMES[tier.tier] ?? tier.tier} ${percent(tier.share)}`).join(" · ");
  const drawing = svg("svg", { viewBox: "0 0 1000 10", preserveAspectRatio: "none", role: "img", "aria-label": `${name}: ${text}` });
  let from = 0;
  for (const tier of used) {
    // A tier that was used at all is seen, however thin.
    const width = Math.max(tier.share * 1000, 4);
    drawing.append(svg("rect", { "data-tier": tier.tier, x: from, y: 0, width, height: 10 }));
    from += width;
  }
  box.append(drawing, el("p", { "aria-hidden": "true" }, text));
  return box;
}

export function showAudit({ rows, text }) {
  show(byId("audit"), { rows, text }, () => [el("p", { class: "quiet" }, text), rows.length ? table(rows) : null].filter(Boolean));
}

function table(rows) {
  const head = ["Namespace", "After", "Compared", "Wrong", "Nines"].map((name) => el("th", { scope: "col" }, name));
  const body = rows.map((row) => el("tr", {},
    el("td", {}, row.namespace), el("td", {}, `${row.after_s} s`), el("td", {}, number(row.consistent + row.wrong)),
    el("td", row.wrong ? { class: "wrong" } : {}, number(row.wrong)), el("td", {}, row.nines)));
  return el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body));
}
