/**
 * What the user has set, in one plain object, and who wants to hear of changes. Answers are not in here: they belong
 * to the view that shows them.
 */

/**
 * @typedef {Record<string, number>} Weights
 * @typedef {object} Settings null: the server's own default
 * @property {"chat" | "compare" | "sweep"} view
 * @property {string} prompt
 * @property {string} system
 * @property {Weights} weights
 * @property {Record<string, string>} words objectives of the user's own, by name what the model is told
 * @property {string | null} preset a preset of the server, `model:preset`; it wins over `weights`
 * @property {number | null} beta
 * @property {number | null} maxKl
 * @property {number | null} temperature
 * @property {number | null} topP
 * @property {number | null} maxTokens
 * @property {number | null} seed null: another one for every answer
 * @property {Weights[]} columns
 * @property {{x: string, y: string, points: number, samples: number, scale: number}} sweep
 */

/** @type {Settings} */
export const DEFAULTS = {
  view: "chat",
  prompt: "",
  system: "",
  weights: {},
  words: {},
  preset: null,
  beta: null,
  maxKl: null,
  temperature: null,
  topP: null,
  maxTokens: 200,
  seed: null,
  columns: [{}, {}],
  sweep: { x: "", y: "", points: 5, samples: 4, scale: 1 },
};

export class State extends EventTarget {
  /** @param {Partial<Settings>} given */
  constructor(given) {
    super();
    /** @type {Readonly<Settings>} */
    this.settings = { ...structuredClone(DEFAULTS), ...given };
  }

  /** Replaces what `changes` names; a "change" event follows. @param {Partial<Settings>} changes */
  set(changes) {
    this.settings = { ...this.settings, ...changes };
    this.dispatchEvent(new Event("change"));
  }
}

/** The seed of one answer, always sent, so that every answer can be had again. @param {Settings} settings */
export function seedFor(settings) {
  return settings.seed ?? Math.floor(Math.random() * 1e6);
}
