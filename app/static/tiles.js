// Four numbers, now and over the last quarter of an hour.

import { byId, setState, setText } from "./dom.js";
import { sparkline } from "./sparkline.js";
import { duration, number, place, rate } from "./words.js";

function tile(id, text, state, note = null) {
  const node = byId(id);
  setText(node.querySelector(".value"), text);
  if (note !== null) setText(node.querySelector(".note"), note);
  setState(node, state);
}

function lagState(ms, limitMs) {
  if (ms === null) return "unknown";
  if (ms > limitMs) return "critical";
  return ms > limitMs / 3 ? "warning" : "ok";
}

export function showTiles({ flow, dc, origin_dc: origin }) {
  const [here, there] = [place(dc), place(origin ?? "a")];
  tile("tile-lag", duration(flow.lag_ms), lagState(flow.lag_ms, flow.lag_max_ms), `how far ${here} is behind ${there}`);
  tile(
    "tile-replica",
    flow.replica_lag_ms === null ? "–" : duration(flow.replica_lag_ms),
    lagState(flow.replica_lag_ms, 60_000),
    flow.replica_lag_ms === null ? "no replica is listed" : "age of what every replica has",
  );
  tile("tile-rate", `${rate(flow.changes_per_s)} /s`, "ok", `${rate(flow.keys_per_s)} keys/s, ${number(flow.keys)} in memory`);
  tile("tile-pending", number(flow.pending), flow.pending ? "warning" : "ok");
}

export function showHistory(history, limitMs) {
  const nowMs = history.points.at(-1)?.time_ms ?? Date.now();
  const draw = (id, options) => sparkline(byId(id).querySelector(".spark"), history, nowMs, options);
  draw("tile-lag", { name: "Lag", value: (point) => point.lag_ms, text: duration, floor: 2000, limit: limitMs });
  draw("tile-replica", { name: "Replica lag", value: (point) => point.replica_lag_ms, text: duration, floor: 2000 });
  draw("tile-rate", { name: "Changes per second", value: (point) => point.changes_per_s, text: (n) => `${rate(n)} /s`, floor: 1 });
  draw("tile-pending", { name: "Pending keys", value: (point) => point.pending, text: number, floor: 4 });
}
