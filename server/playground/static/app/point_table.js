/** The points of a sweep as a table: the same as the chart, to be read. */

import { fixed, h } from "./dom.js";
import { summary } from "./plan.js";

/** @typedef {import("./plan.js").Run} Run */

/** @param {Run[]} runs @param {string} x @param {string} y */
export function pointTable(runs, x, y) {
  const head = ["weights", x, y, "KL/token"].map((name) => h("th", { scope: "col" }, name));
  const rows = runs.map(({ label, samples }) => {
    const { mean, error, kl } = summary(samples);
    const within = (/** @type {"x" | "y"} */ key) =>
      samples.length > 1 ? `${fixed(mean[key], 2)} ± ${fixed(error[key], 2)}` : fixed(mean[key], 2);
    const cells = [label, within("x"), within("y"), fixed(kl, 2)].map((text) => h("td", {}, text));
    return h("tr", {}, ...cells, h("td", { class: "text" }, samples[0].text));
  });
  const heading = h("tr", {}, ...head, h("th", { scope: "col", class: "text" }, "for example"));
  const title = h("caption", {}, `In numbers: ${counts(runs)}`);
  return h(
    "div",
    { class: "table-wrap", tabindex: 0, role: "region", "aria-label": "The points as a table" },
    h("table", {}, title, h("thead", {}, heading), h("tbody", {}, ...rows)),
  );
}

/** @param {Run[]} runs */
function counts(runs) {
  const least = Math.min(...runs.map(({ samples }) => samples.length));
  const most = Math.max(...runs.map(({ samples }) => samples.length));
  return `${least === most ? most : `${least} to ${most}`} ${most === 1 ? "sample" : "samples"} each`;
}
