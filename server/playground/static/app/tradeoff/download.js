/** What was drawn, as files: every sample as a table, and the picture with its styles in it. */

import { h } from "../dom.js";

/** @typedef {import("./plan.js").Run} Run */

/** The buttons. @param {SVGSVGElement} picture @param {Run[]} runs @param {string} x @param {string} y */
export function files(picture, runs, x, y) {
  const name = `${y} against ${x}`;
  const button = (/** @type {string} */ label, /** @type {() => void} */ onclick) =>
    h("button", { type: "button", class: "button", onclick }, label);
  return h(
    "div",
    { class: "chips files" },
    button("Picture (SVG)", () => save(`${name}.svg`, standalone(picture), "image/svg+xml")),
    button("Samples (CSV)", () => save(`${name}.csv`, csv(runs, x, y), "text/csv")),
  );
}

/** @param {string} name @param {string} text @param {string} type */
function save(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

/** A row for each sample. @param {Run[]} runs @param {string} x @param {string} y */
function csv(runs, x, y) {
  const head = ["point", `weight of ${x}`, `weight of ${y}`, "seed", x, y, "kl_per_token", "text"];
  const rows = runs.flatMap(({ label, weights, base, samples }) =>
    samples.map(({ seed, x: across, y: up, kl, text }) => {
      const given = base ? [0, 0] : [weights[x], weights[y]].map((weight) => Number(weight.toFixed(4)));
      return [label, ...given, seed, across, up, kl, text];
    }),
  );
  return [head, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

/** @param {string | number} content */
function cell(content) {
  const text = String(content);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const LOOKS = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font", "paint-order", "text-anchor"];

/** As it looks now, for programs that know nothing of the page's styles. @param {SVGSVGElement} drawn */
function standalone(drawn) {
  const copy = /** @type {SVGSVGElement} */ (drawn.cloneNode(true));
  const [from, to] = [drawn, copy].map((root) => [root, ...root.querySelectorAll("*")]);
  from.forEach((element, i) => {
    const looks = getComputedStyle(element);
    for (const name of LOOKS) /** @type {SVGElement} */ (to[i]).style.setProperty(name, looks.getPropertyValue(name));
  });
  const paper = getComputedStyle(/** @type {Element} */ (drawn.parentElement)).backgroundColor;
  copy.style.setProperty("background", paper);
  return new XMLSerializer().serializeToString(copy);
}
