/**
 * `<mavis-slider objective="cheerful" min="-16" max="16" value="0">`: the weight of one objective.
 *
 * Attributes: objective (also the form's field name), label, description, min, max, value, step, curve, compact,
 * disabled. Events as a native range's: `input` while it moves, `change` when it has. A form sees the number.
 * Keys: arrows one step, PageUp and PageDown by 1, Home and End the ends, 0 and Delete back to zero; a double click
 * does the same. A range of one number is a slider that is held there, and says so. Not `<input type="range">`: that one can neither mark its negative half nor stretch around zero
 * and still tell assistive technology the true value.
 */

import { toFraction, toValue, zeroFraction } from "./curve.js";
import { sliderSheet } from "./slider_style.js";

const MARKUP = `
  <div part="head"><span part="label"></span><input part="value" type="number" step="any"></div>
  <div part="track">
    <div part="rail"><div part="negative"></div></div><div part="fill"></div><div part="zero"></div>
    <div part="thumb" role="slider" tabindex="0"></div>
  </div>
  <div part="scale" aria-hidden="true"><span></span><span></span><span></span></div>
  <p part="said" role="status"></p>
  <p part="description"></p>`;

export class MavisSlider extends HTMLElement {
  static formAssociated = true;
  static observedAttributes = ["objective", "label", "description", "min", "max", "value", "step", "curve", "disabled"];

  #internals = this.attachInternals();
  #value = 0;
  #said = "";
  #root = this.attachShadow({ mode: "open", delegatesFocus: true });

  constructor() {
    super();
    this.#root.adoptedStyleSheets = [sliderSheet];
    this.#root.innerHTML = MARKUP; // a constant; everything that varies is set as text below
    const thumb = this.#part("thumb");
    const track = this.#part("track");
    const exact = /** @type {HTMLInputElement} */ (this.#part("value"));
    thumb.addEventListener("keydown", (event) => this.#onKey(event));
    track.addEventListener("pointerdown", (event) => this.#onPointer(event));
    track.addEventListener("dblclick", () => this.#choose(0, "change"));
    exact.addEventListener("input", (event) => event.stopPropagation()); // half-typed numbers are nobody's business
    exact.addEventListener("change", (event) => {
      event.stopPropagation();
      this.#typed(exact);
    });
  }

  connectedCallback() {
    this.#render();
  }

  /** @param {string} name @param {string | null} _old @param {string | null} now */
  attributeChangedCallback(name, _old, now) {
    if (name === "value") this.#value = this.#bounded(Number(now) || 0);
    if (this.isConnected) this.#render();
  }

  /** The thumb, and not the number in front of it. @param {FocusOptions} [options] */
  focus(options) {
    this.#part("thumb").focus(options);
  }

  get objective() {
    return this.getAttribute("objective") ?? "";
  }

  get min() {
    return this.#number("min", -16);
  }

  get max() {
    return this.#number("max", 16);
  }

  get step() {
    return this.#number("step", 0.1);
  }

  get value() {
    return this.#value;
  }

  set value(value) {
    this.#value = this.#bounded(Number(value) || 0);
    this.#render();
  }

  /** The form's own reset. */
  formResetCallback() {
    this.value = Number(this.getAttribute("value")) || 0;
  }

  /** @param {string} name @param {number} otherwise */
  #number(name, otherwise) {
    const given = this.getAttribute(name);
    const number = Number(given);
    return given === null || given === "" || !Number.isFinite(number) ? otherwise : number;
  }

  get #track() {
    return { min: this.min, max: this.max, curve: this.#number("curve", 1) };
  }

  /** @param {number} value */
  #bounded(value) {
    return Math.min(this.max, Math.max(this.min, Number(value.toFixed(4))));
  }

  /** @param {string} name @returns {HTMLElement} */
  #part(name) {
    return /** @type {HTMLElement} */ (this.#root.querySelector(`[part=${name}]`));
  }

  get #isFixed() {
    return this.min === this.max;
  }

  /** What is no number changes nothing; what is out of range becomes the nearest; both are said. @param {HTMLInputElement} exact */
  #typed({ value, valueAsNumber, validity }) {
    const { min, max } = this;
    if (!validity.badInput) this.#choose(value === "" ? 0 : valueAsNumber, "change");
    if (validity.badInput) this.#said = `Not a number: still ${signed(this.#value)}.`;
    else if (valueAsNumber < min || valueAsNumber > max)
      this.#said = `${signed(valueAsNumber)} is out of range: ${signed(min)} to ${signed(max)} here.`;
    this.#render();
  }

  /** @param {number} value @param {"input" | "change"} last */
  #choose(value, last) {
    const before = this.#value;
    this.#said = "";
    this.value = value;
    if (this.#value !== before) this.#tell("input");
    if (last === "change") this.#tell("change");
  }

  /** @param {string} name */
  #tell(name) {
    this.dispatchEvent(new Event(name, { bubbles: true, composed: true }));
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { step } = this;
    const targets = /** @type {Record<string, number>} */ ({
      ArrowRight: this.#value + step,
      ArrowUp: this.#value + step,
      ArrowLeft: this.#value - step,
      ArrowDown: this.#value - step,
      PageUp: this.#value + Math.max(1, step),
      PageDown: this.#value - Math.max(1, step),
      Home: this.min,
      End: this.max,
      0: 0,
      Delete: 0,
      Backspace: 0,
    });
    if (!(event.key in targets)) return;
    event.preventDefault();
    this.#choose(targets[event.key], "change");
  }

  /** @param {PointerEvent} event */
  #onPointer(event) {
    if (event.button !== 0 || this.#isFixed) return;
    const track = this.#part("track");
    const before = this.#value;
    const move = (/** @type {PointerEvent} */ at) => this.#choose(this.#valueAt(at.clientX), "input");
    const end = () => {
      track.removeEventListener("pointermove", move);
      if (this.#value !== before) this.#tell("change");
    };
    track.setPointerCapture(event.pointerId);
    track.addEventListener("pointermove", move);
    track.addEventListener("lostpointercapture", end, { once: true });
    if (event.target !== this.#part("thumb")) move(event); // grabbing the thumb must not nudge it
    this.#part("thumb").focus();
    event.preventDefault();
  }

  /** Steps under the pointer, and zero is a little sticky. @param {number} x */
  #valueAt(x) {
    const box = this.#part("track").getBoundingClientRect();
    const fraction = Math.min(1, Math.max(0, (x - box.left) / box.width));
    if (Math.abs(fraction - zeroFraction(this.#track)) < 0.02) return 0;
    return Math.round(toValue(fraction, this.#track) / this.step) * this.step;
  }

  #render() {
    const { min, max } = this;
    const value = this.#value;
    const label = this.getAttribute("label") ?? this.objective;
    const isOff = this.hasAttribute("disabled") || this.#isFixed;
    this.style.setProperty("--at", String(toFraction(value, this.#track)));
    this.style.setProperty("--zero", String(zeroFraction(this.#track)));
    this.dataset.sign = String(Math.sign(value));
    this.toggleAttribute("data-fixed", this.#isFixed);
    const fixed = `Held at ${signed(value)}: this server allows no other weight.`;
    this.#part("said").textContent = this.#isFixed ? fixed : this.#said;
    this.#part("label").textContent = label;
    this.#part("description").textContent = this.getAttribute("description") ?? "";
    const thumb = this.#part("thumb");
    const states = { label, valuemin: min, valuemax: max, valuenow: value, disabled: isOff };
    for (const [name, state] of Object.entries(states)) thumb.setAttribute(`aria-${name}`, String(state));
    const sense = value === 0 ? "not steered" : value < 0 ? "avoided" : "sought";
    thumb.setAttribute("aria-valuetext", `${signed(value)}, ${sense}`);
    thumb.tabIndex = isOff ? -1 : 0;
    const exact = /** @type {HTMLInputElement} */ (this.#part("value"));
    exact.setAttribute("aria-label", `${label}, exact weight`);
    exact.disabled = isOff;
    Object.assign(exact, { min: String(min), max: String(max), value: String(Number(value.toFixed(3))) });
    const ends = [`${min < 0 ? "avoid" : ""} ${min}`, min < 0 && max > 0 ? "0" : "", `${max} ${max > 0 ? "seek" : ""}`];
    this.#root.querySelectorAll("[part=scale] span").forEach((span, i) => {
      span.textContent = ends[i].replace("-", "−").trim();
    });
    const field = new FormData();
    field.set(this.name, String(value));
    this.#internals.setFormValue(field);
  }

  get name() {
    return this.getAttribute("name") ?? this.objective;
  }
}

/** With a true minus. @param {number} number */
function signed(number) {
  return String(Number(number.toFixed(3))).replace("-", "−");
}

customElements.define("mavis-slider", MavisSlider);
