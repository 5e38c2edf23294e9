// The two datacenters. Each box says its state, in words, and which processes stand behind it.

import { el, setState, setText, show, svg } from "./dom.js";

import { stateOf } from "./processes.js";
import { place } from "./words.js";

const WORDS = { ok: "ok", warning: "needs a look", critical: "broken", unknown: "unknown" };
const SILENT_MS = 5000;
const IN_B = new Set(["mirror", "gate", "stream_b"]);
const ORDER = ["critical", "warning", "unknown", "ok"];

export function prepare() {
  for (const node of document.querySelectorAll(".node")) {
    node.querySelector("h3").prepend(el("span", { class: "lamp", "aria-hidden": "true" }));
    node.querySelector("h3").append(el("span", { class: "sr" }));
    node.append(el("p", { class: "say" }), el("ul", { class: "members", "aria-label": "Processes" }));
    setState(node, "unknown");
  }
  for (const hop of document.querySelectorAll(".hop")) {
    hop.append(
      svg("svg", { viewBox: "0 0 28 20" },
        svg("path", { class: "flow", d: "M3 10 H22" }),
        svg("path", { d: "M18 5.5 L23.5 10 L18 14.5" }),
        svg("path", { class: "cross", d: "M8 4 L17 16 M17 4 L8 16" })),
    );
    setState(hop, "unknown");
  }
}

export function showPicture(site) {
  for (const name of document.querySelectorAll("[data-dc]")) {
    setText(name, place(name.dataset.dc === "here" ? site.dc : site.origin_dc ?? "a"));
  }
  const parts = { ...site, gate: gate(site.gates) };
  const isSilent = site.flow.lag_ms === null || site.flow.lag_ms > SILENT_MS;
  for (const node of document.querySelectorAll(".node")) showNode(node, parts[node.dataset.part]);
  for (const hop of document.querySelectorAll(".hop")) setState(hop, flows(parts, hop.dataset.from, isSilent));
}

function showNode(node, part) {
  setState(node, part.state);
  setText(node.querySelector("h3 .sr"), `: ${WORDS[part.state]}`);
  setText(node.querySelector(".say"), part.text);
  const list = node.querySelector(".members");
  const members = part.members ?? (part.processes ?? []).map(member);
  list.hidden = members.length === 0;
  show(list, members, (all) => all.map(({ name, state, title }) => el("li", { "data-state": state, title }, name)));
}

function member(process) {
  const title = process.is_up ? "answers" : `does not answer: ${process.reason}`;
  return { name: process.name, state: stateOf(process), title };
}

// All replicas as one box: the worst of them speaks.
function gate(gates) {
  if (!gates.length) return { state: "unknown", text: "No replica is listed, or no mirror tells." };
  const worst = [...gates].sort((one, other) => ORDER.indexOf(one.state) - ORDER.indexOf(other.state))[0];
  const members = gates.map(({ name, state, text }) => ({ name, state, title: text }));
  return { state: worst.state, text: worst.text, members };
}

// A hop is drawn as broken where the part it leaves is; nothing runs along it while nothing comes from A.
function flows(parts, from, isSilent) {
  const { state } = parts[from];
  if (isSilent && IN_B.has(from) && state !== "critical") return "unknown";
  return state === "warning" ? "ok" : state;
}
