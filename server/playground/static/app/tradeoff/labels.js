/**
 * Where the labels of points go: as near to their point as there is room, beside no other point and over no other
 * label; farther away with a line to the point. Where there is no room at all there is no label: the table has it.
 */

/**
 * @typedef {{x: number, y: number}} XY
 * @typedef {{left: number, right: number, top: number, bottom: number}} Box
 * @typedef {{text: string, at: XY, anchor: "start" | "end", from: XY | null}} Label `from`: where its line begins
 */

const LETTER = 7.8; // pixels, about the widest that the chart's font has in words
const LINE = 16;
const RADIUS = 6; // of a point
const DISTANCES = [15, 26, 40, 60, 85, 115];
// Degrees, corners first: bars go straight to the sides, up and down.
const DIRECTIONS = [45, 135, 315, 225, 15, 165, 345, 195, 75, 105, 285, 255].map((degrees) => (degrees * Math.PI) / 180);

/**
 * @param {{text: string, x: number, y: number}[]} points
 * @param {Box} frame that labels stay in
 * @returns {Label[]}
 */
export function placed(points, frame) {
  /** @type {Box[]} */
  const taken = points.map(around);
  /** @type {Label[]} */
  const labels = [];
  for (const point of points) {
    const options = DISTANCES.flatMap((distance) => DIRECTIONS.map((angle) => option(point, distance, angle)));
    const free = options.find(({ box }) => inside(box, frame) && !taken.some((other) => overlap(other, box)));
    if (!free) continue;
    taken.push(free.box);
    labels.push(free.label);
  }
  return labels;
}

/** @param {{text: string, x: number, y: number}} point @param {number} distance @param {number} angle */
function option({ text, x, y }, distance, angle) {
  const at = { x: x + distance * Math.cos(angle), y: y - distance * Math.sin(angle) };
  const toRight = Math.cos(angle) > 0;
  const far = at.x + (toRight ? 1 : -1) * text.length * LETTER;
  const middle = { left: Math.min(at.x, far), right: Math.max(at.x, far), top: at.y - LINE / 2, bottom: at.y + LINE / 2 };
  /** @type {Label} */
  const label = {
    text,
    at: { x: at.x, y: at.y + 5 }, // of the baseline
    anchor: toRight ? "start" : "end",
    from: distance > DISTANCES[0] ? at : null,
  };
  return { box: middle, label };
}

/** @param {XY} dot @returns {Box} */
const around = ({ x, y }) => ({ left: x - RADIUS, right: x + RADIUS, top: y - RADIUS, bottom: y + RADIUS });

/** @param {Box} a @param {Box} b */
const overlap = (a, b) => a.left < b.right && a.right > b.left && a.top < b.bottom && a.bottom > b.top;

/** @param {Box} a @param {Box} b */
const inside = (a, b) => a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom;
