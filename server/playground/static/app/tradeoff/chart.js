/**
 * The trade-off as a picture: faint samples, their means, and bars for the 95 % intervals of those. No line joins the
 * means: from a few samples it would cross itself and say nothing. A bar that is longer than the samples lie apart
 * ends at the picture's edge.
 */

import { fixed, shown, svg } from "../dom.js";
import { placed } from "./labels.js";
import { scale } from "./scale.js";

const NARROWEST = 320;
const WIDEST = 640;

/**
 * @typedef {import("./scale.js").Scale} Scale
 * @typedef {{x: number, y: number}} XY
 * @typedef {{label: string, samples: XY[], mean: XY, interval: XY | null, kl: number | null, base: boolean}} Point
 * @typedef {import("./labels.js").Box} Box
 */

/**
 * @param {Point[]} points
 * @param {{x: string, y: string}} names of the axes
 * @param {string} summary for those who cannot see it
 * @param {number} room its width on the page in pixels, so that letters have their size on a phone too
 */
export function chart(points, names, summary, room) {
  const width = Math.max(NARROWEST, Math.min(WIDEST, room));
  const height = Math.round(Math.max(320, width * 0.72));
  const box = { left: 62, right: width - 14, top: 14, bottom: height - 56 };
  const all = points.flatMap(({ samples, mean }) => [...samples, mean]);
  const x = scale(all.map((at) => at.x), box.left, box.right, width / 105);
  const y = scale(all.map((at) => at.y), box.bottom, box.top);
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": summary },
    ...grid(x, y, box),
    ...axes(names, box, height),
    ...points.flatMap(({ samples }) =>
      samples.map((at) => svg("circle", { class: "sample", cx: x.at(at.x), cy: y.at(at.y), r: 3.5 })),
    ),
    ...points.flatMap((point) => mark(point, x, y)),
    ...labels(points, x, y, box),
  );
}

/** @param {Point[]} points @param {Scale} x @param {Scale} y @param {Box} frame */
function labels(points, x, y, frame) {
  const dots = points.map(({ label, mean }) => ({ text: label, x: x.at(mean.x), y: y.at(mean.y) }));
  return placed(dots, frame).flatMap(({ text, at, anchor, from }) => {
    const words = svg("text", { class: "point-label", x: at.x, y: at.y, "text-anchor": anchor }, text);
    if (!from) return [words];
    const dot = /** @type {XY} */ (dots.find((other) => other.text === text));
    return [svg("line", { class: "leader", x1: dot.x, y1: dot.y, x2: from.x, y2: from.y }), words];
  });
}

/** @param {Point} point @param {Scale} x @param {Scale} y */
function mark({ label, mean, interval, kl, base }, x, y) {
  const [cx, cy] = [x.at(mean.x), y.at(mean.y)];
  const bars = interval
    ? [
        svg("line", { class: "whisker", x1: x.at(mean.x - interval.x), x2: x.at(mean.x + interval.x), y1: cy, y2: cy }),
        svg("line", { class: "whisker", x1: cx, x2: cx, y1: y.at(mean.y - interval.y), y2: y.at(mean.y + interval.y) }),
      ]
    : [];
  const title = kl === null ? label : `${label}: ${fixed(kl, 2)} nats per token`;
  return [...bars, svg("circle", { class: base ? "point base" : "point", cx, cy, r: 6 }, svg("title", {}, title))];
}

/** @param {{x: string, y: string}} names @param {Box} box @param {number} height */
function axes(names, box, height) {
  const middle = (box.top + box.bottom) / 2;
  const place = { class: "axis-label", "text-anchor": "middle" };
  return [
    svg("text", { ...place, x: (box.left + box.right) / 2, y: height - 8 }, names.x),
    svg("text", { ...place, transform: `translate(15 ${middle}) rotate(-90)` }, names.y),
  ];
}

/** @param {Scale} x @param {Scale} y @param {Box} box */
function grid(x, y, box) {
  const kind = (/** @type {number} */ tick) => (tick === 0 ? "zero" : "grid");
  return [
    ...x.ticks.map((tick) =>
      svg("line", { class: kind(tick), x1: x.at(tick), x2: x.at(tick), y1: box.top, y2: box.bottom }),
    ),
    ...y.ticks.map((tick) =>
      svg("line", { class: kind(tick), x1: box.left, x2: box.right, y1: y.at(tick), y2: y.at(tick) }),
    ),
    ...x.ticks.map((tick) => svg("text", { x: x.at(tick), y: box.bottom + 18, "text-anchor": "middle" }, shown(tick))),
    ...y.ticks.map((tick) => svg("text", { x: box.left - 9, y: y.at(tick) + 4, "text-anchor": "end" }, shown(tick))),
  ];
}
