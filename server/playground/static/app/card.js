/**
 * The card of one token: what the base model and the tilted one gave it, what it cost, and each objective's value.
 * One card for the page; it follows hover and focus, and Escape puts it away.
 */

import { byId, fixed, h, shown } from "./dom.js";
import { klOf, shiftOf } from "./tokens.js";
import { DEVIATIONS, NATS, unitOf } from "./units.js";

/** @typedef {import("../lib/client.js").TokenReport} TokenReport */

const VALUE_SPAN = 3; // standard deviations, or nats, that fill a bar

const card = h("div", { class: "card", id: "token-card", role: "tooltip", hidden: true });
byId("main").append(card); // all that is on the page is in a landmark
/** @type {HTMLElement | null} */
let shownFor = null;
/** @type {import("../lib/client.js").Objective[]} */
let known = [];

/** What the values of the cards belong to. @param {import("../lib/client.js").Objective[]} objectives */
export function explainValues(objectives) {
  known = objectives;
}

/** @param {HTMLElement} at @param {string} text @param {TokenReport[]} reports */
export function showCard(at, text, reports) {
  hideCard();
  shownFor = at;
  at.setAttribute("aria-describedby", card.id);
  const [report] = reports;
  card.replaceChildren(h("div", { class: "name" }, visible(text)), numbers(report));
  if (reports.length > 1)
    card.append(h("p", { class: "muted" }, `The first of ${reports.length} tokens in one piece of text.`));
  card.hidden = false;
  place(at);
}

export function hideCard() {
  shownFor?.removeAttribute("aria-describedby");
  shownFor = null;
  card.hidden = true;
}

/** Its token may have been drawn anew, or its answer be gone from the page. */
export function hideLostCard() {
  if (shownFor && !shownFor.isConnected) hideCard();
}

document.addEventListener("keydown", (event) => event.key === "Escape" && hideCard());
document.addEventListener("scroll", hideCard, { capture: true, passive: true });

/** @param {TokenReport} report */
function numbers(report) {
  const base = Math.exp(report.base_logprob);
  const tilted = Math.exp(report.logprob);
  const list = h("dl");
  row(list, "Base", bar(0, base, "base"), percent(base));
  row(list, "Tilted", bar(0, tilted), percent(tilted));
  row(list, "Shift", h("span"), `${shiftOf(report) > 0 ? "+" : ""}${fixed(shiftOf(report), 2)} nats`);
  row(list, "KL here", h("span"), `${fixed(klOf(report), 2)} nats`);
  for (const unit of [DEVIATIONS, NATS]) valuesIn(unit, list, report.values);
  return list;
}

/** @param {string} unit @param {HTMLElement} list @param {Record<string, number>} values */
function valuesIn(unit, list, values) {
  const counted = Object.entries(values).filter(([name]) => unitOf(known, name) === unit);
  if (counted.length > 0) list.append(h("dt", {}, "Values"), h("dd"), h("dd", { class: "muted" }, unit));
  for (const [name, value] of counted) {
    const end = 0.5 + Math.max(-0.5, Math.min(0.5, value / (2 * VALUE_SPAN)));
    row(list, name, bar(Math.min(0.5, end), Math.max(0.5, end), value < 0 ? "negative" : ""), fixed(value, 2));
  }
}

/** @param {HTMLElement} list @param {string} name @param {Node} middle @param {string} number */
function row(list, name, middle, number) {
  list.append(h("dt", {}, name), h("dd", {}, middle), h("dd", {}, number));
}

/** @param {number} from @param {number} to @param {string} [kind] */
function bar(from, to, kind = "") {
  const inner = h("i", { class: kind });
  inner.style.setProperty("--from", String(from));
  inner.style.setProperty("--to", String(to));
  return h("div", { class: "bar" }, inner);
}

/** @param {number} share */
function percent(share) {
  if (share < 0.0001) return "< 0.01 %";
  return `${shown(100 * share, share < 0.01 ? 2 : 1)} %`;
}

/** @param {string} text */
function visible(text) {
  return text.replaceAll("\n", "⏎").replace(/^ | $/g, "␣") || "∅";
}

/** @param {HTMLElement} at */
function place(at) {
  const target = at.getClientRects()[0] ?? at.getBoundingClientRect();
  const box = card.getBoundingClientRect();
  const left = Math.max(8, Math.min(innerWidth - box.width - 8, target.left + target.width / 2 - box.width / 2));
  const above = target.top - box.height - 8;
  const top = above > 8 ? above : Math.min(innerHeight - box.height - 8, target.bottom + 8);
  card.style.transform = `translate(${Math.round(left)}px, ${Math.round(Math.max(8, top))}px)`;
}
