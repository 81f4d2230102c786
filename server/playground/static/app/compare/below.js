/** Says which answers of the comparison are out of sight below, and goes there. */

import { h } from "../dom.js";

export class Below {
  /** @type {Map<Element, string>} where each answer stands, its column's letter */
  #letters = new Map();
  /** @type {Set<Element>} */
  #below = new Set();

  constructor() {
    this.element = h("button", { type: "button", class: "button below", hidden: true, onclick: () => this.#go() });
    const notice = (/** @type {IntersectionObserverEntry[]} */ entries) => {
      for (const { target, isIntersecting, boundingClientRect, rootBounds } of entries) {
        const isBelow = !isIntersecting && boundingClientRect.top >= (rootBounds?.bottom ?? innerHeight) - 1;
        if (isBelow) this.#below.add(target);
        else this.#below.delete(target);
      }
      this.#show();
    };
    this.observer = new IntersectionObserver(notice, { rootMargin: "0px 0px -48px" }); // the button covers as much
  }

  /** @param {import("./columns.js").Column[]} columns */
  watch(columns) {
    this.observer.disconnect();
    this.#below.clear();
    this.#letters = new Map(columns.map(({ foot, letter }) => [foot, letter]));
    for (const answer of this.#letters.keys()) this.observer.observe(answer);
    this.#show();
  }

  #show() {
    const letters = [...this.#letters].filter(([answer]) => this.#below.has(answer)).map(([, letter]) => letter);
    this.element.hidden = letters.length === 0;
    this.element.textContent = `↓ ${letters.length > 1 ? "Answers" : "Answer"} ${letters.join(", ")} below`;
  }

  #go() {
    const next = [...this.#letters.keys()].find((answer) => this.#below.has(answer));
    next?.closest(".column")?.scrollIntoView({ block: "start" });
  }
}
