/**
 * A small "?" beside a label that says what it means: on hover, focus and touch. One tip for the page; Escape puts
 * it away, and nothing else as long as it is there.
 */

import { byId, h } from "../dom.js";
import { meaning } from "./glossary.js";

const tip = h("div", { class: "tip", id: "hint-tip", role: "tooltip", hidden: true });
byId("main").append(tip);
/** @type {HTMLElement | null} */
let shownFor = null;

/** @param {string} term of the glossary @returns {HTMLElement} */
export function hint(term) {
  const [name, text] = meaning(term);
  const button = h("button", { type: "button", class: "hint", "aria-label": `About ${name}` });
  const show = () => showTip(button, text);
  button.addEventListener("pointerenter", show);
  button.addEventListener("focus", show);
  button.addEventListener("click", show); // a touch does not focus everywhere
  button.addEventListener("pointerleave", hideTip);
  button.addEventListener("blur", hideTip);
  return button;
}

/** @param {HTMLElement} at @param {string} text */
function showTip(at, text) {
  hideTip();
  shownFor = at;
  at.setAttribute("aria-describedby", tip.id);
  tip.textContent = text;
  tip.hidden = false;
  place(at);
}

/** @param {HTMLElement} at */
function place(at) {
  const [target, box] = [at.getBoundingClientRect(), tip.getBoundingClientRect()];
  const below = target.bottom + 6;
  const fits = below + box.height < innerHeight - 8;
  tip.style.setProperty("left", `${Math.max(8, Math.min(innerWidth - box.width - 8, target.left - 12))}px`);
  tip.style.setProperty("top", `${fits ? below : Math.max(8, target.top - box.height - 6)}px`);
}

function hideTip() {
  shownFor?.removeAttribute("aria-describedby");
  shownFor = null;
  tip.hidden = true;
}

// It goes along: a label that gets the focus may scroll into sight.
document.addEventListener("scroll", () => shownFor && place(shownFor), { capture: true, passive: true });
document.addEventListener(
  "keydown",
  (event) => {
    if (event.key !== "Escape" || tip.hidden) return;
    hideTip();
    event.stopPropagation();
  },
  { capture: true },
);
