/** In place of a view that has too few objectives: what it needs, and the ways to get there. */

import { byId, h } from "../dom.js";
import { openSheet } from "../panel/sheet.js";

const WAYS = [
  ["Objectives in words, which come with the server or are your own file:", "mavis serve --objectives shipped"],
  ["Values, which the server loads from a folder:", "mavis serve --values path/to/values"],
  ["Values of your own, trained on your rewards:", "mavis train --help"],
];

/**
 * @param {string} title
 * @param {string[]} names of the objectives that are there
 * @param {import("../state.js").State} state
 */
export function needs(title, names, state) {
  const there = names.length ? `There is only ${names.join(", ")}.` : "There is none yet.";
  const describe = () => {
    state.set({ view: "chat" });
    openSheet();
    byId("describe").click();
  };
  return h(
    "section",
    { class: "needs" },
    h("h2", {}, title),
    h("p", {}, there),
    h("p", { class: "needs-words" }, "The quickest way is to say in a sentence what answers should be like."),
    h("button", { type: "button", class: "button primary needs-words", onclick: describe }, "Describe one now"),
    h("p", {}, "Whoever runs the server can start it with more; docs/values.md and docs/training.md say how:"),
    h("dl", {}, ...WAYS.flatMap(([what, how]) => [h("dt", {}, what), h("dd", {}, h("code", {}, how))])),
  );
}
