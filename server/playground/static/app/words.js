/**
 * Objectives that the user describes in words: each is a slider like the server's own, and goes along with every
 * request that weighs it. Kept in the settings, so a link or a preset has them too.
 */

import { announce, byId, h } from "./dom.js";

/** @typedef {import("../lib/client.js").Objective} Objective */
/** @typedef {Record<string, string>} Words objective name -> instruction */

export const MAX_WORDS = 8; // of a request, unless the server says otherwise
export const MAX_INSTRUCTION = 500;
const MAX_NAME = 40;
const FIRST_WEIGHT = 1;
export const RANGE = /** @type {[number, number]} */ ([-4, 4]);

/** As the server describes its own. @param {Words} words @returns {Objective[]} */
export function described(words) {
  return Object.entries(words).map(([name, instruction]) => ({
    name,
    description: name === instruction ? "in your words" : instruction,
    kind: "prompted",
    recommended_beta: 1,
    weight_range: RANGE,
  }));
}

/**
 * What an instruction is called: itself, as far as a name may be long, and unlike all others.
 * @param {string} instruction @param {string[]} taken
 */
export function nameOf(instruction, taken) {
  const plain = instruction.replace(/[\s=,{}]+/g, " ").trim().replace(/\.$/, "");
  const short = plain.length > MAX_NAME ? `${plain.slice(0, MAX_NAME - 1).trimEnd()}…` : plain || "in words";
  let name = short;
  for (let i = 2; taken.includes(name); i++) name = `${short} ${i}`;
  return name;
}

/** @param {import("./state.js").State} state @param {import("./connection.js").Connection} connection */
export function ownObjectives(state, connection) {
  const opener = byId("describe");
  const form = byId("describe-form");
  const input = form.elements.instruction;
  const list = byId("described");

  const show = () => {
    const { words } = state.settings;
    connection.describe(words);
    opener.disabled = Object.keys(words).length >= MAX_WORDS;
    list.replaceChildren(
      ...Object.entries(words).map(([name, instruction]) =>
        h(
          "span",
          { class: "chip", title: instruction },
          h("span", { class: "button" }, name),
          h(
            "button",
            { type: "button", class: "button remove", "aria-label": `Remove ${name}`, onclick: () => remove(name) },
            "×",
          ),
        ),
      ),
    );
  };

  /** @param {boolean} open */
  const open = (open) => {
    form.hidden = !open;
    opener.hidden = open;
    opener.setAttribute("aria-expanded", String(open));
    (open ? input : opener).focus();
  };

  /** @param {string} name */
  const remove = (name) => {
    const { [name]: _, ...words } = state.settings.words;
    const { [name]: __, ...weights } = state.settings.weights;
    state.set({ words, weights });
    announce(`${name} is removed`);
    opener.focus();
  };

  opener.addEventListener("click", () => open(true));
  form.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    open(false);
  });
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    const instruction = input.value.trim();
    if (!instruction) return;
    const { words, weights } = state.settings;
    const name = nameOf(instruction, connection.objectiveNames);
    state.set({
      words: { ...words, [name]: instruction },
      weights: { ...weights, [name]: FIRST_WEIGHT },
      preset: null,
    });
    form.reset();
    open(false);
    announce(`${name}: a new slider, at ${FIRST_WEIGHT}`);
    connection.dispatchEvent(new CustomEvent("described", { detail: name }));
  });
  state.addEventListener("change", show);
  show();
}
