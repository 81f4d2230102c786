/** One column of the comparison: its sliders, its answer. */

import { AnswerView } from "../answer.js";
import { h } from "../dom.js";
import { offer } from "../panel/expert.js";

export class Column {
  answer = new AnswerView();

  /**
   * @param {Record<string, number>} weights
   * @param {{oninput: () => void, onremove: () => void}} listeners
   */
  constructor(weights, { oninput, onremove }) {
    this.sliders = h("mavis-weights", { compact: true });
    this.title = h("h2");
    this.removal = h("button", { type: "button", class: "button quiet", onclick: onremove }, "Remove");
    this.head = h("div", { class: "column-head" }, this.title, this.removal);
    const asks = h("p", { class: "asks" }, "Nothing yet: set the weights, then compare.");
    this.foot = h("div", { class: "column-foot" }, asks, this.answer.element);
    this.element = h("section", { class: "column" }, this.head, this.sliders, this.foot);
    this.sliders.addEventListener("input", () => {
      this.weights = this.sliders.weights;
      this.#name();
      oninput();
    });
    this.weights = weights;
    this.letter = "";
  }

  /** @param {import("../../lib/client.js").Objective[]} objectives */
  offer(objectives) {
    offer(this.sliders, objectives);
    this.sliders.weights = this.weights;
    this.#name();
  }

  /** @param {number} i @param {boolean} removable */
  place(i, removable) {
    this.letter = "ABCD"[i];
    this.removal.hidden = !removable;
    this.removal.setAttribute("aria-label", `Remove column ${this.letter}`);
    this.element.setAttribute("aria-label", `Column ${this.letter}`);
    this.#name();
  }

  /** A fresh answer in place of the last one. */
  clear() {
    const fresh = new AnswerView();
    this.answer.element.replaceWith(fresh.element);
    this.answer = fresh;
  }

  #name() {
    const plain = Object.values(this.weights).every((weight) => weight === 0);
    this.title.replaceChildren(this.letter, ...(plain ? [h("small", {}, "the model itself")] : []));
  }
}
