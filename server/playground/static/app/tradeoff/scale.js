/** A linear scale with round ticks. */

/** @typedef {{at: (value: number) => number, ticks: number[]}} Scale */

/**
 * Its ticks cover all values; one that lies beyond them is drawn at the end.
 * @param {number[]} values @param {number} from @param {number} to @param {number} [count] about how many ticks
 * @returns {Scale}
 */
export function scale(values, from, to, count = 6) {
  const least = Math.min(...(values.length ? values : [-1]));
  const most = Math.max(...(values.length ? values : [1]));
  const room = Math.max((most - least) * 0.08, 0.05);
  const step = roundStep((most - least + 2 * room) / count);
  const first = Math.floor((least - room) / step);
  const last = Math.ceil((most + room) / step);
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toFixed(6)));
  const fraction = (/** @type {number} */ value) => Math.min(1, Math.max(0, (value / step - first) / (last - first)));
  return { at: (value) => from + fraction(value) * (to - from), ticks };
}

/** 1, 2 or 5 times a power of ten, at least `least`. @param {number} least */
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((digit) => digit * power >= least) ?? 10);
}
