/**
 * Markdown that grows at its end. What can no longer change is settled and not read again: whole blocks, and in a long
 * block its first lines or items. So reading on costs the same at the end of a long answer as at its beginning.
 *
 * A block is settled once two others follow it (a line end, a number or an indent after it may still make it another
 * one), a part once two others of its block do. A line in which something waits for its end (an asterisk, a bracket)
 * settles with the line that closes it, but not after FORCED characters. Nothing settles while the last line is only begun:
 * "-" may become anything.
 */

import { Lexer } from "../../vendor/marked.js";
import { blockOf } from "./markdown.js";

/** @typedef {import("./markdown.js").Branch} Branch */
/** @typedef {import("./markdown.js").Token} Token */
/** @typedef {{start: number, end: number, token: Token, branch: Branch | null}} Block where in the source; null shows nothing */

const OPTIONS = { gfm: true, breaks: true };
const FOLLOWING = 2;
const FORCED = 1200;
const BEGUN = /(^|\n).{1,3}$/;

/** What the parser is given before the rest of a block whose first parts are settled, so that it reads it as that. */
const HEADS = {
  paragraph: () => "x",
  list: () => "",
  code: (/** @type {string} */ raw) => raw.slice(0, raw.indexOf("\n") + 1), // its fence
};
/** @param {Token} token @returns {((raw: string) => string) | undefined} */
const headOf = ({ type }) => /** @type {Record<string, (raw: string) => string>} */ (HEADS)[type];

export class Growing {
  /** Those of settled "[name]: address", which hold for all that follows. */
  #links = Object.create(null);
  /** From here on the source is read again. */
  #from = 0;
  /** @type {{token: Token, head: string, start: number, settled: number} | null} the block that #from is in the middle of */
  #inside = null;

  /**
   * The blocks that were not settled before, and what of them is from now on: the first `blocks`, and the first `parts`
   * of the one after these.
   * @param {string} source what it was before, and more; "\n" as its line ends
   * @returns {{found: Block[], blocks: number, parts: number}}
   */
  read(source) {
    const found = this.#blocks(source);
    if (BEGUN.test(source.slice(-4))) return { found, blocks: 0, parts: 0 };
    const solid = found.filter(({ branch }) => branch !== null);
    const first = solid.length > FOLLOWING ? solid[solid.length - FOLLOWING] : solid[0];
    const blocks = first ? found.indexOf(first) : 0;
    if (blocks > 0) [this.#from, this.#inside] = [found[blocks].start, null];
    for (const { token } of found.slice(0, blocks)) {
      if (token.type === "def") this.#links[token.tag] ??= { href: token.href, title: token.title };
    }
    return { found, blocks, parts: first ? this.#settleParts(first) : 0 };
  }

  /** @param {string} source @returns {Block[]} */
  #blocks(source) {
    const inside = this.#inside;
    const lexer = new Lexer(OPTIONS);
    Object.assign(lexer.tokens.links, this.#links);
    const tokens = lexer.lex((inside?.head ?? "") + source.slice(this.#from));
    if (inside && !isAlike(inside.token, tokens[0])) {
      [this.#from, this.#inside] = [inside.start, null]; // it has become another one
      return this.#blocks(source);
    }
    let end = this.#from - (inside?.head.length ?? 0);
    return tokens.map((/** @type {Token} */ token, /** @type {number} */ i) => {
      const start = Math.max(this.#from, end);
      end += token.raw.length;
      return { start, end, token, branch: i === 0 && inside ? rest(token, inside) : blockOf(token) };
    });
  }

  /** @param {Block} block the first that is not settled @returns {number} how many of its parts are now */
  #settleParts({ start, token, branch }) {
    const head = headOf(token);
    if (!head || !branch?.inner) return 0;
    let [reach, length, count, isClosed] = [branch.lead ?? 0, 0, 0, true];
    for (const [i, part] of branch.inner.children.slice(0, -FOLLOWING).entries()) {
      const { length: more = 0, closed } = /** @type {Branch} */ (part);
      reach += more;
      isClosed &&= closed === true;
      if (isClosed || reach > FORCED) [length, count] = [reach, i + 1];
    }
    if (count === 0) return 0;
    this.#inside ??= { token, head: head(token.raw), start, settled: 0 };
    this.#inside.settled += count;
    this.#from = start + length;
    return count;
  }
}

/** @param {Token} one @param {Token} other */
function isAlike(one, other) {
  return one.type === other.type && one.ordered === other.ordered;
}

/** A block without its head, as what follows its settled parts. @param {Token} token @param {{settled: number}} inside */
function rest(token, { settled }) {
  if (token.type !== "paragraph") return { .../** @type {Branch} */ (blockOf(token)), settled, lead: 0 };
  const [{ raw, ...first }, ...others] = token.tokens;
  const left = raw === "x" ? [] : [{ ...first, raw: raw.slice(1), text: first.text.slice(1) }];
  return { .../** @type {Branch} */ (blockOf({ ...token, tokens: [...left, ...others] })), settled };
}
