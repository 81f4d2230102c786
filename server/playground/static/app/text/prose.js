/**
 * The text of an answer as it grows: Markdown, cut into the tokens that it came in, with marks where the steering
 * changed. What is drawn stays; a draw adds what has come since, and costs the same in a long answer as in a short one.
 *
 * Tokens are one stop for the Tab key; arrows move between them. A token that Markdown takes away (a line end, an
 * asterisk) has no place.
 */

import { hideCard, hideLostCard, showCard } from "../card.js";
import { h } from "../dom.js";
import { klOf, shiftOf } from "../tokens.js";
import { redraw, settle } from "./drawn.js";
import { Growing } from "./growing.js";
import { placed } from "./placed.js";

/** @typedef {import("../tokens.js").Span} Span */
/** @typedef {import("./placed.js").Mark} Mark */
/** @typedef {import("./drawn.js").Drawn} Drawn */

const FULL_SHIFT = 3; // nats at which a token has its full shade
const FULL_KL = 1.5;
const AT_ONCE = 4000; // characters: a kept answer comes whole

export class Prose {
  source = "";
  /** @type {Span[]} their texts, joined, are the source */
  spans = [];
  /** @type {Mark[]} */
  marks = [];
  /** Where each span begins. @type {number[]} */
  #starts = [];
  #growing = new Growing();
  /** @type {Drawn[]} the blocks that are not settled */
  #drawn = [];
  #read = 0;
  /** @type {HTMLElement | null} */
  #tabStop = null;
  /** @type {WeakMap<Element, Span>} */
  #spanOf = new WeakMap();

  constructor() {
    this.element = h("div", { class: "answer-text", role: "group", "aria-label": "Answer, token by token" });
    this.element.addEventListener("pointerover", (/** @type {Event} */ event) => this.#show(event.target));
    this.element.addEventListener("pointerleave", hideCard);
    this.element.addEventListener("focusin", (/** @type {Event} */ event) => this.#show(event.target));
    this.element.addEventListener("focusout", hideCard);
    this.element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#onKey(event));
  }

  /** To be drawn. @param {Span[]} spans */
  add(spans) {
    for (const { text, reports } of spans) {
      const clean = text.replaceAll("\r", "");
      this.spans.push({ text: clean, reports });
      this.#starts.push(this.source.length);
      this.source += clean;
    }
  }

  /** Marks a place in the text, to be drawn; what the mark says is not part of it. @param {string} said */
  mark(said) {
    this.marks.push({ at: this.source.length, said });
  }

  draw() {
    do {
      this.#read = Math.min(this.source.length, this.#read + AT_ONCE);
      this.#drawAll(this.source.slice(0, this.#read));
    } while (this.#read < this.source.length);
    if (!this.#tabStop || !this.element.contains(this.#tabStop)) {
      this.#tabStop = this.element.querySelector(".token");
      if (this.#tabStop) this.#tabStop.tabIndex = 0;
    }
    hideLostCard();
  }

  /** @param {string} source */
  #drawAll(source) {
    const { found, blocks, parts } = this.#growing.read(source);
    const wanted = found.map((block, i) => {
      const { start, end, branch } = block;
      if (!branch) return { text: source.slice(start, end), at: null };
      const marks = this.marks.filter(({ at }) => at >= start && (at < end || i === found.length - 1));
      return placed({ ...block, branch }, source, marks);
    });
    if (source === "") wanted.push(...this.marks.map((mark) => ({ mark })));
    redraw(this.element, this.#drawn, wanted, { text: (text, at) => this.#pieces(text, at), mark: markElement });
    this.#drawn.splice(0, blocks);
    if (parts > 0) settle(this.#drawn[0], parts);
  }

  /** A text of the source, cut into tokens. @param {string} text @param {number} at @returns {import("./drawn.js").Piece[]} */
  #pieces(text, at) {
    const pieces = [];
    const end = at + text.length;
    for (let number = this.#spanAt(at); at < end; number++) {
      const spanEnd = this.#starts[number] + this.spans[number].text.length;
      const stop = Math.min(end, spanEnd);
      if (stop === at) continue;
      const node = this.#piece(this.source.slice(at, stop), this.spans[number]);
      pieces.push({ node, length: stop - at, isWhole: stop === spanEnd });
      at = stop;
    }
    return pieces;
  }

  /** The number of the last span that begins at a place in the source or before it. @param {number} place */
  #spanAt(place) {
    let [low, high] = [0, this.#starts.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.#starts[middle] <= place) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** @param {string} text @param {Span} span @returns {ChildNode} */
  #piece(text, span) {
    if (span.reports.length === 0) return document.createTextNode(text);
    const shift = shiftOf(span.reports[0]);
    const kl = Math.max(...span.reports.map(klOf));
    const element = h("span", { class: `token ${shift < 0 ? "down" : "up"}`, tabindex: -1 }, text);
    const shares = [Math.abs(shift) / FULL_SHIFT, kl / FULL_KL].map((share) => Math.min(1, share).toFixed(3));
    element.style.cssText = `--shift:${shares[0]};--kl:${shares[1]}`;
    this.#spanOf.set(element, span);
    return element;
  }

  /** @param {EventTarget | null} target */
  #show(target) {
    const found = this.#spanOf.get(/** @type {Element} */ (target));
    if (found) showCard(/** @type {HTMLElement} */ (target), found.text, found.reports);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const all = /** @type {HTMLElement[]} */ ([...this.element.querySelectorAll(".token")]);
    const at = all.indexOf(/** @type {HTMLElement} */ (event.target));
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined || !all[to]) return;
    event.preventDefault();
    all[at].tabIndex = -1;
    this.#tabStop = all[to];
    all[to].tabIndex = 0;
    all[to].focus();
  }
}

/** @param {Mark} mark */
function markElement({ said }) {
  return h("span", { class: "change", role: "note", "aria-label": `From here on: ${said}`, "data-said": said });
}
