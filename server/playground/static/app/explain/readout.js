/**
 * The line under an answer: how strongly it was steered, in a word that opens the numbers, and what it was written
 * with. An answer that nothing steers has no such word, and no numbers of steering.
 */

import { fixed, h, shown } from "../dom.js";
import { hint } from "./hint.js";
import { strengthOf } from "./strength.js";

/**
 * @typedef {object} Figures
 * @property {number} tokens
 * @property {number} seconds from the first to the last
 * @property {number} seed
 * @property {boolean} stopped
 * @property {number} kl nats of the reports so far; 0 where nothing steers
 * @property {number} steering those of them that the tilt costs
 * @property {import("../../lib/client.js").Guidance | null} guidance what the server says in the end
 */

/** What is always shown, and what the word opens: the figure's name, the term that explains it. */
const PLAIN = { tokens: "tokens", "tokens/s": "speed", seed: "seed", stopped: "" };
const NUMBERS = { "KL per token": "klPerToken", "KL total": "klTotal", truncation: "truncation", beta: "beta" };

export class Readout {
  /** @type {Map<string, HTMLElement>} each figure's row */
  #rows = new Map();

  constructor() {
    this.word = h("button", { type: "button", class: "strength", "aria-expanded": "false", hidden: true });
    this.numbers = h("dl", { class: "numbers", hidden: true }, ...this.#make(NUMBERS));
    this.element = h("div", { class: "readout" }, this.word, h("dl", {}, ...this.#make(PLAIN)), this.numbers);
    this.word.addEventListener("click", () => {
      this.numbers.hidden = !this.numbers.hidden;
      this.word.setAttribute("aria-expanded", String(!this.numbers.hidden));
    });
  }

  /** @param {Figures} figures */
  show({ tokens, seconds, seed, stopped, ...reported }) {
    this.#set("tokens", String(tokens));
    this.#set("tokens/s", tokens > 1 && seconds > 0 ? shown((tokens - 1) / seconds, 0) : null);
    this.#set("seed", String(seed));
    this.#set("stopped", stopped ? "" : null);
    this.#cost(tokens, reported);
  }

  /** @param {number} tokens @param {Pick<Figures, "kl" | "steering" | "guidance">} reported */
  #cost(tokens, { kl, steering, guidance }) {
    const total = guidance?.kl_nats ?? kl;
    const isSteered = tokens > 0 && total > 0;
    this.word.hidden = !isSteered;
    if (!isSteered) {
      this.numbers.hidden = true;
      return;
    }
    const tilt = guidance?.steering_nats ?? steering;
    const word = strengthOf(tilt / tokens);
    if (this.word.textContent !== word) this.word.textContent = word;
    this.#set("KL per token", fixed(guidance?.kl_per_token ?? total / tokens, 3));
    this.#set("KL total", `${fixed(total, 2)} nats`);
    this.#set("truncation", `${fixed(guidance?.truncation_nats ?? total - tilt, 2)} nats`);
    this.#set("beta", guidance?.beta ? shown(guidance.beta) : null);
  }

  /** @param {Record<string, string>} figures @returns {HTMLElement[]} */
  #make(figures) {
    return Object.entries(figures).map(([name, term]) => {
      const row = h("div", { hidden: true }, h("dt", {}, name, term ? hint(term) : null), h("dd"));
      this.#rows.set(name, row);
      return row;
    });
  }

  /** @param {string} name @param {string | null} text null: the figure is not there */
  #set(name, text) {
    const row = /** @type {HTMLElement} */ (this.#rows.get(name));
    const figure = /** @type {HTMLElement} */ (row.lastChild);
    row.hidden = text === null;
    if (figure.textContent !== (text ?? "")) figure.textContent = text;
  }
}
