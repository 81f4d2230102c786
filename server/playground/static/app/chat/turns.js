/** The turns of a conversation on the page: what was said, who says it under which weights, what can be done with it. */

import { h } from "../dom.js";
import { inWords } from "../live.js";

/** @typedef {import("./conversation.js").Turn} Turn */
/** @typedef {import("../answer.js").AnswerView} AnswerView */

/** @param {string} label @param {() => void} onclick @param {boolean} [disabled] */
export function quiet(label, onclick, disabled = false) {
  return h("button", { type: "button", class: "button quiet", onclick, disabled }, label);
}

/**
 * "2 of 3" with a way to the others, where a turn has others beside it.
 * @param {Turn} before @param {Turn} turn @param {(i: number) => void} pick @param {boolean} disabled
 */
export function versions({ next }, turn, pick, disabled) {
  const at = next.indexOf(turn);
  if (next.length < 2) return null;
  const step = (/** @type {string} */ sign, /** @type {string} */ label, /** @type {number} */ to) => {
    const button = quiet(sign, () => pick(to), disabled || to < 0 || to >= next.length);
    button.setAttribute("aria-label", label);
    return button;
  };
  return h(
    "span",
    { class: "versions" },
    step("‹", "Previous version", at - 1),
    h("span", { class: "number" }, `${at + 1} of ${next.length}`),
    step("›", "Next version", at + 1),
  );
}

/** @param {string} content @param {...(Node | null)} tools */
export function userTurn(content, ...tools) {
  return h(
    "article",
    { class: "turn user", "aria-label": "You" },
    h("div", { class: "said" }, content),
    h("div", { class: "turn-head" }, ...tools),
  );
}

/** @type {WeakMap<AnswerView, HTMLElement>} */
const articles = new WeakMap();

/** The same element for the same answer, with other tools. @param {AnswerView} view @param {...(Node | null)} tools */
export function answerTurn(view, ...tools) {
  const article = articles.get(view) ?? articleOf(view);
  articles.set(view, article);
  const [head] = article.children;
  head.replaceChildren(head.children[0], ...tools.filter((tool) => tool !== null));
  return article;
}

/** @param {AnswerView} view @returns {HTMLElement} */
function articleOf(view) {
  const who = h("span", { class: "who" }, label(view));
  view.addEventListener("change", () => {
    if (who.textContent !== label(view)) who.textContent = label(view);
  });
  return h("article", { class: "turn", "aria-label": "Answer" }, h("div", { class: "turn-head" }, who), view.element);
}

/** The weights in force, or under which it was written. @param {AnswerView} view */
function label({ state, weights }) {
  const steered = weights ? inWords(weights) : "Answer";
  return state === "running" ? `Writing · ${steered}` : steered;
}

/**
 * A message being changed, in place of the turn.
 * @param {string} content @param {{cancel: () => void, send: (text: string) => void}} actions
 */
export function editForm(content, { cancel, send }) {
  const input = h("textarea", { rows: 3, "aria-label": "Edit message" });
  input.value = content;
  const form = h(
    "form",
    { class: "edit" },
    input,
    h(
      "div",
      {},
      h("button", { type: "button", class: "button", onclick: cancel }, "Cancel"),
      h("button", { class: "button primary" }, "Send again"),
    ),
  );
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    if (input.value.trim()) send(input.value.trim());
  });
  return form;
}
