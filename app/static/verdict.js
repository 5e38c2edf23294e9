// What is wrong, in words. A screen reader is told when the trouble changes, not at every second it lasts.

import { byId, el, setState, setText, show } from "./dom.js";
import { plural } from "./words.js";

let announced = null;

export function showVerdict(site) {
  const worst = site.findings[0] ?? null;
  say(site.state, site.headline, site.effect, worst?.action ?? "");
  const more = byId("more");
  more.hidden = site.findings.length < 2;
  setText(more.querySelector("summary"), `${plural(site.findings.length - 1, "more finding")}`);
  show(byId("findings"), site.findings.slice(1), (findings) => findings.map(item));
  announce(site.findings.map((finding) => finding.code).join(), `${site.headline} ${site.effect}`);
  document.title = site.state === "ok" ? "stampline" : `${site.state === "critical" ? "✕" : "!"} ${site.headline}`;
}

export function showUnreachable(sinceMs) {
  const seconds = Math.round((Date.now() - sinceMs) / 1000);
  const text = "This version service does not answer.";
  say("critical", text, `What is shown below is ${seconds} s old. Web processes do not need this service: they go on.`, "");
  byId("more").hidden = true;
  announce("unreachable", text);
  document.title = `✕ ${text}`;
}

function say(state, headline, effect, action) {
  setState(byId("verdict"), state);
  setText(byId("headline"), headline);
  setText(byId("effect"), effect);
  byId("action").hidden = !action;
  setText(byId("action"), action);
}

function announce(codes, text) {
  if (announced === codes) return;
  announced = codes;
  setText(byId("announcement"), text);
}

function item(finding) {
  return el("li", { "data-state": finding.state }, finding.text, el("p", {}, `${finding.effect} ${finding.action}`));
}
