/**
 * Text and token reports, brought together.
 *
 * The server may hold text back (half a character, the beginning of a stop string) while the token's report already
 * goes out, so the two are matched here: what is shown is exactly the text that arrived.
 */

/** @typedef {import("../lib/client.js").TokenReport} TokenReport */
/** @typedef {{text: string, reports: TokenReport[]}} Span */

/**
 * The spans that `text` makes with the reports that wait for it; what is left waits on.
 * @param {TokenReport[]} waiting
 * @param {string} text
 * @returns {{spans: Span[], waiting: TokenReport[]}}
 */
export function matchTokens(waiting, text) {
  if (text === "") return { spans: [], waiting };
  /** @type {Span[]} */
  const spans = [];
  let rest = text;
  let used = 0;
  while (used < waiting.length && rest !== "" && waiting[used].token !== "" && rest.startsWith(waiting[used].token)) {
    const report = waiting[used++];
    spans.push({ text: report.token, reports: [report] });
    rest = rest.slice(report.token.length);
  }
  if (rest === "") return { spans, waiting: waiting.slice(used) };
  return { spans: [...spans, { text: rest, reports: waiting.slice(used) }], waiting: [] };
}

/**
 * Reports without those in front that belong to no shown text (what ends a reasoning, say), where that can be told.
 * @param {TokenReport[]} waiting @param {string} text @returns {TokenReport[]}
 */
export function fromTextOn(waiting, text) {
  const first = waiting.findIndex(({ token }) => token !== "" && text.startsWith(token));
  return first < 0 ? waiting : waiting.slice(first);
}

/** How much likelier the tilt made the token, in nats. @param {TokenReport} report */
export const shiftOf = (report) => report.logprob - report.base_logprob;

/** The exact divergence at the token, in nats. @param {TokenReport} report */
export const klOf = (report) => report.steering_nats + report.truncation_nats;
