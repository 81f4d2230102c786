/** What the trade-off will look like, before anything is drawn: made up, marked as such, with the chosen names. */

import { chart } from "./chart.js";
import { h } from "../dom.js";

const SHAPE = [
  { x: -0.1, y: 0, part: null },
  { x: 1.1, y: 0.1, part: [1, 0] },
  { x: 0.85, y: 0.65, part: [0.5, 0.5] },
  { x: 0.15, y: 1.05, part: [0, 1] },
];
const SPREAD = [
  { x: 0.12, y: 0.05 },
  { x: -0.1, y: 0.09 },
  { x: -0.02, y: -0.14 },
];

/** @param {string} x @param {string} y @param {number} room */
export function sketch(x, y, room) {
  const points = SHAPE.map(({ part, ...mean }) => ({
    label: part === null ? "not steered" : part[0] === part[1] ? "half and half" : `all ${part[0] ? x : y}`,
    samples: SPREAD.map((off) => ({ x: mean.x + off.x, y: mean.y + off.y })),
    mean,
    interval: { x: 0.16, y: 0.16 },
    kl: null,
    base: part === null,
  }));
  const said = `A made-up example: ${y} against ${x}, with four points.`;
  const caption =
    `A made-up example of what "Draw" makes. Small dots are single answers, rings the means of a mixture of weights, ` +
    `bars how sure those are. From right to top left, ${x} is given up for ${y}.`;
  return h(
    "figure",
    { class: "chart sketch" },
    chart(points, { x, y }, said, room),
    h("figcaption", {}, h("strong", {}, "Nothing is drawn yet. "), caption),
  );
}
