// The dashboard: status once a second, entries live, one key on demand. No request leaves this service.
"use strict";

const ROWS_MAX = 100;
const byId = (id) => document.getElementById(id);

function cell(text) {
  const td = document.createElement("td");
  td.textContent = text;
  return td;
}

function fact(name, value) {
  const box = document.createElement("div");
  const term = document.createElement("dt");
  const text = document.createElement("dd");
  term.textContent = name;
  text.textContent = value ?? "unknown";
  box.append(term, text);
  return box;
}

const ms = (value) => (value === null ? "unknown" : `${value} ms`);
const time = (value) => (value ? new Date(value).toISOString().slice(11, 23) : "unknown");

function showStatus(status) {
  byId("dc").textContent = status.dc;
  byId("verdict").textContent = status.vouches ? "vouches" : status.reason;
  byId("verdict").className = status.vouches ? "good" : "bad";
  byId("status").replaceChildren(
    fact("lag", ms(status.lag_ms)),
    fact("replica lag", ms(status.replica_lag_ms)),
    fact("keys in the window", status.keys),
    fact("pending", status.pending),
    fact("watermark", time(status.watermark_ms)),
    fact("complete since", time(status.horizon_ms)),
    fact("breaks", status.breaks),
    fact("last error", status.last_error || "none"),
  );
}

async function poll() {
  try {
    const answer = await fetch("/v1/status", { cache: "no-store" });
    showStatus(await answer.json());
  } catch {
    byId("verdict").textContent = "the service does not answer";
    byId("verdict").className = "bad";
  }
  setTimeout(poll, 1000);
}

function describe(entry) {
  const marks = ["pending", "settled"].filter((mark) => entry[mark]).map((mark) => `[${mark}]`);
  const what = entry.keys ?? entry.namespaces ?? [entry.reason ?? (entry.since_ms ? `since ${time(entry.since_ms)}` : "")];
  return [...what, ...marks].join(" ");
}

function showEntry(event) {
  const entry = JSON.parse(event.data);
  const row = document.createElement("tr");
  row.append(cell(time(Number(entry.stamp.split("-")[0]))), cell(entry.stamp), cell(entry.kind), cell(describe(entry)));
  const body = byId("entries");
  body.prepend(row);
  while (body.rows.length > ROWS_MAX) body.deleteRow(-1);
}

function listen() {
  const source = new EventSource("/v1/stream");
  source.addEventListener("opened", () => { byId("link").textContent = "live"; });
  source.addEventListener("heartbeat", () => { byId("link").textContent = `live, heartbeat ${time(Date.now())}`; });
  for (const kind of ["change", "generation", "gap", "replayed", "slow", "unavailable"]) {
    source.addEventListener(kind, showEntry);
  }
  source.onerror = () => { byId("link").textContent = "connecting…"; };
}

byId("lookup").addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = encodeURIComponent(byId("key").value.trim());
  const answer = await fetch(`/v1/versions/${key}`);
  byId("answer").textContent = JSON.stringify(await answer.json(), null, 2);
});

poll();
listen();
