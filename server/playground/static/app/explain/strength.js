/**
 * How strongly an answer was steered, in a word. What counts is the KL per token that the tilt costs, without what
 * leaving out unlikely tokens costs. Recommended betas are tuned to 0.2 nats at a weight of 1: that is "clearly".
 */

export const CLEARLY_FROM = 0.1; // nats per token
export const STRONGLY_FROM = 0.4;

/** @param {number} nats steering nats per token */
export function strengthOf(nats) {
  if (nats < CLEARLY_FROM) return "gently steered";
  return nats < STRONGLY_FROM ? "clearly steered" : "strongly steered";
}
