// The page asks for the picture once a second and for the history every five; stamps come by themselves.

import * as bump from "./bump.js";
import { byId, getJson, setState, setText } from "./dom.js";
import * as picture from "./picture.js";
import { showProcesses } from "./processes.js";
import { showAudit, showHits } from "./readers.js";
import * as stamps from "./stamps.js";
import { showHistory, showTiles } from "./tiles.js";
import { showUnreachable, showVerdict } from "./verdict.js";

const SITE_MS = 1000;
const HISTORY_EVERY = 5;

let lastAnswerMs = Date.now();

function show({ site, history }) {
  lastAnswerMs = Date.now();
  showVerdict(site);
  showTiles(site);
  picture.showPicture(site);
  showHits(site.toc);
  showAudit(site.audit);
  showProcesses(site);
  if (history !== null) showHistory(history, site.flow.lag_max_ms);
}

async function poll(round) {
  try {
    const answer = await ask(round);
    if (answer === null) showUnreachable(lastAnswerMs);
    else show(answer);
  } finally {
    setTimeout(poll, SITE_MS, round + 1);
  }
}

// The service's answers, or null where there are none.
async function ask(round) {
  try {
    const site = await getJson("/v1/site");
    return { site, history: round % HISTORY_EVERY === 0 ? await getJson("/v1/history") : null };
  } catch {
    return null;
  }
}

function showLink(isLive) {
  setState(byId("link"), isLive ? "ok" : "warning");
  setText(byId("link"), isLive ? "live" : "connecting…");
}

picture.prepare();
stamps.prepare();
bump.prepare();
poll(0);
stamps.listen(showLink);
