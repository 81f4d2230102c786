/** The token reports of an answer as short lists of numbers: a browser keeps five megabytes, and a report has 250 bytes. */

/** @typedef {import("../tokens.js").Span} Span */
/** @typedef {{names: string[], spans: (string | [string, ...(string | number | null)[][]])[]}} Packed */

const DIGITS = 4; // behind the point, of nats and values

/** @param {Span[]} spans @returns {Packed} */
export function packed(spans) {
  const names = [...new Set(spans.flatMap(({ reports }) => reports.flatMap(({ values }) => Object.keys(values ?? {}))))];
  const round = (/** @type {number | undefined} */ number) => (number === undefined ? null : Number(number.toFixed(DIGITS)));
  return {
    names,
    spans: spans.map(({ text, reports }) =>
      reports.length === 0
        ? text
        : [
            text,
            ...reports.map((r) => [
              r.token === text ? null : r.token,
              r.token_id,
              ...[r.logprob, r.base_logprob, r.steering_nats, r.truncation_nats].map(round),
              ...names.map((name) => round(r.values?.[name])),
            ]),
          ],
    ),
  };
}

/** Throws where `packed` is none. @param {Packed} packed @returns {Span[]} */
export function unpacked({ names, spans }) {
  return spans.map((span) => {
    if (typeof span === "string") return { text: span, reports: [] };
    const [text, ...reports] = span;
    return { text, reports: reports.map((numbers) => report(text, names, numbers)) };
  });
}

/** @param {string} text @param {string[]} names @param {any[]} numbers @returns {import("../tokens.js").TokenReport} */
function report(text, names, [token, token_id, logprob, base_logprob, steering_nats, truncation_nats, ...values]) {
  const numbers = { token_id, logprob, base_logprob, steering_nats, truncation_nats };
  if (!Object.values(numbers).every(Number.isFinite)) throw new TypeError("a report without its numbers");
  const valued = names.map((name, i) => [name, values[i]]).filter(([, value]) => Number.isFinite(value));
  return { token: typeof token === "string" ? token : text, ...numbers, values: Object.fromEntries(valued) };
}
