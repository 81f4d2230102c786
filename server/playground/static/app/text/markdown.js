/**
 * Markdown to trees, which are not on the page yet. The vendored parser only reads; every element is named here, out of a
 * short list, and text stays text. So there is no HTML that would have to be cleaned: tags in an answer are shown as they
 * were written. Pictures are not loaded, as they lie on other hosts: they are links.
 *
 * A line of a paragraph or of code is an element of its own: a browser lays out again only the line that grows, however
 * long the answer is. A line that has no end is broken where it gets long.
 */

import { codeHead } from "./code_head.js";

/** @typedef {any} Token of the parser */
/**
 * @typedef {object} Branch an element to be
 * @property {string} tag
 * @property {Record<string, any>} given
 * @property {Tree[]} children
 * @property {Branch} [inner] of a block that can be long: the branch whose children are its parts, from first to last
 * @property {number} [lead] of such a block: characters of the source before its first part
 * @property {number} [length] of a part: characters of the source
 * @property {boolean} [closed] of a part: nothing in it waits for its end in a later one
 * @property {number} [settled] of a block that is read from its middle on: how many parts come before
 *
 * @typedef {{key: string, make: () => ChildNode}} Fitting what the page itself puts there; the same key, the same thing
 * @typedef {string | Branch | Fitting} Tree
 */

const LONG_LINE = 3000; // characters, some 500 words
const SAFE = new Set(["http:", "https:", "mailto:"]);
const NAMED = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };
const OPENS = /[*_~](?=[^\s])|[`[<]/; // in bare text: what a later line may close
const NOTHING = {};

/** @param {string} tag @param {Record<string, any>} given @param {...Tree} children @returns {Branch} */
const branch = (tag, given, ...children) => ({ tag, given, children });

/** A block of the source, or null where it shows nothing. @param {Token} token @returns {Branch | null} */
export function blockOf(token) {
  const made = block(token);
  if (made.length === 0) return null;
  const [first] = made;
  if (made.length === 1 && typeof first === "object" && "tag" in first) return first;
  return branch("p", NOTHING, branch("span", { class: "line" }, ...made));
}

/** @param {Token} token @returns {Tree[]} */
function block(token) {
  switch (token.type) {
    case "space":
    case "def":
      return [];
    case "paragraph": // whose text may have lost an indent: then it is not told where its lines are
      return [paragraph(token.tokens, token.raw.startsWith(token.text))];
    case "heading": // the page itself has the first level
      return [branch(`h${Math.min(6, token.depth + 1)}`, NOTHING, ...inlines(token.tokens))];
    case "code":
      return [code(token)];
    case "blockquote":
      return [branch("blockquote", NOTHING, ...token.tokens.flatMap(block))];
    case "list":
      return [list(token)];
    case "table":
      return [table(token)];
    case "hr":
      return [branch("hr", NOTHING)];
    case "text":
      return token.tokens ? inlines(token.tokens) : [unescaped(token.text)];
    default: // HTML, as it was written
      return [paragraph(token.raw.trimEnd().split(/(?=\n)/).flatMap(written), true)];
  }
}

/** A line of it, as the parser would have it. @param {string} raw @returns {Token[]} */
function written(raw) {
  const [, end, said] = /** @type {RegExpExecArray} */ (/^(\n?)([^]*)$/.exec(raw));
  return [...(end ? [{ type: "br", raw: end }] : []), { type: "html", raw: said }];
}

/** @param {Token[]} tokens @param {boolean} isAsWritten */
function paragraph(tokens, isAsWritten) {
  const made = branch("p", NOTHING, ...lines(tokens));
  if (isAsWritten) made.inner = made;
  return made;
}

/**
 * Each with the line end before it.
 * @param {Token[]} tokens @returns {Branch[]}
 */
function lines(tokens) {
  /** @type {(Branch & {length: number, closed: boolean})[]} */
  const found = [];
  const begin = (length = 0) => found.push({ ...branch("span", { class: "line" }), length, closed: true });
  for (const token of tokens) {
    if (token.type === "br" || found.length === 0) begin(token.type === "br" ? token.raw.length : 0);
    if (token.type === "br") continue;
    for (const part of broken(token, LONG_LINE - found[found.length - 1].length)) {
      if (part.isNewLine) begin();
      const line = found[found.length - 1];
      line.length += part.raw.length;
      line.closed &&= part.type !== "text" || !OPENS.test(part.raw);
      line.children.push(inline(part));
    }
  }
  return found;
}

/**
 * A text that is longer than a line may be, cut before spaces; anything else as it is.
 * @param {Token} token @param {number} room what the line still takes @returns {Token[]}
 */
function broken(token, room) {
  if (token.type !== "text" || token.tokens || token.raw !== token.text || token.raw.length <= room) return [token];
  const at = token.raw.indexOf(" ", Math.max(1, room));
  if (at < 0) return [token];
  const [before, after] = [token.raw.slice(0, at), token.raw.slice(at)].map((raw) => ({ type: "text", raw, text: raw }));
  const [next, ...more] = broken(after, LONG_LINE);
  return [before, { ...next, isNewLine: true }, ...more];
}

/** @param {Token} token */
function list({ ordered, start, items }) {
  const entries = items.map((/** @type {Token} */ { task, checked, tokens, raw }) => {
    const box = task ? [`${checked ? "☑" : "☐"} `] : [];
    const said = tokens.filter((/** @type {Token} */ t) => t.type !== "checkbox").flatMap(block);
    return { ...branch("li", NOTHING, ...box, ...said), length: raw.length, closed: true };
  });
  const made = branch(ordered ? "ol" : "ul", { start: ordered && start !== 1 ? start : null }, ...entries);
  made.inner = made;
  return made;
}

/** @param {Token} token */
function table({ header, rows }) {
  const row = (/** @type {string} */ tag, /** @type {Token[]} */ cells) =>
    branch("tr", NOTHING, ...cells.map(({ tokens, align }) => branch(tag, { class: align }, ...inlines(tokens))));
  const body = branch("tbody", NOTHING, ...rows.map((/** @type {Token[]} */ cells) => row("td", cells)));
  return branch(
    "div",
    { class: "table-wrap", tabindex: 0, role: "region", "aria-label": "Table" },
    branch("table", NOTHING, branch("thead", NOTHING, row("th", header)), body),
  );
}

/** @param {Token} token */
function code({ raw, text, lang }) {
  const said = text.split(/(?<=\n)/).filter(Boolean);
  const own = raw.split(/(?<=\n)/); // a fence first, and text that may have an indent
  const parts = said.map((/** @type {string} */ line, /** @type {number} */ i) => ({
    ...branch("span", { class: "line" }, line),
    length: own[i + 1]?.length ?? 0,
    closed: true,
  }));
  const inner = branch("code", NOTHING, ...parts);
  const made = branch("div", { class: "code" }, codeHead(lang ?? ""), branch("pre", { tabindex: 0, "aria-label": "Code" }, inner));
  return lang === undefined ? made : { ...made, inner, lead: own[0].length }; // undefined: indented, without a fence
}

/** @param {Token[]} tokens @returns {Tree[]} */
function inlines(tokens) {
  return tokens.map(inline);
}

/** @param {Token} token @returns {Tree} */
function inline(token) {
  switch (token.type) {
    case "strong":
    case "em":
    case "del":
      return branch(token.type, NOTHING, ...inlines(token.tokens));
    case "codespan":
      return branch("code", NOTHING, token.text);
    case "br":
      return branch("br", NOTHING);
    case "link":
      return link(token.href, inlines(token.tokens), token.raw);
    case "image":
      return link(token.href, [token.text || token.href], token.raw);
    case "escape":
      return token.text;
    case "text":
      return token.tokens ? branch("span", NOTHING, ...inlines(token.tokens)) : unescaped(token.text);
    default:
      return token.raw;
  }
}

/** @param {string} href @param {Tree[]} children @param {string} raw shown where the link leads nowhere good @returns {Tree} */
function link(href, children, raw) {
  if (!URL.canParse(href) || !SAFE.has(new URL(href).protocol)) return raw;
  return branch("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children);
}

/** "&lt;" and its like, as a browser would read them. @param {string} text */
function unescaped(text) {
  return text.replace(/&(amp|lt|gt|quot|apos|nbsp|#39);/g, (_, name) => (name === "#39" ? "'" : /** @type {any} */ (NAMED)[name]));
}
