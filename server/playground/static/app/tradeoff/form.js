/** What a trade-off is asked for: the prompt, the two objectives, how many points and samples, how much weight. */

import { h } from "../dom.js";
import { hint } from "../explain/hint.js";
import { sayInvalid } from "../panel/invalid.js";

/** @typedef {import("../state.js").Settings["sweep"]} Asked */

const RANGES = {
  points: { min: 2, max: 21 },
  samples: { min: 1, max: 32 },
  scale: { min: 0.1, max: 16, step: "any" },
};
const NUMBERS = /** @type {(keyof typeof RANGES)[]} */ (Object.keys(RANGES));

export class SweepForm {
  /** @param {{onrun: () => void, onstop: () => void, oninput: () => void}} listeners */
  constructor({ onrun, onstop, oninput }) {
    this.prompt = h("textarea", { id: "sweep-prompt", rows: 1 });
    this.x = h("select", { id: "sweep-x" });
    this.y = h("select", { id: "sweep-y" });
    [this.points, this.samples, this.scale] = NUMBERS.map((name) =>
      h("input", { class: "input", id: `sweep-${name}`, type: "number", required: true, ...RANGES[name] }),
    );
    this.go = h("button", { class: "button primary" }, "Draw");
    this.stopper = h("button", { type: "button", class: "button stop", hidden: true, onclick: onstop }, "Stop");
    this.element = h(
      "form",
      { class: "sweep-form" },
      h("div", { class: "field" }, h("label", { for: "sweep-prompt" }, "Prompt"), this.prompt),
      h("div", { class: "sweep-fields" }, ...this.#fields(), this.go, this.stopper),
    );
    this.element.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      onrun();
    });
    this.element.addEventListener("input", oninput);
  }

  #fields() {
    /** @type {[string, HTMLElement, string][]} */
    const fields = [
      ["Across", this.x, "across"],
      ["Up", this.y, "up"],
      ["Points", this.points, "points"],
      ["Samples each", this.samples, "samples"],
      ["Total weight", this.scale, "scale"],
    ];
    return fields.map(([label, input, term]) => {
      const head = h("div", { class: "label" }, h("label", { for: input.id }, label), hint(term));
      return h("div", { class: "field" }, head, input);
    });
  }

  /** @param {string[]} names of objectives @param {Asked} asked @param {string} prompt */
  fill(names, asked, prompt) {
    this.prompt.value = prompt;
    for (const select of [this.x, this.y]) select.replaceChildren(...names.map((name) => h("option", {}, name)));
    this.x.value = names.includes(asked.x) ? asked.x : (names[0] ?? "");
    this.y.value = names.includes(asked.y) ? asked.y : (names[1] ?? "");
    for (const name of NUMBERS) {
      this[name].value = asked[name];
      sayInvalid(this[name], String(asked[name]));
    }
  }

  /** What is asked for now; what is out of range is said, and stays as it was. @param {Asked} before @returns {Asked} */
  read(before) {
    const [points, samples, scale] = NUMBERS.map((name) => {
      sayInvalid(this[name], String(before[name]));
      return this[name].validity.valid ? Number(this[name].value) : before[name];
    });
    return { x: this.x.value, y: this.y.value, points, samples, scale };
  }

  /** @param {boolean} isRunning @param {boolean} isReady */
  allow(isRunning, isReady) {
    this.go.hidden = isRunning;
    this.go.disabled = !isReady;
    this.stopper.hidden = !isRunning;
  }
}
