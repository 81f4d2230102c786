/** The question that a newcomer sees answered twice: small, and with a seed where it is known to go well. */

/** @typedef {{question: string, weights: Record<string, number>, seed: number, temperature: number}} Example */

export const MOST_TOKENS = 48; // of each answer: nobody has asked for it yet
const WEIGHT = 1;

/** @type {Record<string, Example>} by the name of a model that ships */
const SHIPPED = {
  "mavis-small": { question: "What do you like to do on weekends?", weights: { cheerful: 2 }, seed: 3, temperature: 0.4 },
};

/**
 * @param {string | undefined} model
 * @param {import("../lib/client.js").Objective[]} objectives the first is taken where there is none that all know
 * @returns {Example | null} null where there is nothing to steer towards
 */
export function exampleFor(model, objectives) {
  const known = SHIPPED[model ?? ""];
  if (known && Object.keys(known.weights).every((name) => objectives.some((each) => each.name === name))) return known;
  const objective = objectives.find(({ name }) => name === "cheerful") ?? objectives[0];
  if (!objective) return null;
  const weight = Math.min(WEIGHT, objective.weight_range[1]);
  return { question: "What is the moon?", weights: { [objective.name]: weight }, seed: 1, temperature: 0 };
}
