/** The numeric settings: their label, what the API allows, and the short name they have in a shared link. */

/**
 * @typedef {"beta" | "maxKl" | "temperature" | "topP" | "maxTokens" | "seed"} Name
 * @typedef {{name: Name, key: string, label: string, min: number, max: number, step: number, hint: string,
 *            whole?: boolean, steers?: boolean}} Limit `steers`: means something only where there are objectives
 * @type {Limit[]}
 */
export const LIMITS = [
  { name: "beta", key: "b", label: "Beta (strength)", min: 0, max: 64, step: 0.1, hint: "auto", steers: true },
  { name: "maxKl", key: "kl", label: "KL budget per token", min: 0, max: 1000, step: 0.05, hint: "off", steers: true },
  { name: "temperature", key: "t", label: "Temperature", min: 0, max: 2, step: 0.1, hint: "default" },
  { name: "topP", key: "p", label: "Top-p", min: 0.01, max: 1, step: 0.05, hint: "default" },
  { name: "maxTokens", key: "n", label: "Max tokens", min: 1, max: 100000, step: 1, hint: "no limit", whole: true },
  { name: "seed", key: "seed", label: "Seed", min: 0, max: 2 ** 53 - 1, step: 1, hint: "random", whole: true },
];

/** The number that `text` is, or null where it is none or out of range. @param {string} text @param {Limit} limit */
export function numberWithin(text, { min, max, whole }) {
  const number = Number(text);
  if (text.trim() === "" || !Number.isFinite(number) || number < min || number > max) return null;
  return whole && !Number.isInteger(number) ? null : number;
}
