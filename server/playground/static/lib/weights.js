/**
 * `<mavis-weights server="http://127.0.0.1:8000">`: a slider for every objective that the server has.
 *
 * Give it `server` and it asks for itself, or set `.objectives` to a list as `/v1/objectives` answers. `.weights` is
 * the map that a request takes; `input` and `change` bubble from the sliders; a form sees the map as JSON.
 * Attributes `curve` and `compact` go to each slider; parts are the sliders' own.
 */

import { Mavis } from "./client.js";
import "./slider.js";

/** @typedef {import("./client.js").Objective} Objective */
/** @typedef {import("./slider.js").MavisSlider} MavisSlider */

const sheet = new CSSStyleSheet();
sheet.replaceSync(":host { display: grid; gap: var(--mavis-gap, 1.1rem); } :host([hidden]) { display: none; }");

export class MavisWeights extends HTMLElement {
  static formAssociated = true;
  static observedAttributes = ["server"];

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

  /** @param {string} _name @param {string | null} _old @param {string | null} server */
  async attributeChangedCallback(_name, _old, server) {
    if (server === null) return;
    try {
      this.objectives = await new Mavis({ baseURL: new URL(server || ".", document.baseURI) }).objectives();
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
    for (const slider of this.#sliders) slider.value = weights[slider.objective] ?? 0;
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

  /** @param {Objective} objective */
  #slider({ name, description, weight_range: [min, max] }) {
    const slider = document.createElement("mavis-slider");
    const compact = this.hasAttribute("compact");
    const given = { objective: name, label: name, min, max, curve: this.getAttribute("curve") ?? 3 };
    for (const [key, value] of Object.entries(given)) slider.setAttribute(key, String(value));
    if (compact) slider.setAttribute("compact", "");
    else slider.setAttribute("description", description);
    slider.setAttribute(
      "exportparts",
      "head, label, value, track, rail, negative, fill, zero, thumb, scale, description",
    );
    return slider;
  }
}

customElements.define("mavis-weights", MavisWeights);
