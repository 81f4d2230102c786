/**
 * Settings in the address's hash, readable: `#v=chat&w=cheerful:1,concise:-0.5&t=0.8&q=How was your day?`
 * `o=pirate:Talk like a pirate.` is an objective in the user's own words.
 *
 * A hash never reaches a server. Reading trusts nothing: what is not understood or out of range is left out, and the
 * caller is told. API keys and answers are not part of it.
 */

import { DEFAULTS } from "./state.js";
import { LIMITS, numberWithin } from "./limits.js";
import { MAX_INSTRUCTION, MAX_WORDS } from "./words.js";

/** @typedef {import("./state.js").Settings} Settings */
/** @typedef {import("./state.js").Weights} Weights */

export const MAX_COLUMNS = 4;
const NAME = /^[^\s=,{}]([^=,{}]{0,62}[^\s=,{}])?$/;
const MAX_TEXT = 20_000;

/** @param {Settings} settings @returns {string} with its "#", or "" where nothing differs from the defaults */
export function toHash(settings) {
  const hash = new URLSearchParams();
  if (settings.view !== DEFAULTS.view) hash.set("v", settings.view);
  if (settings.preset) hash.set("m", settings.preset);
  if (weightsText(settings.weights)) hash.set("w", weightsText(settings.weights));
  for (const [name, said] of Object.entries(settings.words)) hash.append("o", `${encodeURIComponent(name)}:${said}`);
  for (const { name, key } of LIMITS) {
    if (settings[name] !== DEFAULTS[name]) hash.set(key, settings[name] === null ? "" : String(settings[name]));
  }
  if (settings.view === "compare") settings.columns.forEach((weights) => hash.append("c", weightsText(weights)));
  if (settings.view === "sweep") {
    const { x, y, points, samples, scale } = settings.sweep;
    hash.set("s", [x, y, points, samples, scale].join(","));
  }
  if (settings.system) hash.set("sys", settings.system);
  if (settings.prompt) hash.set("q", settings.prompt);
  return hash.size ? `#${hash}` : "";
}

/**
 * @param {string} hash
 * @returns {{settings: Partial<Settings>, refused: string[]}}
 */
export function fromHash(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  /** @type {Partial<Settings>} */
  const settings = {};
  /** @type {string[]} */
  const refused = [];
  const view = given.get("v");
  if (view === "chat" || view === "compare" || view === "sweep") settings.view = view;
  else if (view !== null) refused.push("view");
  if (given.get("m")) settings.preset = given.get("m");
  if (given.has("w")) settings.weights = readWeights(given.get("w") ?? "", refused);
  if (given.has("o")) settings.words = readWords(given.getAll("o"), refused);
  for (const limit of LIMITS) {
    const text = given.get(limit.key);
    if (text === null) continue;
    settings[limit.name] = numberWithin(text, limit);
    if (text !== "" && settings[limit.name] === null) refused.push(limit.label);
  }
  const columns = given.getAll("c").slice(0, MAX_COLUMNS);
  if (columns.length > 0) settings.columns = columns.map((text) => readWeights(text, refused));
  if (given.has("s")) settings.sweep = readSweep(given.get("s") ?? "");
  if (given.has("sys")) settings.system = (given.get("sys") ?? "").slice(0, MAX_TEXT);
  if (given.has("q")) settings.prompt = (given.get("q") ?? "").slice(0, MAX_TEXT);
  return { settings, refused };
}

/** @param {Weights} weights */
function weightsText(weights) {
  const pairs = Object.entries(weights).filter(([, weight]) => weight !== 0);
  return pairs.map(([name, weight]) => `${encodeURIComponent(name)}:${weight}`).join(",");
}

/** @param {string} text @param {string[]} refused @returns {Weights} */
function readWeights(text, refused) {
  /** @type {[string, number][]} */
  const pairs = [];
  for (const pair of text.split(",").filter(Boolean)) {
    const [name, number, ...more] = pair.split(":");
    const weight = Number(number);
    if (more.length || !number?.trim() || !Number.isFinite(weight)) refused.push(pair);
    else pairs.push([unescaped(name), weight]);
  }
  return Object.fromEntries(pairs);
}

/** @param {string[]} texts @param {string[]} refused @returns {Record<string, string>} */
function readWords(texts, refused) {
  /** @type {Record<string, string>} */
  const words = {};
  for (const text of texts.slice(0, MAX_WORDS)) {
    const [name, ...rest] = text.split(":");
    const said = rest.join(":").trim();
    if (!NAME.test(unescaped(name)) || !said || said.length > MAX_INSTRUCTION) refused.push(unescaped(name) || "o");
    else words[unescaped(name)] = said;
  }
  return words;
}

/** @param {string} name */
function unescaped(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // a stray percent sign: then that is its name
  }
}

/** @param {string} text @returns {Settings["sweep"]} */
function readSweep(text) {
  const [x = "", y = "", ...numbers] = text.split(",");
  const bounded = (
    /** @type {number} */ i,
    /** @type {number} */ least,
    /** @type {number} */ most,
    /** @type {number} */ other,
  ) => {
    const number = Number(numbers[i]);
    return number >= least && number <= most ? number : other;
  };
  const { points, samples, scale } = DEFAULTS.sweep;
  return {
    x,
    y,
    points: Math.round(bounded(0, 2, 21, points)),
    samples: Math.round(bounded(1, 1, 32, samples)),
    scale: bounded(2, 0.1, 16, scale),
  };
}
