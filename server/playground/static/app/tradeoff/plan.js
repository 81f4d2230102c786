/**
 * A sweep without its picture: which weights, and what their samples amount to.
 *
 * Weights go from all of one objective to all of the other. Where one is to be nothing it is so small that it tilts
 * nothing: without any weight the server evaluates no value, and one in words only where it has a weight.
 */

import { shown } from "../dom.js";

const NEXT_TO_NOTHING = 1e-6;

/**
 * @typedef {{seed: number, x: number, y: number, kl: number, text: string}} Sample
 * @typedef {{label: string, weights: Record<string, number>, base: boolean, samples: Sample[]}} Run
 */

/** @param {string} x @param {string} y @param {number} points @param {number} scale @returns {Run[]} */
export function plan(x, y, points, scale) {
  const base = { label: "not steered", weights: { [x]: NEXT_TO_NOTHING, [y]: NEXT_TO_NOTHING }, base: true, samples: [] };
  const runs = Array.from({ length: points }, (_, i) => {
    const up = Number(((scale * i) / (points - 1)).toFixed(4));
    const across = Number((scale - up).toFixed(4));
    const weights = { [x]: across || NEXT_TO_NOTHING, [y]: up || NEXT_TO_NOTHING };
    return { label: `${shown(across)} : ${shown(up)}`, weights, base: false, samples: [] };
  });
  return [base, ...runs];
}

// Quantiles of Student's t at 97.5 % for 1, 2, ... degrees of freedom, and how many the last row still serves.
const T = [12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.2, 2.18, 2.16, 2.14, 2.13, 2.12];
const T_BEYOND = 2.11;

/** Means and half of their 95 % intervals; null where one sample says nothing of the spread. @param {Sample[]} samples */
export function summary(samples) {
  const n = samples.length;
  const mean = (/** @type {"x" | "y" | "kl"} */ key) => samples.reduce((sum, sample) => sum + sample[key], 0) / n;
  const half = (/** @type {"x" | "y"} */ key) => {
    const squares = samples.reduce((sum, sample) => sum + (sample[key] - mean(key)) ** 2, 0);
    return (T[n - 2] ?? T_BEYOND) * Math.sqrt(squares / (n - 1) / n);
  };
  const interval = n > 1 ? { x: half("x"), y: half("y") } : null;
  return { mean: { x: mean("x"), y: mean("y") }, interval, kl: mean("kl") };
}
