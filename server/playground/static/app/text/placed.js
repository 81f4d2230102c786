/**
 * Where in the source the text of a block comes from. The parser does not say, but it hardly changes text: what it leaves
 * stands in the source word for word, at or after the end of what came before. What is not found (an entity) has no
 * place, and neither has what the page itself says.
 */

/** @typedef {import("./markdown.js").Branch} Branch */
/** @typedef {import("./markdown.js").Fitting} Fitting */
/** @typedef {{at: number, said: string}} Mark before the character number `at` of the source */
/** @typedef {{text: string, at: number | null}} Leaf */
/** @typedef {{tag: string, given: Record<string, any>, settled: number, inner: boolean, children: Placed[]}} PlacedBranch */
/** @typedef {Leaf | {mark: Mark} | Fitting | PlacedBranch} Placed */

/**
 * @param {import("./growing.js").Block & {branch: Branch}} block
 * @param {string} source
 * @param {Mark[]} marks of the block, in order: each stands before the text that comes after it
 * @returns {PlacedBranch}
 */
export function placed(block, source, marks) {
  return new Placing(block, source, marks).whole();
}

class Placing {
  /** @type {Placed[]} where the last text went, so a mark after it does too */
  #last = [];

  /** @param {import("./growing.js").Block & {branch: Branch}} block @param {string} source @param {Mark[]} marks */
  constructor(block, source, marks) {
    [this.block, this.source, this.marks] = [block, source, [...marks]];
    this.from = block.start;
  }

  whole() {
    const made = this.#branch(this.block.branch, this.block.end);
    this.#mark(Infinity);
    return made;
  }

  /** @param {Branch} branch @param {number} end of the source that it may show @returns {PlacedBranch} */
  #branch(branch, end) {
    const { tag, given, settled = 0 } = branch;
    /** @type {Placed[]} */
    const children = [];
    const isInner = branch === this.block.branch.inner;
    this.#last = children;
    if (isInner) this.#parts(branch, children);
    else for (const child of branch.children) children.push(...this.#tree(child, end, children));
    return { tag, given, settled, inner: isInner, children };
  }

  /** Marks stay in the part that they are in, as that may be settled before the next one. @param {Branch} inner @param {Placed[]} children */
  #parts(inner, children) {
    let end = this.block.start + (this.block.branch.lead ?? 0);
    for (const part of /** @type {Branch[]} */ (inner.children)) {
      end += part.length ?? 0;
      children.push(this.#branch(part, end));
      this.#mark(end);
      this.from = Math.max(this.from, end);
    }
  }

  /** @param {import("./markdown.js").Tree} tree @param {number} end @param {Placed[]} into @returns {Placed[]} */
  #tree(tree, end, into) {
    if (typeof tree !== "string") return ["tag" in tree ? this.#branch(tree, end) : tree];
    if (tree === "") return [];
    this.#last = into;
    return this.#leaves(tree, end);
  }

  /** A text, cut where marks are. @param {string} text @param {number} end @returns {Placed[]} */
  #leaves(text, end) {
    let at = this.source.indexOf(text, this.from);
    if (at < 0 || at + text.length > end) return [{ text, at: null }];
    this.from = at + text.length;
    /** @type {Placed[]} */
    const found = [];
    while (this.marks.length > 0 && this.marks[0].at < this.from) {
      const mark = /** @type {Mark} */ (this.marks.shift());
      if (mark.at > at) found.push({ text: this.source.slice(at, mark.at), at });
      at = Math.max(at, mark.at);
      found.push({ mark });
    }
    return [...found, { text: this.source.slice(at, this.from), at }];
  }

  /** @param {number} end those before it that no text has come after */
  #mark(end) {
    while (this.marks.length > 0 && this.marks[0].at < end) this.#last.push({ mark: /** @type {Mark} */ (this.marks.shift()) });
  }
}
