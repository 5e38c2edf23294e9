// The bump form. Nothing is bumped that was not previewed as it is; the token never leaves this page but in the request.

import { byId, el, getJson, setState } from "./dom.js";
import { inWords } from "./stamps.js";
import { duration, number, plural } from "./words.js";

const form = byId("bump");
let previewed = null;

const what = () => form.elements.what.value;
const lines = () => byId("bump-keys").value.split("\n").map((line) => line.trim()).filter(Boolean);

function wanted() {
  if (what() === "keys") return { keys: lines() };
  return { namespace: byId("bump-namespace").value.trim(), spread_ms: Number(byId("bump-spread").value) * 1000 };
}

function say(state, ...children) {
  const result = byId("bump-result");
  setState(result, state);
  result.hidden = false;
  result.replaceChildren(...children);
}

function missing() {
  const { keys, namespace } = wanted();
  if (what() === "keys" && !keys.length) return "Name at least one key.";
  if (what() === "namespace" && !namespace) return "Name a namespace.";
  return null;
}

async function preview() {
  const lack = missing();
  if (lack) return say("warning", lack);
  const asked = wanted();
  try {
    await (asked.keys ? previewKeys(asked.keys) : previewNamespace(asked));
    previewed = JSON.stringify(asked);
  } catch (error) {
    say("critical", error.message);
  }
  update();
}

async function previewKeys(keys) {
  const { versions } = await getJson("/v1/versions", json({ keys }));
  say("unknown",
    `Every cached copy of ${keys.length === 1 ? "this key" : `these ${number(keys.length)} keys`} will be loaded anew at its next read:`,
    el("ul", {}, ...versions.map((found) => el("li", {}, inWords(found)))));
}

async function previewNamespace({ namespace, spread_ms: spreadMs }) {
  const { namespaces, window_ms: windowMs } = await getJson("/v1/namespaces");
  const known = namespaces.find((one) => one.namespace === namespace)?.keys ?? 0;
  const pace = spreadMs ? `each at its own moment within ${duration(spreadMs)}` : "all at once: every reader loads";
  say(known ? "unknown" : "warning",
    `Every cached value of ${namespace}: older than now will age out, ${pace}. `,
    known
      ? `${plural(known, "key")} of it changed in the last ${duration(windowMs)}; values that did not change age out, too.`
      : `No key of it changed in the last ${duration(windowMs)}. Is the name right?`);
}

async function bump() {
  const asked = wanted();
  const body = { ...asked, reason: byId("bump-reason").value.trim() };
  const button = byId("do-bump");
  button.disabled = true;
  try {
    const { stamps } = await getJson("/v1/bump", json(body, { authorization: `Bearer ${byId("bump-token").value.trim()}` }));
    say("ok", `Bumped, as ${stamps.length === 1 ? "stamp" : "stamps"} `, el("code", {}, stamps.join(", ")), ".");
    previewed = null;
  } catch (error) {
    // Only a refusal says that nothing was done: no answer, or one of a failure, may come after the bump.
    const isRefused = error.status >= 400 && error.status < 500;
    say("critical", `${isRefused ? "Not bumped" : "Not confirmed, it may have bumped"}: ${error.message}`);
  }
  update();
}

const json = (body, headers = {}) =>
  ({ method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json", ...headers } });

function update() {
  for (const part of form.querySelectorAll("[data-for]")) part.hidden = part.dataset.for !== what();
  byId("spread-text").textContent = duration(Number(byId("bump-spread").value) * 1000);
  const isPreviewed = previewed === JSON.stringify(wanted());
  const isComplete = byId("bump-reason").value.trim() && byId("bump-token").value.trim();
  byId("do-bump").disabled = !(isPreviewed && isComplete);
  byId("do-bump").title = isPreviewed ? (isComplete ? "" : "Give a reason and a token") : "Preview it first";
}

async function offerNamespaces() {
  const { namespaces } = await getJson("/v1/namespaces");
  byId("namespaces").replaceChildren(...namespaces.map((one) => el("option", { value: one.namespace }, `${number(one.keys)} keys`)));
}

export function prepare() {
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => { event.preventDefault(); bump(); });
  byId("preview").addEventListener("click", preview);
  byId("bump-namespace").addEventListener("focus", () => { offerNamespaces().catch(() => {}); });
  update();
}
