/** Says under a number's field what is wrong with it, and what holds instead. The browser decides what is wrong. */

import { announce, h } from "../dom.js";

/** @param {HTMLInputElement} input @param {string} kept what is used as long as it is wrong */
export function sayInvalid(input, kept) {
  const id = `${input.id}-wrong`;
  const said = document.getElementById(id);
  if (input.validity.valid) {
    said?.remove();
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
    return;
  }
  const text = `${what(input)} Still ${kept}.`;
  if (said?.textContent === text) return;
  const place = said ?? h("p", { class: "wrong", id });
  place.textContent = text;
  input.after(place);
  input.setAttribute("aria-invalid", "true");
  input.setAttribute("aria-describedby", id);
  announce(text);
}

/** @param {HTMLInputElement} input */
function what({ validity, min, max }) {
  if (validity.badInput) return "This is not a number.";
  if (validity.valueMissing) return `A number from ${min} to ${max}, please.`;
  if (validity.stepMismatch) return "A whole number, please.";
  return `From ${min} to ${max}.`;
}
