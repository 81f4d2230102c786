/**
 * Where in the source the text of an element comes from. The parser does not say, but it hardly changes text: what a
 * text node has stands in the source word for word, at or after the end of the one before it; code out of a list has
 * lost the list's indent, so it is looked for line by line. What is not found (an entity) has no place.
 */

/** @typedef {{node: Text, at: number, length: number}} Placed */

/** @param {HTMLElement} root @param {string} source @param {number} start @param {number} end @returns {Placed[]} */
export function placed(root, source, start, end) {
  /** @type {Placed[]} */
  const found = [];
  let from = start;
  for (const node of textNodes(root)) {
    for (const part of inSource(node, source, from, end) ? [node] : lines(node)) {
      const at = source.indexOf(part.data, from);
      if (part.data === "" || at < 0 || at + part.length > end) continue;
      found.push({ node: part, at, length: part.length });
      from = at + part.length;
    }
  }
  return found;
}

/** @param {Text} node @param {string} source @param {number} from @param {number} end */
function inSource(node, source, from, end) {
  const at = source.indexOf(node.data, from);
  return at >= 0 && at + node.length <= end;
}

/** Cuts a node into its lines and the line ends between them. @param {Text} node @returns {Text[]} */
function lines(node) {
  const parts = node.data.split(/(?<=\n)|(?=\n)/).map((part) => document.createTextNode(part));
  node.replaceWith(...parts);
  return parts.filter(({ data }) => data !== "\n");
}

/** All but what the page itself says there (the head of a code block). @param {HTMLElement} root @returns {Text[]} */
function textNodes(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  /** @type {Text[]} */
  const nodes = [];
  while (walker.nextNode()) {
    const node = /** @type {Text} */ (walker.currentNode);
    if (!node.parentElement?.closest(".code-head")) nodes.push(node);
  }
  return nodes;
}
