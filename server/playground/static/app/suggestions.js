/** Questions to begin with, each with the weights that it names and sets. */

import { h } from "./dom.js";
import { inWords } from "./live.js";

/** @typedef {{prompt: string, weights: Record<string, number>}} Suggestion */

/** @type {Suggestion[]} */
export const SUGGESTIONS = [
  { prompt: "How was your day?", weights: { cheerful: 1 } },
  { prompt: "What do you like to do on weekends?", weights: { curious: 1.5 } },
  { prompt: "Tell me about your favourite music.", weights: { cheerful: 1, concise: 1 } },
  { prompt: "I just moved to a new city.", weights: {} },
];

/**
 * Cards of those that this server can do.
 * @param {string[]} objectives @param {(suggestion: Suggestion) => void} choose
 */
export function suggestionCards(objectives, choose) {
  const possible = SUGGESTIONS.filter(({ weights }) => Object.keys(weights).every((name) => objectives.includes(name)));
  return possible.map((suggestion) =>
    h(
      "button",
      { type: "button", class: "suggestion", onclick: () => choose(suggestion) },
      suggestion.prompt,
      h("span", { class: "needs-objectives" }, said(suggestion.weights)),
    ),
  );
}

/** @param {Record<string, number>} weights */
function said(weights) {
  return Object.keys(weights).length > 0 ? `with ${inWords(weights)}` : "not steered: the model itself";
}
