// How the page is made: elements with text only. Nothing from a server is ever taken as markup.

export const byId = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

export const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// Writes only what differs: a selection, and a screen reader's place, outlive the next second.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setState(node, state) {
  if (node.dataset.state !== state) node.dataset.state = state;
}

const shown = new WeakMap();

// Makes the children of a node anew when what they show has changed.
export function show(node, value, make) {
  const text = JSON.stringify(value);
  if (shown.get(node) === text) return;
  shown.set(node, text);
  node.replaceChildren(...make(value));
}

export async function getJson(path, options = {}) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(5000), ...options });
  if (!answer.ok) throw new ServiceError(answer.status, await problem(answer));
  return answer.json();
}

// A proxy in front of the service has no words of ours.
async function problem(answer) {
  const body = await answer.json().catch(() => null);
  return body?.error ?? { message: `HTTP ${answer.status}`, hint: "" };
}

// An answer that is not the one asked for, with the service's own words.
export class ServiceError extends Error {
  constructor(status, { message, hint }) {
    super(hint ? `${message} (${hint})` : message);
    this.status = status;
  }
}
