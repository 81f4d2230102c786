/** What the shading means, and which of its two meanings is on. One per view; all show the same choice. */

import { h } from "./dom.js";
import { hint } from "./explain/hint.js";

const KINDS = { shift: "likelier by steering", kl: "KL at this token", off: "off" };
const ENDS = { shift: ["less", "more"], kl: ["0", "1.5 nats"], off: ["", ""] };

/** @returns {HTMLElement} */
export function legend() {
  const select = h(
    "select",
    { "aria-label": "Shade tokens by" },
    ...Object.entries(KINDS).map(([value, label]) => h("option", { value }, label)),
  );
  const [low, high] = [h("span"), h("span")];
  const ramp = h("span", { class: "ramp", "aria-hidden": "true" });
  const show = () => {
    const kind = /** @type {keyof typeof KINDS} */ (document.body.dataset.shade);
    select.value = kind;
    ramp.dataset.kind = kind;
    [low.textContent, high.textContent] = ENDS[kind];
  };
  select.addEventListener("change", () => {
    document.body.dataset.shade = select.value;
    document.dispatchEvent(new Event("shade"));
  });
  document.addEventListener("shade", show);
  show();
  const label = h("span", {}, "Shade:");
  return h("div", { class: "legend needs-objectives" }, label, select, low, ramp, high, hint("shade"));
}
