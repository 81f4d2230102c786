/**
 * Where a weight lies on its track.
 *
 * Ranges are wide (the default is -16 to 16) but most of what one wants lies within 2 of zero. So each side of zero
 * is stretched by a power, `curve`: 1 is linear, at 3 half of each side is spent on its inner eighth.
 */

/**
 * @typedef {{min: number, max: number, curve: number}} Track
 */

/** Fraction of the track, 0 to 1, left of zero. @param {Track} track */
export function zeroFraction({ min, max }) {
  if (min >= 0) return 0;
  return max <= 0 ? 1 : -min / (max - min);
}

/** @param {number} value @param {Track} track @returns {number} 0 to 1 */
export function toFraction(value, track) {
  const { min, max, curve } = track;
  if (min === max) return 0.5; // nothing to choose
  if (min > 0 || max < 0) return (value - min) / (max - min); // zero is not on the track: nothing to stretch around
  const zero = zeroFraction(track);
  if (value >= 0) return max > 0 ? zero + (value / max) ** (1 / curve) * (1 - zero) : zero;
  return zero - (value / min) ** (1 / curve) * zero;
}

/** @param {number} fraction 0 to 1 @param {Track} track @returns {number} */
export function toValue(fraction, track) {
  const { min, max, curve } = track;
  if (min === max) return min;
  if (min > 0 || max < 0) return min + fraction * (max - min);
  const zero = zeroFraction(track);
  if (fraction >= zero) return zero < 1 ? max * ((fraction - zero) / (1 - zero)) ** curve : 0;
  return min * ((zero - fraction) / zero) ** curve;
}
