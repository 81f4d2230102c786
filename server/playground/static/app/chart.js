/** The trade-off as a picture: faint samples, their means joined in the order of the weights, standard errors. */

import { fixed, shown, svg } from "./dom.js";

const WIDTH = 640;
const HEIGHT = 460;
const BOX = { left: 62, right: WIDTH - 26, top: 22, bottom: HEIGHT - 56 };

/**
 * @typedef {{x: number, y: number}} XY
 * @typedef {{label: string, samples: XY[], mean: XY, error: XY, kl: number, base: boolean}} Point
 */

/** @param {Point[]} points @param {{x: string, y: string}} names of the axes @param {string} summary for those who cannot see it */
export function chart(points, names, summary) {
  const all = points.flatMap(({ samples, mean }) => [...samples, mean]);
  const x = scale(
    all.map((at) => at.x),
    BOX.left,
    BOX.right,
  );
  const y = scale(
    all.map((at) => at.y),
    BOX.bottom,
    BOX.top,
  );
  const labels = placed(points, x, y);
  const onCurve = points.filter(({ base }) => !base);
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": summary },
    ...grid(x, y),
    svg(
      "text",
      { class: "axis-label", x: (BOX.left + BOX.right) / 2, y: HEIGHT - 8, "text-anchor": "middle" },
      names.x,
    ),
    svg(
      "text",
      {
        class: "axis-label",
        transform: `translate(15 ${(BOX.top + BOX.bottom) / 2}) rotate(-90)`,
        "text-anchor": "middle",
      },
      names.y,
    ),
    svg("polyline", { class: "curve", points: onCurve.map(({ mean }) => `${x.at(mean.x)},${y.at(mean.y)}`).join(" ") }),
    ...points.flatMap(({ samples }) =>
      samples.map((at) => svg("circle", { class: "sample", cx: x.at(at.x), cy: y.at(at.y), r: 3.5 })),
    ),
    ...labels.map(({ at, anchor, text }) =>
      svg("text", { class: "point-label", x: at.x, y: at.y, "text-anchor": anchor }, text),
    ),
    ...points.flatMap((point) => mark(point, x, y)),
  );
}

/** @param {Point} point @param {Scale} x @param {Scale} y */
function mark({ label, mean, error, kl, base }, x, y) {
  const [cx, cy] = [x.at(mean.x), y.at(mean.y)];
  return [
    svg("line", { class: "whisker", x1: x.at(mean.x - error.x), x2: x.at(mean.x + error.x), y1: cy, y2: cy }),
    svg("line", { class: "whisker", x1: cx, x2: cx, y1: y.at(mean.y - error.y), y2: y.at(mean.y + error.y) }),
    svg(
      "circle",
      { class: base ? "point base" : "point", cx, cy, r: 6 },
      svg("title", {}, `${label}: ${fixed(kl, 2)} nats per token`),
    ),
  ];
}

const LETTER = 7.6;
const LINE = 16;
const SIDES = [
  [1, -1],
  [-1, -1],
  [1, 1],
  [-1, 1],
];

/**
 * Each label at the corner of its point where it covers the least of other points, labels and the curve's middles.
 * @param {Point[]} points @param {Scale} x @param {Scale} y
 */
function placed(points, x, y) {
  const dots = points.map(({ mean }) => ({ x: x.at(mean.x), y: y.at(mean.y) }));
  const middles = dots.slice(1).map((dot, i) => ({ x: (dot.x + dots[i].x) / 2, y: (dot.y + dots[i].y) / 2 }));
  /** @type {Box[]} */
  const taken = [];
  return points.map(({ label }, i) => {
    const options = SIDES.map(([right, down]) => {
      const at = { x: dots[i].x + right * 10, y: dots[i].y + (down > 0 ? 20 : -10) };
      const far = at.x + right * label.length * LETTER;
      const box = { left: Math.min(at.x, far), right: Math.max(at.x, far), top: at.y - LINE, bottom: at.y + 4 };
      const covered = [...dots, ...middles].filter((dot) => overlap(around(dot), box)).length;
      const clashes = taken.filter((other) => overlap(other, box)).length;
      const outside = box.left < BOX.left || box.right > WIDTH || box.top < 0;
      const cost = covered + 2 * clashes + (outside ? 5 : 0);
      return { at, box, anchor: right > 0 ? "start" : "end", text: label, cost };
    });
    const best = options.reduce((least, option) => (option.cost < least.cost ? option : least));
    taken.push(best.box);
    return best;
  });
}

/** @typedef {{left: number, right: number, top: number, bottom: number}} Box */

/** @param {XY} dot @returns {Box} */
const around = ({ x, y }) => ({ left: x - 6, right: x + 6, top: y - 6, bottom: y + 6 });

/** @param {Box} a @param {Box} b */
const overlap = (a, b) => a.left < b.right && a.right > b.left && a.top < b.bottom && a.bottom > b.top;

/** @param {Scale} x @param {Scale} y */
function grid(x, y) {
  const kind = (/** @type {number} */ tick) => (tick === 0 ? "zero" : "grid");
  return [
    ...x.ticks.map((tick) =>
      svg("line", { class: kind(tick), x1: x.at(tick), x2: x.at(tick), y1: BOX.top, y2: BOX.bottom }),
    ),
    ...y.ticks.map((tick) =>
      svg("line", { class: kind(tick), x1: BOX.left, x2: BOX.right, y1: y.at(tick), y2: y.at(tick) }),
    ),
    ...x.ticks.map((tick) => svg("text", { x: x.at(tick), y: BOX.bottom + 18, "text-anchor": "middle" }, shown(tick))),
    ...y.ticks.map((tick) => svg("text", { x: BOX.left - 9, y: y.at(tick) + 4, "text-anchor": "end" }, shown(tick))),
  ];
}

/** @typedef {{at: (value: number) => number, ticks: number[]}} Scale */

/**
 * A linear scale with round ticks that cover all values.
 * @param {number[]} values @param {number} from @param {number} to @returns {Scale}
 */
export function scale(values, from, to) {
  const least = Math.min(...(values.length ? values : [-1]));
  const most = Math.max(...(values.length ? values : [1]));
  const room = Math.max((most - least) * 0.08, 0.05);
  const step = roundStep((most - least + 2 * room) / 6);
  const first = Math.floor((least - room) / step);
  const last = Math.ceil((most + room) / step);
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toFixed(6)));
  const span = (last - first) * step;
  return { at: (value) => from + ((value - first * step) / span) * (to - from), ticks };
}

/** 1, 2 or 5 times a power of ten, at least `least`. @param {number} least */
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((digit) => digit * power >= least) ?? 10);
}
