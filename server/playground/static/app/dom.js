/** Elements without a framework. Children are nodes or text, and text is only ever text: no HTML is parsed. */

/**
 * @param {string} tag
 * @param {Record<string, any>} [given] attributes; `class`; `onclick` and the like; true is a bare attribute
 * @param {...(Node | string | null | undefined)} children
 * @returns {any} the element; typed loosely, as the tag decides
 */
export function h(tag, given = {}, ...children) {
  return fill(document.createElement(tag), given, children);
}

/** The same for SVG. @param {string} tag @param {Record<string, any>} [given] @param {...(Node | string)} children */
export function svg(tag, given = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), given, children);
}

/** @param {any} element @param {Record<string, any>} given @param {(Node | string | null | undefined)[]} children */
function fill(element, given, children) {
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** What stays is not moved, as a browser lays out anew what is. @param {Element} element @param {Element[]} children */
export function setChildren(element, children) {
  const stay = new Set(children);
  for (const child of [...element.children]) if (!stay.has(child)) child.remove();
  children.forEach((child, i) => {
    if (element.children[i] !== child) element.insertBefore(child, element.children[i] ?? null);
  });
}

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/** Says `text` to assistive technology. @param {string} text */
export function announce(text) {
  byId("announcer").textContent = text;
}

/** Without trailing zeros, with a true minus. @param {number} number @param {number} [digits] */
export function shown(number, digits = 2) {
  return String(Number(number.toFixed(digits))).replace("-", "−");
}

/** @param {number} number @param {number} digits */
export function fixed(number, digits) {
  return number.toFixed(digits).replace("-", "−");
}
