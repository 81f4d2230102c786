/** Named settings: the user's own, kept in this browser, and those that the server lists. */

import { byId, h } from "./dom.js";
import { RANGE } from "./words.js";

const KEY = "mavis.presets";

/** @typedef {import("./state.js").Settings} Settings */
/**
 * @typedef {{name: string, weights: Record<string, number>, words?: Record<string, string>, beta: number | null,
 *            maxKl: number | null}} Preset
 */

/** @returns {Preset[]} */
function stored() {
  try {
    const list = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return list.filter((/** @type {any} */ preset) => typeof preset?.name === "string" && preset.weights);
  } catch {
    return []; // not ours, or storage is off
  }
}

/** @param {Preset[]} presets */
function store(presets) {
  localStorage.setItem(KEY, JSON.stringify(presets));
}

/** @param {import("./state.js").State} state @param {import("./connection.js").Connection} connection */
export function presetList(state, connection) {
  const place = byId("presets");
  const form = byId("save-preset");

  const show = () => {
    const { settings } = state;
    const own = stored().map((preset) => ownChip(preset));
    const served = connection.serverPresets.map((id) => {
      const chosen = settings.preset === id;
      const choose = () => state.set({ preset: chosen ? null : id });
      return h("span", { class: "chip" }, button(id.slice(id.lastIndexOf(":") + 1), chosen, choose));
    });
    place.replaceChildren(...served, ...own);
    if (!place.firstChild)
      place.append(h("p", { class: "muted" }, "None yet. A preset keeps weights, beta and KL budget."));
  };

  /** @param {Preset} preset */
  const ownChip = (preset) => {
    const { name, weights, words, beta, maxKl } = preset;
    const choose = () =>
      state.set({ weights, words: { ...state.settings.words, ...words }, beta, maxKl, preset: null });
    const missing = unfit(preset, connection);
    const choice = button(name, sameAs(preset, state.settings), choose);
    choice.disabled = missing.length > 0;
    if (missing.length > 0) choice.title = `This server has no such weight of ${missing.join(", ")}`;
    const remove = () => {
      store(stored().filter((other) => other.name !== name));
      show();
    };
    return h(
      "span",
      { class: "chip" },
      choice,
      h(
        "button",
        { type: "button", class: "button remove", "aria-label": `Delete preset ${name}`, onclick: remove },
        "×",
      ),
    );
  };

  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    const name = form.elements.name.value.trim();
    if (!name) return;
    const { weights, beta, maxKl } = state.settings;
    const words = Object.fromEntries(Object.entries(state.settings.words).filter(([word]) => weights[word]));
    store([...stored().filter((other) => other.name !== name), { name, weights, words, beta, maxKl }]);
    form.reset();
    show();
  });
  state.addEventListener("change", show);
  connection.addEventListener("change", show);
  show();
}

/** @param {string} name @param {boolean} pressed @param {() => void} onclick */
function button(name, pressed, onclick) {
  return h("button", { type: "button", class: "button", "aria-pressed": String(pressed), onclick }, name);
}

/**
 * What a preset weighs and this server cannot: it was saved with another model.
 * @param {Preset} preset @param {import("./connection.js").Connection} connection
 */
function unfit({ weights, words = {} }, { status, objectives, mayDescribe }) {
  if (status !== "ready") return [];
  const fits = (/** @type {string} */ name, /** @type {number} */ weight) => {
    const [least, most] = objectives.find((each) => each.name === name)?.weight_range ?? (mayDescribe && name in words ? RANGE : [0, 0]);
    return weight >= least && weight <= most;
  };
  return Object.keys(weights).filter((name) => weights[name] !== 0 && !fits(name, weights[name]));
}

/** @param {Preset} preset @param {Settings} settings */
function sameAs({ weights, beta, maxKl }, settings) {
  const names = new Set([...Object.keys(weights), ...Object.keys(settings.weights)]);
  const equal = [...names].every((name) => (weights[name] ?? 0) === (settings.weights[name] ?? 0));
  return equal && settings.preset === null && beta === settings.beta && maxKl === settings.maxKl;
}
