/**
 * What an objective's values are counted in. Values that were trained are in standard deviations of their reward;
 * a log-ratio of two models, which is what an objective in words is, is in nats.
 */

/** @typedef {import("../lib/client.js").Objective} Objective */

const DEVIATIONS = "std devs";
const NATS = "nats";
const LOG_RATIOS = ["prompted", "policy"];

export { DEVIATIONS, NATS };

/** One that is gone by now was the user's own, in words. @param {Objective[]} objectives @param {string} name */
export function unitOf(objectives, name) {
  const known = objectives.find((objective) => objective.name === name);
  return known && !LOG_RATIOS.includes(known.kind) ? DEVIATIONS : NATS;
}

/** For captions. @param {Objective[]} objectives @param {string[]} names */
export function unitsSpelt(objectives, names) {
  const spelt = {
    [DEVIATIONS]: "standard deviations of the reward",
    [NATS]: "nats by which the model that is told prefers a token",
  };
  return [...new Set(names.map((name) => spelt[unitOf(objectives, name)]))].join(" and ");
}
