/**
 * A sweep without its picture: which weights, and what their samples amount to.
 *
 * Weights go from all of one objective to all of the other. Where one is to be nothing it is so small that it tilts
 * nothing: without any weight the server evaluates no value, and one in words only where it has a weight.
 */

import { shown } from "./dom.js";

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

/** Means and their standard errors. @param {Sample[]} samples */
export function summary(samples) {
  const n = samples.length;
  const mean = (/** @type {"x" | "y" | "kl"} */ key) => samples.reduce((sum, sample) => sum + sample[key], 0) / n;
  const error = (/** @type {"x" | "y"} */ key) => {
    const squares = samples.reduce((sum, sample) => sum + (sample[key] - mean(key)) ** 2, 0);
    return n > 1 ? Math.sqrt(squares / (n - 1) / n) : 0;
  };
  return { mean: { x: mean("x"), y: mean("y") }, error: { x: error("x"), y: error("y") }, kl: mean("kl") };
}
