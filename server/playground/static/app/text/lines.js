/** Plain text that grows at its end, an element to a line: what is above the last line is not laid out again. */

import { h } from "../dom.js";

export class Lines {
  /** @type {Text | null} of the last line */
  #last = null;

  constructor() {
    this.element = h("div", { class: "thoughts" });
  }

  /** @param {string} text */
  add(text) {
    const [first, ...more] = text.split(/(?<=\n)/);
    const line = this.#last;
    if (line && !line.data.endsWith("\n")) line.appendData(first);
    else more.unshift(first);
    for (const data of more) {
      this.#last = document.createTextNode(data);
      this.element.append(h("div", {}, this.#last));
    }
  }
}
