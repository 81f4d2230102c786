/**
 * A tree on the page, and how it becomes another one: what both have stays as it is, a text grows at its end, and only
 * what follows the first difference is made anew. So what has grown costs what was added to it.
 */

import { h } from "../dom.js";

/** @typedef {import("./placed.js").Placed} Placed */
/** @typedef {import("./placed.js").PlacedBranch} PlacedBranch */
/** @typedef {import("./placed.js").Leaf & {at: number}} Text */
/** @typedef {{node: ChildNode, length: number, isWhole: boolean}} Piece `length` of a text; not whole: its token goes on */
/** @typedef {{tree: Placed, pieces: Piece[], children: Drawn[]}} Drawn children that are settled are left out */
/** @typedef {{text: (text: string, at: number) => Piece[], mark: (mark: import("./placed.js").Mark) => ChildNode}} Makers */

/**
 * @param {Element} parent whose last children are `drawn`
 * @param {Drawn[]} drawn becomes what is there then
 * @param {Placed[]} wanted
 * @param {Makers} makers
 */
export function redraw(parent, drawn, wanted, makers) {
  let same = 0;
  while (same < drawn.length && same < wanted.length && become(drawn[same], wanted[same], makers)) same++;
  for (const { pieces } of drawn.splice(same)) pieces.forEach(({ node }) => node.remove());
  const made = wanted.slice(same).map((tree) => make(tree, makers));
  drawn.push(...made);
  if (made.length > 0) parent.append(...made.flatMap(({ pieces }) => pieces.map(({ node }) => node)));
}

/** The first parts of a block will not be looked at again. @param {Drawn} drawn @param {number} parts */
export function settle(drawn, parts) {
  const tree = /** @type {PlacedBranch} */ (drawn.tree);
  drawn.tree = { ...tree, settled: tree.settled + parts };
  let inner = drawn;
  while (!(/** @type {PlacedBranch} */ (inner.tree).inner)) inner = /** @type {Drawn} */ (inner.children.at(-1));
  inner.children.splice(0, parts);
}

/** False where it is something else; it is then to be made anew. @param {Drawn} drawn @param {Placed} wanted @param {Makers} makers */
function become(drawn, wanted, makers) {
  const { tree } = drawn;
  if ("mark" in wanted) return "mark" in tree && wanted.mark === tree.mark;
  if ("key" in wanted) return "key" in tree && wanted.key === tree.key;
  if ("tag" in wanted) {
    if (!("tag" in tree) || wanted.tag !== tree.tag || wanted.settled !== tree.settled) return false;
    if (wanted.settled === 0 && !isEqual(wanted.given, tree.given)) return false;
    redraw(/** @type {Element} */ (drawn.pieces[0].node), drawn.children, wanted.children, makers);
    return true;
  }
  if (!("text" in tree) || wanted.at !== tree.at) return false;
  if (wanted.at === null || wanted.text === tree.text) return wanted.text === tree.text;
  return grow(drawn, tree.text, /** @type {Text} */ (wanted), makers);
}

/** @param {Drawn} drawn @param {string} was @param {Text} wanted @param {Makers} makers */
function grow(drawn, was, wanted, makers) {
  const { text, at } = wanted;
  const shared = sharedLength(text, was);
  const { pieces } = drawn;
  let kept = was.length;
  while (pieces.length > 0 && (kept > shared || !pieces[pieces.length - 1].isWhole)) {
    const { node, length } = /** @type {Piece} */ (pieces.pop());
    node.remove();
    kept -= length;
  }
  if (pieces.length === 0) return false;
  const more = makers.text(text.slice(kept), at + kept);
  pieces[pieces.length - 1].node.after(...more.map(({ node }) => node));
  pieces.push(...more);
  drawn.tree = wanted;
  return true;
}

/** @param {Placed} tree @param {Makers} makers @returns {Drawn} */
function make(tree, makers) {
  const drawn = /** @type {Drawn} */ ({ tree, pieces: [], children: [] });
  const only = (/** @type {ChildNode} */ node) => [{ node, length: 0, isWhole: true }];
  if ("mark" in tree) drawn.pieces = only(makers.mark(tree.mark));
  else if ("key" in tree) drawn.pieces = only(tree.make());
  else if ("tag" in tree) {
    const element = h(tree.tag, tree.given);
    redraw(element, drawn.children, tree.children, makers);
    drawn.pieces = only(element);
  } else drawn.pieces = tree.at === null ? only(document.createTextNode(tree.text)) : makers.text(tree.text, tree.at);
  return drawn;
}

/** @param {string} one @param {string} other */
function sharedLength(one, other) {
  if (one.startsWith(other)) return other.length;
  let shared = 0;
  while (shared < one.length && one[shared] === other[shared]) shared++;
  return shared;
}

/** @param {Record<string, any>} one @param {Record<string, any>} other */
function isEqual(one, other) {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}
