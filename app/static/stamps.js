// Recent stamps, live, and the answer about one key. Drawn at most five times a second, however many come.

import { byId, el, getJson } from "./dom.js";
import { clock, duration } from "./words.js";

const ROWS_MAX = 60;
const KEYS_SHOWN = 4;
const AGAIN_MS = 2000;
const KINDS = ["change", "generation", "gap", "replayed", "slow", "unavailable"];
const WORDS = {
  change: "change", generation: "namespace aged out", gap: "gap: older history unknown", replayed: "replayed",
  slow: "this page fell behind", unavailable: "stream not available",
};

const entries = [];
let isPaused = false;
let isDrawn = true;

const millis = (entry) => Number(entry.stamp.split("-")[0]);

function take(entry) {
  if (entries.some((held) => held.stamp === entry.stamp && held.kind === entry.kind)) return;
  entries.unshift({ ...entry, isNew: true });
  entries.length = Math.min(entries.length, ROWS_MAX);
  isDrawn = false;
}

function matches(entry, wanted) {
  return !wanted || [...(entry.keys ?? []), ...(entry.namespaces ?? [])].some((name) => name.includes(wanted));
}

function draw() {
  if (isDrawn || isPaused) return;
  isDrawn = true;
  const wanted = byId("key").value.trim();
  const found = entries.filter((entry) => matches(entry, wanted));
  byId("stamps").replaceChildren(...found.map(row));
  const none = byId("no-stamps");
  none.hidden = found.length > 0;
  none.textContent = entries.length ? "None of the recent stamps names it." : "No change since this service was started.";
  for (const entry of entries) entry.isNew = false;
}

function row(entry) {
  const marks = ["pending", "settled"].filter((mark) => entry[mark]);
  return el("tr", { "data-kind": entry.kind, class: entry.isNew ? "new" : null },
    el("td", {}, clock(millis(entry)), el("span", { class: "stamp" }, entry.stamp)),
    el("td", {}, el("span", { class: "kind" }, isBump(entry) ? "bump" : (WORDS[entry.kind] ?? entry.kind)),
      ...marks.map((mark) => el("span", { class: "mark" }, ` ${mark}`))),
    el("td", {}, ...names(entry), entry.gtid ? el("span", { class: "gtid" }, `commit ${entry.gtid}`) : null));
}

// A change that no commit stands behind was made by a person.
const isBump = (entry) => entry.kind === "change" && !entry.gtid && !entry.settled;

function names(entry) {
  const all = entry.keys ?? entry.namespaces ?? [];
  const wanted = byId("key").value.trim();
  const first = wanted ? [...all].sort((a, b) => b.includes(wanted) - a.includes(wanted)) : all;
  const shown = first.slice(0, KEYS_SHOWN).map((name) => el("code", {}, name));
  if (all.length > KEYS_SHOWN) shown.push(` and ${all.length - KEYS_SHOWN} more`);
  if (entry.kind === "generation") shown.push(` over ${duration(entry.spread_ms)}: ${entry.reason}`);
  else if (entry.kind === "replayed") shown.push(`all changes since ${clock(entry.since_ms)} are stamped again`);
  else if (entry.reason) shown.push(entry.reason);
  return shown;
}

export function listen(onLink) {
  setInterval(draw, 200);
  follow(onLink);
}

// All that come, and the newest ones that came before: these are asked for only once nothing new can be missed.
function follow(onLink) {
  const source = new EventSource("/v1/stream");
  source.addEventListener("opened", () => {
    onLink(true);
    takeOlder();
  });
  for (const kind of KINDS) source.addEventListener(kind, (event) => { take(JSON.parse(event.data)); });
  source.addEventListener("error", () => {
    onLink(false);
    // Answered with an error, as by a proxy while the service restarts, a browser does not come back by itself.
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, AGAIN_MS, onLink);
  });
}

async function takeOlder() {
  const before = await older();
  const came = entries.splice(0);
  for (const entry of [...came, ...before].sort(byStamp)) take(entry);
  for (const entry of entries) entry.isNew = false;
}

function byStamp(one, other) {
  const [sequence, next] = [one, other].map((entry) => Number(entry.stamp.split("-")[1]));
  return millis(one) - millis(other) || sequence - next;
}

async function older() {
  try {
    return (await getJson("/v1/recent")).entries;
  } catch {
    return []; // The verdict says that the service does not answer; what comes live is shown all the same.
  }
}

async function lookUp(key) {
  const answer = byId("answer");
  answer.hidden = !key;
  if (!key) return;
  try {
    answer.textContent = inWords(await getJson(`/v1/versions/${encodeURIComponent(key)}`));
  } catch (error) {
    answer.textContent = error.message;
  }
}

export function inWords(found) {
  const vouched = found.vouches ? "" : ` Not vouched for: ${found.reason}.`;
  if (found.stamp === null) return `${found.key}: no change known${found.since ? ` since ${clock(Number(found.since.split("-")[0]))}` : ""}.${vouched}`;
  const ago = duration(Math.max(Date.now() - found.time_ms, 0));
  const commit = found.origin_gtid ? `, commit ${found.origin_gtid}` : "";
  const pending = found.is_pending ? " Pending: a replica does not have it yet." : "";
  return `${found.key}: last changed ${ago} ago (${clock(found.time_ms)}), stamp ${found.stamp}${commit}.${pending}${vouched}`;
}

export function prepare() {
  byId("lookup").addEventListener("submit", (event) => {
    event.preventDefault();
    lookUp(byId("key").value.trim());
  });
  byId("key").addEventListener("input", () => {
    isDrawn = false;
    byId("answer").hidden ||= !byId("key").value;
  });
  byId("pause").addEventListener("click", () => {
    isPaused = !isPaused;
    byId("pause").setAttribute("aria-pressed", String(isPaused));
    byId("pause").textContent = isPaused ? "Paused" : "Pause";
  });
}

