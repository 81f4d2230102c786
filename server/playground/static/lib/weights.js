/**
 * `<mavis-weights server="http://127.0.0.1:8000">`: a slider for every objective that the server has.
 *
 * Give it `server` and it asks for itself, or set `.objectives` to a list as `/v1/objectives` answers. `.weights` is
 * the map that a request takes; `input` and `change` bubble from the sliders; a form sees the map as JSON.
 * Attributes `curve` and `compact` go to each slider; parts are the sliders' own. `reach` keeps each within so much of
 * zero, without stretching, unless its weight or what the server allows lies beyond.
 */

import { Mavis } from "./client.js";
import "./slider.js";

/** @typedef {import("./client.js").Objective} Objective */
/** @typedef {import("./slider.js").MavisSlider} MavisSlider */

const sheet = new CSSStyleSheet();
sheet.replaceSync(":host { display: grid; gap: var(--mavis-gap, 1.1rem); } :host([hidden]) { display: none; }");

export class MavisWeights extends HTMLElement {
  static formAssociated = true;
  static observedAttributes = ["server", "reach"];

  #internals = this.attachInternals();
  #root = this.attachShadow({ mode: "open", delegatesFocus: true });
  /** @type {Objective[]} */
  #objectives = [];

  constructor() {
    super();
    this.#root.adoptedStyleSheets = [sheet];
    this.#root.addEventListener("input", () => this.#tellForm());
    this.#root.addEventListener("change", () => this.#tellForm());
  }

  /** @param {string} name @param {string | null} old @param {string | null} now */
  async attributeChangedCallback(name, old, now) {
    if (name === "reach" && now !== old) this.objectives = this.#objectives;
    if (name !== "server" || now === null) return;
    try {
      this.objectives = await new Mavis({ baseURL: new URL(now || ".", document.baseURI) }).objectives();
    } catch (error) {
      this.dispatchEvent(new ErrorEvent("error", { error, message: String(error) }));
    }
  }

  get objectives() {
    return this.#objectives;
  }

  set objectives(objectives) {
    const weights = this.weights;
    this.#objectives = objectives;
    this.#root.replaceChildren(...objectives.map((objective) => this.#slider(objective)));
    this.weights = weights;
  }

  /** Every objective's weight, zeros too: the value of one that is loaded is reported even where it does not steer. */
  get weights() {
    return Object.fromEntries(this.#sliders.map((slider) => [slider.objective, slider.value]));
  }

  set weights(weights) {
    this.#sliders.forEach((slider, i) => {
      const weight = weights[slider.objective] ?? 0;
      if (weight < slider.min || weight > slider.max) this.#stretch(slider, this.#objectives[i].weight_range);
      slider.value = weight;
    });
    this.#tellForm();
  }

  /** The keyboard to the slider of an objective. @param {string} objective */
  focusOn(objective) {
    this.#sliders.find((slider) => slider.objective === objective)?.focus();
  }

  get name() {
    return this.getAttribute("name") ?? "objective_weights";
  }

  get #sliders() {
    return /** @type {MavisSlider[]} */ ([...this.#root.querySelectorAll("mavis-slider")]);
  }

  #tellForm() {
    const field = new FormData();
    field.set(this.name, JSON.stringify(this.weights));
    this.#internals.setFormValue(field);
  }

  /** Within reach of zero, where anything is. @param {MavisSlider} slider @param {[number, number]} allowed */
  #limit(slider, [min, max]) {
    const reach = Number(this.getAttribute("reach")) || Infinity;
    const [low, high] = [Math.max(min, -reach), Math.min(max, reach)];
    this.#stretch(slider, low < high ? [low, high] : [min, max]);
  }

  /** @param {MavisSlider} slider @param {[number, number]} range */
  #stretch(slider, [min, max]) {
    const isShort = Math.max(-min, max) <= Number(this.getAttribute("reach"));
    const range = { min, max, curve: this.getAttribute("curve") ?? (isShort ? 1 : 3) };
    for (const [key, value] of Object.entries(range)) slider.setAttribute(key, String(value));
  }

  /** @param {Objective} objective */
  #slider({ name, description, weight_range }) {
    const slider = document.createElement("mavis-slider");
    const compact = this.hasAttribute("compact");
    for (const key of ["objective", "label"]) slider.setAttribute(key, name);
    this.#limit(slider, weight_range);
    if (compact) slider.setAttribute("compact", "");
    else slider.setAttribute("description", description);
    slider.setAttribute(
      "exportparts",
      "head, label, value, track, rail, negative, fill, zero, thumb, scale, said, description",
    );
    return slider;
  }
}

customElements.define("mavis-weights", MavisWeights);
