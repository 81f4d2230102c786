/** The settings beside the view: a slider per objective, strength and sampling, the system prompt. */

import "../../lib/weights.js";
import { byId, h, shown } from "../dom.js";
import { offer } from "./expert.js";
import { hint } from "../explain/hint.js";
import { sayInvalid } from "./invalid.js";
import { LIMITS, numberWithin } from "../limits.js";

/** @typedef {import("../state.js").State} State */

/** Which heading is explained by which term. */
const HEADINGS = {
  "weights-title": "objectives",
  "presets-title": "presets",
  "strength-title": "strength",
  "expert-switch": "expert",
  "system-details": "system",
};

/** @param {State} state @param {import("../connection.js").Connection} connection */
export function settingsPanel(state, connection) {
  const weights = h("mavis-weights");
  const place = byId("weights-place");
  const skeleton = [1, 2, 3, 4].map(() => h("div", { class: "objective-skeleton" }));
  place.append(...skeleton);

  const showSliders = () => {
    if (connection.status !== "ready") return;
    offer(weights, connection.objectives);
    weights.weights = state.settings.weights;
    const none = `This server brings no objectives of its own.${connection.mayDescribe ? " Describe one." : ""}`;
    place.replaceChildren(connection.objectives.length ? weights : h("p", { class: "muted" }, none));
    showBeta();
  };
  connection.addEventListener("change", showSliders);
  document.addEventListener("expert", showSliders);
  connection.addEventListener("described", (/** @type {any} */ event) => weights.focusOn(event.detail));
  weights.addEventListener("input", () => state.set({ weights: weights.weights, preset: null }));
  byId("reset-weights").addEventListener("click", () => state.set({ weights: {}, preset: null }));

  /** @type {Map<string, HTMLInputElement>} */
  const inputs = new Map();
  for (const limit of LIMITS) {
    const { name, label, min, max, hint: placeholder, whole, steers } = limit;
    const input = h("input", {
      class: "input",
      type: "number",
      id: `field-${name}`,
      min,
      max,
      step: whole ? 1 : "any",
      placeholder,
      inputmode: "decimal",
    });
    input.addEventListener("input", () => {
      sayInvalid(input, kept(name));
      if (input.validity.valid) state.set({ [name]: numberWithin(input.value, limit) });
    });
    inputs.set(name, input);
    const head = h("div", { class: "label" }, h("label", { for: input.id }, label), hint(name));
    byId("fields").append(h("div", { class: steers ? "field needs-objectives" : "field" }, head, input));
  }
  for (const [id, term] of Object.entries(HEADINGS)) byId(id).after(hint(term));
  const system = byId("system");
  system.addEventListener("input", () => state.set({ system: system.value }));

  /** What holds while a field says something wrong. @param {import("../limits.js").Name} name */
  const kept = (name) => String(state.settings[name] ?? /** @type {HTMLInputElement} */ (inputs.get(name)).placeholder);

  /** "auto" says which beta that is: the weighted mean of the steering objectives' recommended ones. */
  const showBeta = () => {
    const auto = recommendedBeta(connection.objectives, state.settings.weights);
    /** @type {HTMLInputElement} */ (inputs.get("beta")).placeholder = auto ? `auto: ${shown(auto)}` : "auto";
  };

  const show = () => {
    const { settings } = state;
    weights.weights = settings.weights;
    for (const { name } of LIMITS) {
      const input = /** @type {HTMLInputElement} */ (inputs.get(name));
      if (input.validity.valid && document.activeElement !== input)
        input.value = settings[name] === null ? "" : String(settings[name]);
      sayInvalid(input, kept(name));
    }
    if (document.activeElement !== system) system.value = settings.system;
    showBeta();
  };
  state.addEventListener("change", show);
  show();
  byId("system-details").open = state.settings.system !== "";
}

/**
 * As the engine averages: by the size of each weight.
 * @param {import("../../lib/client.js").Objective[]} objectives @param {Record<string, number>} weights
 */
function recommendedBeta(objectives, weights) {
  const sizes = objectives.map(({ name }) => Math.abs(weights[name] ?? 0));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  return total && objectives.reduce((sum, { recommended_beta }, i) => sum + (recommended_beta * sizes[i]) / total, 0);
}
