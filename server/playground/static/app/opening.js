/**
 * What is there before a conversation: one question, answered by the model itself and under weights, side by side.
 *
 * It begins by itself only where the page was opened without any settings and the server answers: who follows a link
 * has settings of their own, and sees the example when they ask for it.
 */

import { AnswerView } from "./answer.js";
import { h } from "./dom.js";
import { MOST_TOKENS, exampleFor } from "./example.js";
import { inWords } from "./live.js";
import { requestBody } from "./request.js";
import { toHash } from "./share.js";
import { DEFAULTS } from "./state.js";
import { suggestionCards } from "./suggestions.js";

/** @typedef {import("./state.js").Weights} Weights */

export class Opening {
  /** @type {AbortController | null} */
  #running = null;
  /** @type {import("./example.js").Example | null} */
  #asked = null;
  /** @type {Weights} those that the steered answer was written under */
  #weights = {};

  /**
   * @param {import("./state.js").State} state
   * @param {import("./connection.js").Connection} connection
   * @param {(suggestion: import("./suggestions.js").Suggestion) => void} choose
   */
  constructor(state, connection, choose) {
    this.state = state;
    this.connection = connection;
    this.plain = new Side("Not steered");
    this.steered = new Side("");
    this.question = h("p", { class: "said" });
    this.again = h("button", { type: "button", class: "button", hidden: true, onclick: () => this.#steer() });
    this.pair = h(
      "section",
      { class: "pair", "aria-label": "The same question, not steered and steered", hidden: true },
      this.question,
      h("div", { class: "sides" }, this.plain.element, this.steered.element),
      this.again,
    );
    this.begin = h("button", { type: "button", class: "button begin", hidden: true, onclick: () => this.#begin() }, "Show an example");
    this.cards = h("div", { class: "suggestions" });
    const text = "One question and one seed, so the sliders make all the difference. Pull one, and see the answer follow.";
    this.element = h(
      "div",
      { class: "empty" },
      h("h1", { class: "needs-objectives" }, "Steer the answer while it is written."),
      h("h1", { class: "without-objectives" }, "What shall we talk about?"),
      h("p", { class: "needs-objectives" }, text),
      this.pair,
      this.begin,
      this.cards,
    );
    connection.addEventListener("change", () => {
      if (connection.status !== "ready") return;
      this.cards.replaceChildren(...suggestionCards(connection.objectiveNames, choose));
      this.#offer();
    });
    state.addEventListener("change", () => this.#follow());
  }

  /** Nobody sees it any more: what is still being written is not paid for. */
  stop() {
    this.#running?.abort();
  }

  get #example() {
    return exampleFor(this.connection.model, this.connection.objectives);
  }

  #offer() {
    const example = this.#example;
    if (this.#asked || !example) return;
    const ours = { ...DEFAULTS, weights: example.weights };
    const untouched = ["", toHash(ours)].includes(toHash(this.state.settings));
    this.begin.hidden = false;
    if (untouched && this.element.isConnected && this.element.checkVisibility()) this.#begin();
  }

  async #begin() {
    const example = this.#example;
    if (!example || this.connection.status !== "ready") return;
    this.#asked = example;
    this.begin.hidden = true;
    this.pair.hidden = false;
    this.question.textContent = example.question;
    const { weights } = this.state.settings;
    if (!Object.values(weights).some(Boolean)) this.state.set({ weights: example.weights, preset: null });
    await Promise.all([this.#answer(this.plain, {}), this.#steer()]);
  }

  async #steer() {
    this.#weights = { ...this.state.settings.weights };
    this.steered.name(inWords(this.#weights));
    this.#follow();
    await this.#answer(this.steered, this.#weights);
  }

  /** The sliders have moved on: another answer is offered, and not sent unasked. */
  #follow() {
    const wanted = inWords(this.state.settings.weights);
    this.again.hidden = !this.#asked || wanted === inWords(this.#weights);
    this.again.textContent = `Answer again with ${wanted}`;
  }

  /** @param {Side} side @param {Weights} weights */
  async #answer(side, weights) {
    const { question, seed, temperature } = /** @type {import("./example.js").Example} */ (this.#asked);
    const { model, objectiveNames: objectives, client } = this.connection;
    const settings = { ...this.state.settings, system: "", preset: null, temperature, maxTokens: MOST_TOKENS };
    const body = requestBody(settings, [{ role: "user", content: question }], { weights, objectives, model, seed });
    if (!this.#running || this.#running.signal.aborted) this.#running = new AbortController();
    const { signal } = this.#running;
    const retry = () => void this.#answer(side, weights);
    const error = await side.fresh().run(client.chat({ .../** @type {any} */ (body), signal }), seed, { signal, retry });
    if (error) this.connection.noteFailure(error);
  }
}

/** One of the two answers. */
class Side {
  #answer = new AnswerView();

  /** @param {string} title */
  constructor(title) {
    this.title = h("h2", {}, title);
    this.element = h("div", { class: "side" }, this.title, this.#answer.element);
  }

  /** @param {string} title */
  name(title) {
    this.title.textContent = title;
  }

  /** An empty answer in place of the last one. */
  fresh() {
    const fresh = new AnswerView();
    this.#answer.element.replaceWith(fresh.element);
    this.#answer = fresh;
    return fresh;
  }
}
