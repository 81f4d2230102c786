/**
 * One answer while it streams and after: its reasoning, its text, a readout, what went wrong. A screen reader hears it
 * once, when it is whole, not token by token. Pieces are counted as they come and drawn once per frame; a "change" event
 * follows whatever a label beside it may want to say.
 */

import { packed, unpacked } from "./chat/packed.js";
import { announce, h } from "./dom.js";
import { Readout } from "./explain/readout.js";
import { inWords } from "./live.js";
import { explain, problemBox } from "./problem.js";
import { copyButton } from "./text/copy_button.js";
import { Lines } from "./text/lines.js";
import { Prose } from "./text/prose.js";
import { fromTextOn, klOf, matchTokens } from "./tokens.js";

/** @typedef {import("../lib/client.js").Piece} Piece */
/** @typedef {import("../lib/client.js").TokenReport} TokenReport */
/**
 * @typedef {object} Record an answer as it is kept
 * @property {string} text
 * @property {string} reasoning
 * @property {AnswerView["state"]} state
 * @property {number} seed
 * @property {import("../lib/client.js").Weights | null} weights
 * @property {import("../lib/client.js").Guidance | null} guidance
 * @property {import("./chat/packed.js").Packed | null} spans
 * @property {import("./text/prose.js").Mark[]} marks
 * @property {{tokens: number, kl: number, steering: number, seconds: number}} counted
 * @property {import("./problem.js").Problem | null} problem
 */

export class AnswerView extends EventTarget {
  reasoning = "";
  /** @type {"idle" | "running" | "done" | "stopped" | "failed"} */
  state = "idle";
  /** @type {import("../lib/client.js").Guidance | null} */
  guidance = null;
  /** @type {import("../lib/client.js").Weights | null} those in force, where somebody said so */
  weights = null;
  seed = 0;
  /** @type {import("./problem.js").Problem | null} */
  problem = null;
  /** @type {TokenReport[]} */
  #waiting = [];
  #tokens = 0;
  #kl = 0;
  #steering = 0;
  #firstAt = 0;
  #lastAt = 0;
  #prose = new Prose();
  #thoughts = new Lines();
  #undrawn = ""; // of the reasoning
  #frame = 0;

  constructor() {
    super();
    this.readout = new Readout();
    this.trouble = h("div");
    const summary = h("summary", {}, "Reasoning");
    this.thinking = h("details", { class: "reasoning", hidden: true }, summary, this.#thoughts.element);
    this.copy = copyButton("Copy answer", () => this.text);
    this.copy.hidden = true;
    const foot = h("div", { class: "answer-foot" }, this.readout.element, this.copy);
    const parts = [this.thinking, this.#prose.element, this.trouble, foot];
    this.element = h("div", { class: "answer", "data-state": "idle" }, ...parts);
  }

  get text() {
    return this.#prose.source;
  }

  /**
   * Shows `pieces` as they come; never throws: what goes wrong is part of what is shown.
   * @param {AsyncIterable<Piece>} pieces
   * @param {number} seed
   * @param {{signal: AbortSignal, retry: () => void, weights?: import("../lib/client.js").Weights}} around
   * @returns {Promise<unknown>} the error, if there was one
   */
  async run(pieces, seed, { signal, retry, weights }) {
    this.seed = seed;
    this.weights = weights ?? null;
    this.#become("running");
    try {
      for await (const piece of pieces) this.#take(piece);
      this.#become("done");
      announce(`Answer: ${this.text}`);
      return null;
    } catch (error) {
      if (signal.aborted) {
        this.#become("stopped");
        announce("Stopped.");
        return null;
      }
      this.problem = explain(error, this.text !== "");
      this.trouble.replaceChildren(problemBox(this.problem, retry));
      this.#become("failed");
      return error;
    } finally {
      this.#waiting = []; // reports whose text never came (a stop token, a broken stream) have nothing to shade
      this.#draw();
    }
  }

  /** @returns {Record} */
  get record() {
    const { tokens: _, ...guidance } = this.guidance ?? {};
    return {
      text: this.text,
      reasoning: this.reasoning,
      state: this.state,
      seed: this.seed,
      weights: this.weights,
      guidance: this.guidance && /** @type {any} */ (guidance),
      spans: packed(this.#prose.spans),
      marks: this.#prose.marks,
      counted: { tokens: this.#tokens, kl: this.#kl, steering: this.#steering, seconds: (this.#lastAt - this.#firstAt) / 1000 },
      problem: this.problem,
    };
  }

  /** One that was kept. @param {Record} record @param {() => void} retry */
  static of(record, retry) {
    const view = new AnswerView();
    view.guidance = record.guidance;
    view.weights = record.weights;
    view.seed = record.seed;
    view.problem = record.problem;
    view.#tokens = record.counted.tokens;
    view.#kl = record.counted.kl;
    view.#steering = record.counted.steering;
    view.#lastAt = record.counted.seconds * 1000;
    view.#think(record.reasoning);
    view.#prose.add(spansOf(record));
    view.#prose.marks = record.marks;
    if (record.problem) view.trouble.replaceChildren(problemBox(record.problem, retry));
    view.#become(record.state === "running" ? "stopped" : record.state); // the page was left while it was written
    view.#draw();
    return view;
  }

  /** @param {AnswerView["state"]} state */
  #become(state) {
    this.state = state;
    this.element.dataset.state = state;
    this.dispatchEvent(new Event("change"));
  }

  /** @param {Piece} piece */
  #take(piece) {
    const now = performance.now();
    const brings = piece.text || piece.reasoning || piece.tokens.length;
    this.#firstAt ||= now;
    if (piece.usage) this.#tokens = piece.usage.completion_tokens;
    else if (brings) this.#tokens += Math.max(1, piece.tokens.length);
    if (brings) this.#lastAt = now;
    for (const report of piece.tokens) {
      this.#kl += klOf(report);
      this.#steering += report.steering_nats;
    }
    this.guidance = piece.guidance ?? this.guidance;
    this.weights = piece.change?.weights ?? piece.guidance?.weights ?? this.weights;
    if (piece.change) this.mark(inWords(piece.change.weights));
    this.#read(piece);
    this.#drawSoon();
  }

  /** Reports go to the text that they came with, be it reasoning or answer. @param {Piece} piece */
  #read({ text, reasoning = "", tokens }) {
    let waiting = [...this.#waiting, ...tokens];
    if (reasoning) waiting = matchTokens(waiting, reasoning).waiting;
    this.#think(reasoning);
    if (text && this.reasoning && this.text === "") waiting = fromTextOn(waiting, text);
    const matched = matchTokens(waiting, text);
    this.#waiting = matched.waiting;
    if (matched.spans.length > 0) this.#prose.add(matched.spans);
  }

  /** @param {string} more */
  #think(more) {
    this.reasoning += more;
    this.#undrawn += more;
  }

  /** Marks a place in the text; what the mark says is not part of it. @param {string} said */
  mark(said) {
    this.#prose.mark(said);
    this.#drawSoon();
  }

  #drawSoon() {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#prose.draw();
    if (this.#undrawn) this.#thoughts.add(this.#undrawn);
    this.#undrawn = "";
    this.thinking.hidden = this.reasoning === "";
    this.readout.show({
      tokens: this.#tokens,
      seconds: (this.#lastAt - this.#firstAt) / 1000,
      seed: this.seed,
      stopped: this.state === "stopped",
      kl: this.#kl,
      steering: this.#steering,
      guidance: this.guidance,
    });
    this.copy.hidden = this.text === "";
    this.dispatchEvent(new Event("change"));
  }
}

/** Reports that cannot be read are left out: the text is what counts. @param {Record} record */
function spansOf({ text, spans }) {
  try {
    const found = spans ? unpacked(spans) : [];
    if (found.map((span) => span.text).join("") === text) return found;
  } catch (error) {
    console.info("the token reports of a kept answer cannot be read", error);
  }
  return [{ text, reports: [] }];
}
