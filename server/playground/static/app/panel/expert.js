/**
 * How far the sliders go. Most of what one wants lies within 3 of zero; who switches "Expert" on gets all that the
 * server allows, and descriptions with their formulae. Kept in this browser; a "expert" event on the document follows.
 */

import { byId } from "../dom.js";

const KEY = "mavis.expert";
const REACH = 3;

/** @param {import("../connection.js").Connection} connection */
export function expertSwitch(connection) {
  const box = byId("expert");
  box.checked = kept();
  box.addEventListener("change", () => {
    keep(box.checked);
    document.dispatchEvent(new Event("expert"));
  });
  const show = () => {
    byId("expert-switch").hidden = !connection.objectives.some(isMore);
  };
  connection.addEventListener("change", show);
  show();
}

/**
 * Gives sliders their objectives, as plainly as the switch says.
 * @param {import("../../lib/weights.js").MavisWeights} sliders
 * @param {import("../../lib/client.js").Objective[]} objectives
 */
export function offer(sliders, objectives) {
  const isExpert = byId("expert").checked;
  if (isExpert) sliders.removeAttribute("reach");
  else sliders.setAttribute("reach", String(REACH));
  sliders.objectives = isExpert
    ? objectives
    : objectives.map((objective) => ({ ...objective, description: plain(objective.description) }));
}

/** Without what stands in brackets and counts: "few words (minus the number of words / 20)" is "few words". */
export function plain(/** @type {string} */ description) {
  const brackets = /\s*\((?:[^()]|\([^()]*\))*\)/g;
  return description.replace(brackets, (inside) => (/[\d=*/<>]/.test(inside) ? "" : inside));
}

/** Is there more than the plain sliders show? @param {import("../../lib/client.js").Objective} objective */
function isMore({ weight_range: [min, max], description }) {
  return min < -REACH || max > REACH || plain(description) !== description;
}

function kept() {
  try {
    return localStorage.getItem(KEY) === "on";
  } catch {
    return false; // storage is switched off
  }
}

/** @param {boolean} on */
function keep(on) {
  try {
    localStorage.setItem(KEY, on ? "on" : "off");
  } catch {
    console.info("storage is switched off: the choice is forgotten with the page");
  }
}
