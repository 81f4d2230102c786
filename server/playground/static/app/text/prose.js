/**
 * The text of an answer as it grows: Markdown, cut into the tokens that it came in, with marks where the steering
 * changed. It is drawn once per frame; only blocks that may have changed are made anew.
 *
 * Tokens are one stop for the Tab key; arrows move between them. A token that Markdown takes away (a line end, an
 * asterisk) has no place.
 */

import { hideCard, hideLostCard, showCard } from "../card.js";
import { h } from "../dom.js";
import { klOf, shiftOf } from "../tokens.js";
import { blocks } from "./markdown.js";
import { placed } from "./placed.js";

/** @typedef {import("../tokens.js").Span} Span */
/** @typedef {{at: number, said: string}} Mark before the character number `at` of the source */

const FULL_SHIFT = 3; // nats at which a token has its full shade
const FULL_KL = 1.5;

export class Prose {
  source = "";
  /** @type {Span[]} their texts, joined, are the source */
  spans = [];
  /** @type {Mark[]} */
  marks = [];
  /** @type {{raw: string, element: HTMLElement | null, last: boolean}[]} */
  #drawn = [];
  #frame = 0;
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

  /** @param {Span[]} spans */
  add(spans) {
    for (const { text, reports } of spans) {
      const clean = text.replaceAll("\r", "");
      this.spans.push({ text: clean, reports });
      this.source += clean;
    }
    this.#drawSoon();
  }

  /** Marks a place in the text; what the mark says is not part of it. @param {string} said */
  mark(said) {
    this.marks.push({ at: this.source.length, said });
    this.#drawSoon();
  }

  #drawSoon() {
    this.#frame ||= requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const found = blocks(this.source);
    const same = found.findIndex(({ raw }, i) => raw !== this.#drawn[i]?.raw || this.#drawn[i].last);
    const keep = same < 0 ? found.length : same;
    const kept = this.#drawn.slice(0, keep);
    let at = kept.reduce((sum, { raw }) => sum + raw.length, 0);
    const fresh = found.slice(keep).map(({ raw, element }, i) => {
      const last = keep + i === found.length - 1;
      const made = element();
      if (made) this.#dress(made, at, at + raw.length, last);
      at += raw.length;
      return { raw, element: made, last };
    });
    this.#drawn = [...kept, ...fresh];
    const children = this.#drawn.map(({ element, raw }) => element ?? document.createTextNode(raw));
    while (this.element.childNodes.length > keep) this.element.lastChild?.remove();
    this.element.append(...children.slice(keep));
    if (this.source === "" && this.marks.length > 0) this.element.append(...this.marks.map(markElement));
    const first = this.element.querySelector(".token");
    if (first && !this.element.querySelector('.token[tabindex="0"]')) /** @type {HTMLElement} */ (first).tabIndex = 0;
    hideLostCard();
  }

  /**
   * Puts tokens and marks into a block that shows the source from `start` to `end`.
   * @param {HTMLElement} block @param {number} start @param {number} end @param {boolean} last
   */
  #dress(block, start, end, last) {
    const marks = this.marks.filter(({ at }) => at >= start && (at < end || last));
    let [number, from] = this.#spanAt(start);
    /** @type {Node} */
    let tail = block;
    for (const { node, at, length } of placed(block, this.source, start, end)) {
      /** @type {Node[]} */
      const pieces = [];
      for (let done = at; done < at + length; ) {
        while (number < this.spans.length && from + this.spans[number].text.length <= done) from += this.spans[number++].text.length;
        while (marks[0]?.at <= done) pieces.push(markElement(/** @type {Mark} */ (marks.shift())));
        const stop = Math.min(at + length, from + this.spans[number].text.length, marks[0]?.at ?? Infinity);
        pieces.push(this.#piece(this.source.slice(done, stop), this.spans[number]));
        done = stop;
      }
      tail = /** @type {Node} */ (node.parentNode);
      node.replaceWith(...pieces);
    }
    /** @type {HTMLElement} */ (tail).append(...marks.map(markElement));
  }

  /** The span at a place in the source, and where it begins. @param {number} place @returns {[number, number]} */
  #spanAt(place) {
    let from = 0;
    let number = 0;
    while (number < this.spans.length && from + this.spans[number].text.length <= place) from += this.spans[number++].text.length;
    return [number, from];
  }

  /** @param {string} text @param {Span} span @returns {Node} */
  #piece(text, span) {
    if (span.reports.length === 0) return document.createTextNode(text);
    const shift = shiftOf(span.reports[0]);
    const kl = Math.max(...span.reports.map(klOf));
    const element = h("span", { class: `token ${shift < 0 ? "down" : "up"}`, tabindex: -1 }, text);
    element.style.setProperty("--shift", Math.min(1, Math.abs(shift) / FULL_SHIFT).toFixed(3));
    element.style.setProperty("--kl", Math.min(1, kl / FULL_KL).toFixed(3));
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
    all[to].tabIndex = 0;
    all[to].focus();
  }
}

/** @param {Mark} mark */
function markElement({ said }) {
  return h("span", { class: "change", role: "note", "aria-label": `From here on: ${said}`, "data-said": said });
}
