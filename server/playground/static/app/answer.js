/**
 * One answer while it streams and after: text token by token, shaded by the tilt; a readout; what went wrong.
 *
 * Tokens are one stop for the Tab key; arrows move between them. A screen reader hears the answer once, when it is
 * whole, not token by token.
 */

import { announce, h } from "./dom.js";
import { hideCard, showCard } from "./card.js";
import { inWords } from "./live.js";
import { problem } from "./problem.js";
import { Readout } from "./explain/readout.js";
import { klOf, matchTokens, shiftOf } from "./tokens.js";

/** @typedef {import("../lib/client.js").Piece} Piece */
/** @typedef {import("../lib/client.js").TokenReport} TokenReport */

const FULL_SHIFT = 3; // nats at which a token has its full shade
const FULL_KL = 1.5;

export class AnswerView {
  text = "";
  /** @type {"idle" | "running" | "done" | "stopped" | "failed"} */
  state = "idle";
  /** @type {import("../lib/client.js").Guidance | null} */
  guidance = null;
  seed = 0;
  /** @type {TokenReport[]} */
  #waiting = [];
  #tokens = 0;
  #kl = 0;
  #steering = 0;
  #firstAt = 0;
  #lastAt = 0;
  /** @type {WeakMap<Element, {text: string, reports: TokenReport[]}>} */
  #reports = new WeakMap();

  constructor() {
    this.words = h("div", { class: "answer-text", role: "group", "aria-label": "Answer, token by token" });
    this.readout = new Readout();
    this.trouble = h("div");
    this.element = h("div", { class: "answer", "data-state": "idle" }, this.words, this.trouble, this.readout.element);
    this.words.addEventListener("pointerover", (/** @type {Event} */ event) => this.#show(event.target));
    this.words.addEventListener("pointerleave", hideCard);
    this.words.addEventListener("focusin", (/** @type {Event} */ event) => this.#show(event.target));
    this.words.addEventListener("focusout", hideCard);
    this.words.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#onKey(event));
  }

  /**
   * Shows `pieces` as they come; never throws: what goes wrong is part of what is shown.
   * @param {AsyncIterable<Piece>} pieces
   * @param {number} seed
   * @param {{signal: AbortSignal, retry: () => void}} around
   * @returns {Promise<unknown>} the error, if there was one
   */
  async run(pieces, seed, { signal, retry }) {
    this.seed = seed;
    this.#become("running");
    try {
      for await (const piece of pieces) this.#take(piece);
      this.#become("done");
      announce(`Answer: ${this.text}`);
      return null;
    } catch (error) {
      this.#flush();
      if (signal.aborted) {
        this.#become("stopped");
        announce("Stopped.");
        return null;
      }
      this.#become("failed");
      this.trouble.replaceChildren(problem(error, retry, this.text !== ""));
      return error;
    } finally {
      this.#render();
    }
  }

  /** @param {AnswerView["state"]} state */
  #become(state) {
    this.state = state;
    this.element.dataset.state = state;
  }

  /** @param {Piece} piece */
  #take(piece) {
    const now = performance.now();
    this.#firstAt ||= now;
    if (piece.usage) this.#tokens = piece.usage.completion_tokens;
    else if (piece.text || piece.tokens.length) this.#tokens += Math.max(1, piece.tokens.length);
    if (piece.text || piece.tokens.length) this.#lastAt = now;
    for (const report of piece.tokens) {
      this.#kl += klOf(report);
      this.#steering += report.steering_nats;
    }
    this.guidance = piece.guidance ?? this.guidance;
    this.text += piece.text;
    if (piece.change) this.mark(inWords(piece.change.weights));
    const { spans, waiting } = matchTokens([...this.#waiting, ...piece.tokens], piece.text);
    this.#waiting = waiting;
    for (const { text, reports } of spans) this.words.append(reports.length ? this.#span(text, reports) : text);
    this.#render();
  }

  /** Marks a place in the text; what the mark says is not part of it. @param {string} said */
  mark(said) {
    this.words.append(h("span", { class: "change", role: "note", "aria-label": `From here on: ${said}`, "data-said": said }));
  }

  /** Reports whose text never came (a stop token, a broken stream) have nothing to shade. */
  #flush() {
    this.#waiting = [];
  }

  /** @param {string} text @param {TokenReport[]} reports */
  #span(text, reports) {
    const shift = shiftOf(reports[0]);
    const kl = Math.max(...reports.map(klOf));
    const span = h(
      "span",
      { class: `token ${shift < 0 ? "down" : "up"}`, tabindex: this.words.querySelector(".token") ? -1 : 0 },
      text,
    );
    span.style.setProperty("--shift", Math.min(1, Math.abs(shift) / FULL_SHIFT).toFixed(3));
    span.style.setProperty("--kl", Math.min(1, kl / FULL_KL).toFixed(3));
    this.#reports.set(span, { text, reports });
    return span;
  }

  /** @param {EventTarget | null} target */
  #show(target) {
    const found = this.#reports.get(/** @type {Element} */ (target));
    if (found) showCard(/** @type {HTMLElement} */ (target), found.text, found.reports);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const all = /** @type {HTMLElement[]} */ ([...this.words.querySelectorAll(".token")]);
    const at = all.indexOf(/** @type {HTMLElement} */ (event.target));
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined || !all[to]) return;
    event.preventDefault();
    all[at].tabIndex = -1;
    all[to].tabIndex = 0;
    all[to].focus();
  }

  #render() {
    this.readout.show({
      tokens: this.#tokens,
      seconds: (this.#lastAt - this.#firstAt) / 1000,
      seed: this.seed,
      stopped: this.state === "stopped",
      kl: this.#kl,
      steering: this.#steering,
      guidance: this.guidance,
    });
  }
}
