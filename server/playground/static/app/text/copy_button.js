/** A button that copies a text as it is when pressed, and says whether it worked. */

import { announce, h } from "../dom.js";
import { copyText } from "../dialogs.js";

const SAID_FOR = 1800; // milliseconds

/** @param {string} label to assistive technology @param {() => string} text */
export function copyButton(label, text) {
  const button = h("button", { type: "button", class: "button quiet copy", "aria-label": label }, "Copy");
  button.addEventListener("click", async () => {
    const said = (await copyText(text())) ? "Copied" : "Select and copy by hand";
    button.textContent = said;
    announce(said);
    setTimeout(() => (button.textContent = "Copy"), SAID_FOR);
  });
  return button;
}
