// Every process with its figures. Those of one that does not answer are greyed, with their age.

import { byId, el, show } from "./dom.js";
import { duration, number, percent, rate } from "./words.js";

const yes = (is, good, bad) => (is ? good : bad);

const FIGURES = {
  source: (f) => [
    yes(f.is_connected, "reads the binlog", "does not read the binlog"), `up to ${duration(f.read_age_ms)} ago`,
    `${number(f.transactions)} transactions`, `${number(f.keys)} keys`],
  mirror: (f) => [
    yes(f.is_connected, "reads stream A", "does not read stream A"), `stream B is at ${duration(f.read_age_ms)} ago`,
    f.applied_age_ms === null ? null : `replicas at ${duration(f.applied_age_ms)} ago`,
    `${number(f.held)} held`, `${number(f.pending)} pending`],
  service: (f) => [
    yes(f.is_connected, "reads stream B", "does not read stream B"), yes(f.vouches, "vouches", "does not vouch"),
    `lag ${duration(f.lag_ms)}`, `${number(f.keys)} keys`, `${number(f.listeners)} listeners`],
  toc: (f) => [
    yes(f.is_connected, "follows stream B", "does not follow stream B"), f.is_lagging ? "lags" : null,
    `lag ${duration(f.lag_ms)}`, f.reads_per_s === null ? null : `${rate(f.reads_per_s)} reads/s`,
    f.fresh_share === null ? null : `${percent(f.fresh_share)} vouched for`,
    f.loads_per_s === null ? null : `${rate(f.loads_per_s)} loads/s`],
};

const ROLES = { source: "source", mirror: "mirror", service: "version service", toc: "web process", audit: "audit" };

export function showProcesses(site) {
  const rows = [
    ...Object.keys(FIGURES).flatMap((role) => site[role].processes.map((process) => row(role, process))),
    ...site.gates.map(replica),
    ...site.audit.processes.map((process) => row("audit", process)),
  ];
  show(byId("processes"), rows, (all) => all.map(line));
}

function row(role, process) {
  const figures = process.figures && FIGURES[role] ? FIGURES[role](process.figures).filter(Boolean).join(", ") : "";
  const audit = role === "audit" && process.wrong !== null ? `${number(process.wrong)} wrong values seen` : "";
  const age = process.is_up || process.seen_age_ms === null ? "" : ` (${duration(process.seen_age_ms)} ago)`;
  return {
    name: process.name,
    role: ROLES[role],
    isUp: process.is_up,
    state: stateOf(process),
    word: process.is_up ? "answers" : `down: ${process.reason}`,
    figures: (figures || audit) + ((figures || audit) && age),
    error: process.figures?.last_error ?? "",
  };
}

// Up, but cut off from what it reads: that is a warning, and its figures say which.
export function stateOf(process) {
  if (!process.is_up) return "critical";
  return process.figures?.is_connected === false ? "warning" : "ok";
}

function replica(gate) {
  const words = { true: "answers the gate", false: "does not answer the gate", null: "nobody tells" };
  const rewinds = gate.rewinds ? `, set back ${number(gate.rewinds)} times` : "";
  return {
    name: gate.name,
    role: "replica",
    isUp: gate.is_up !== false,
    state: gate.is_up === null ? "unknown" : gate.is_up ? "ok" : "critical",
    word: words[gate.is_up],
    figures: `has applied ${gate.applied || "nothing known"}${rewinds}`,
    error: gate.last_error,
  };
}

function line({ name, role, isUp, state, word, figures, error }) {
  return el("tr", { "data-up": isUp },
    el("th", { scope: "row" }, name, el("span", { class: "role" }, role)),
    el("td", { "data-state": state }, el("span", { class: "badge" }, word)),
    el("td", { class: "figures" }, figures),
    el("td", {}, error));
}
