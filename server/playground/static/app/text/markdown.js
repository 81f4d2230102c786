/**
 * Markdown to elements. The vendored parser only reads; every element is made here, out of a short list, and text goes
 * in as text. So there is no HTML that would have to be cleaned: tags in an answer are shown as they were written.
 * Pictures are not loaded, as they lie on other hosts: they are links.
 */

import { h } from "../dom.js";
import { Lexer } from "../../vendor/marked.js";
import { copyButton } from "./copy_button.js";

/** @typedef {any} Token of the parser */
/** @typedef {Node | string} Child */

const OPTIONS = { gfm: true, breaks: true };
const SAFE = new Set(["http:", "https:", "mailto:"]);
const NAMED = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };

/**
 * The blocks of a text: their raws, joined, are the text; a block without an element shows nothing.
 * @param {string} source with "\n" as its line ends
 * @returns {{raw: string, element: () => HTMLElement | null}[]}
 */
export function blocks(source) {
  return new Lexer({ ...OPTIONS }).lex(source).map((/** @type {Token} */ token) => ({
    raw: token.raw,
    element: () => blockElement(token),
  }));
}

/** @param {Token} token @returns {HTMLElement | null} */
function blockElement(token) {
  const made = block(token);
  if (made.length === 0) return null;
  return made.length === 1 && made[0] instanceof HTMLElement ? made[0] : h("p", {}, ...made);
}

/** @param {Token} token @returns {Child[]} */
function block(token) {
  switch (token.type) {
    case "space":
    case "def":
      return [];
    case "paragraph":
      return [h("p", {}, ...inlines(token.tokens))];
    case "heading": // the page itself has the first level
      return [h(`h${Math.min(6, token.depth + 1)}`, {}, ...inlines(token.tokens))];
    case "code":
      return [code(token.text, token.lang ?? "")];
    case "blockquote":
      return [h("blockquote", {}, ...token.tokens.flatMap(block))];
    case "list":
      return [list(token)];
    case "table":
      return [table(token)];
    case "hr":
      return [h("hr")];
    case "text":
      return token.tokens ? inlines(token.tokens) : [unescaped(token.text)];
    default:
      return [token.raw.replace(/\n+$/, "")];
  }
}

/** @param {Token} token */
function list({ ordered, start, items }) {
  const entries = items.map((/** @type {Token} */ { task, checked, tokens }) => {
    const box = task ? `${checked ? "☑" : "☐"} ` : null;
    return h("li", {}, box, ...tokens.filter((/** @type {Token} */ t) => t.type !== "checkbox").flatMap(block));
  });
  return h(ordered ? "ol" : "ul", { start: ordered && start !== 1 ? start : null }, ...entries);
}

/** @param {Token} token */
function table({ header, rows }) {
  const row = (/** @type {string} */ tag, /** @type {Token[]} */ cells) =>
    h("tr", {}, ...cells.map(({ tokens, align }) => h(tag, { class: align }, ...inlines(tokens))));
  const body = h("tbody", {}, ...rows.map((/** @type {Token[]} */ cells) => row("td", cells)));
  return h(
    "div",
    { class: "table-wrap", tabindex: 0, role: "region", "aria-label": "Table" },
    h("table", {}, h("thead", {}, row("th", header)), body),
  );
}

/** @param {string} text @param {string} language */
function code(text, language) {
  const head = h("div", { class: "code-head" }, h("span", {}, language), copyButton("Copy code", () => text));
  return h("div", { class: "code" }, head, h("pre", { tabindex: 0, "aria-label": "Code" }, h("code", {}, text)));
}

/** @param {Token[]} tokens @returns {Child[]} */
function inlines(tokens) {
  return tokens.map(inline);
}

/** @param {Token} token @returns {Child} */
function inline(token) {
  switch (token.type) {
    case "strong":
    case "em":
    case "del":
      return h(token.type, {}, ...inlines(token.tokens));
    case "codespan":
      return h("code", {}, token.text);
    case "br":
      return h("br");
    case "link":
      return link(token.href, inlines(token.tokens), token.raw);
    case "image":
      return link(token.href, [token.text || token.href], token.raw);
    case "escape":
      return token.text;
    case "text":
      return token.tokens ? h("span", {}, ...inlines(token.tokens)) : unescaped(token.text);
    default:
      return token.raw;
  }
}

/** @param {string} href @param {Child[]} children @param {string} raw shown where the link leads nowhere good */
function link(href, children, raw) {
  if (!URL.canParse(href) || !SAFE.has(new URL(href).protocol)) return raw;
  return h("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children);
}

/** "&lt;" and its like, as a browser would read them. @param {string} text */
function unescaped(text) {
  return text.replace(/&(amp|lt|gt|quot|apos|nbsp|#39);/g, (_, name) => (name === "#39" ? "'" : /** @type {any} */ (NAMED)[name]));
}
