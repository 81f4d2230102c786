/** Settings to the body of a request: the same for what is sent and for what the code dialog shows. */

/** @typedef {import("./state.js").Settings} Settings */
/** @typedef {import("./state.js").Weights} Weights */

/**
 * @param {Settings} settings
 * @param {{role: string, content: string}[]} messages without the system prompt, which is put first
 * @param {object} choice
 * @param {Weights} choice.weights
 * @param {string[]} choice.objectives every objective's name, those in the user's own words too
 * @param {string | undefined} choice.model the served model's name
 * @param {number} choice.seed
 * @returns {Record<string, any>}
 */
export function requestBody(settings, messages, { weights, objectives, model, seed }) {
  const system = settings.system.trim();
  /** @type {Record<string, any>} */
  const body = { model: settings.preset ?? model };
  body.messages = system ? [{ role: "system", content: system }, ...messages] : messages;
  if (objectives.length > 0 && settings.preset === null) {
    const words = Object.fromEntries(Object.entries(settings.words).filter(([name]) => objectives.includes(name)));
    body.objective_weights = wireWeights(
      weights,
      objectives.filter((name) => weights[name] || !(name in words)),
    );
    if (Object.keys(words).length > 0) body.objectives = words; // one without a weight may get one while it is written
  }
  body.guidance = { report: true };
  if (settings.beta !== null) body.guidance.beta = settings.beta;
  if (settings.maxKl !== null) body.guidance.max_kl_per_token = settings.maxKl;
  if (settings.temperature !== null) body.temperature = settings.temperature;
  if (settings.topP !== null) body.top_p = settings.topP;
  if (settings.maxTokens !== null) body.max_tokens = settings.maxTokens;
  body.seed = seed;
  return body;
}

/** The same request without objectives that do not steer: they only have their values reported. @param {Record<string, any>} body */
export function withoutZeros({ objective_weights, ...body }) {
  if (objective_weights === undefined) return body;
  return { ...body, objective_weights: Object.fromEntries(Object.entries(objective_weights).filter(([, weight]) => weight !== 0)) };
}

/**
 * All objectives where any steers, zeros too, so that every objective's value is reported; else the plain model.
 * @param {Weights} weights @param {string[]} objectives
 * @returns {Weights}
 */
export function wireWeights(weights, objectives) {
  if (!objectives.some((name) => weights[name])) return {};
  return Object.fromEntries(objectives.map((name) => [name, weights[name] ?? 0]));
}
