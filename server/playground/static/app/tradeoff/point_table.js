/**
 * The points of a sweep as a table: the same as the chart, to be read. Roles are spelt out because the styles make
 * blocks of its rows on a phone, and a table that is not laid out as one is none to assistive technology.
 */

import { fixed, h } from "../dom.js";
import { summary } from "./plan.js";

/** @typedef {import("./plan.js").Run} Run */

/** @param {Run[]} runs @param {string} x @param {string} y */
export function pointTable(runs, x, y) {
  const names = ["weights", x, y, "KL/token"];
  const head = names.map((name) => h("th", { scope: "col", role: "columnheader" }, name));
  const rows = runs.map(({ label, samples }) => {
    const { mean, interval, kl } = summary(samples);
    const within = (/** @type {"x" | "y"} */ key) =>
      interval ? `${fixed(mean[key], 2)} ± ${fixed(interval[key], 2)}` : fixed(mean[key], 2);
    const figures = [label, within("x"), within("y"), fixed(kl, 2)];
    const cells = figures.map((text, i) => h("td", { role: "cell", "data-name": names[i] }, text));
    return h("tr", { role: "row" }, ...cells, h("td", { class: "text", role: "cell" }, samples[0].text));
  });
  const example = h("th", { scope: "col", role: "columnheader", class: "text" }, "for example");
  const groups = [[h("tr", { role: "row" }, ...head, example)], rows];
  const [heading, body] = groups.map((group, i) => h(i ? "tbody" : "thead", { role: "rowgroup" }, ...group));
  const title = h("caption", {}, `In numbers: ${counts(runs)}`);
  return h(
    "div",
    { class: "table-wrap", tabindex: 0, role: "region", "aria-label": "The points as a table" },
    h("table", { role: "table" }, title, heading, body),
  );
}

/** @param {Run[]} runs */
function counts(runs) {
  const least = Math.min(...runs.map(({ samples }) => samples.length));
  const most = Math.max(...runs.map(({ samples }) => samples.length));
  return `${least === most ? most : `${least} to ${most}`} ${most === 1 ? "sample" : "samples"} each`;
}
