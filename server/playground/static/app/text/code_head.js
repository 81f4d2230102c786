/** The line above a block of code: its language, and a button that copies what the block has by then. */

import { h } from "../dom.js";
import { copyButton } from "./copy_button.js";

/** @param {string} language @returns {import("./markdown.js").Fitting} */
export function codeHead(language) {
  const make = () => {
    const copy = copyButton("Copy code", () => copy.closest(".code")?.querySelector("code")?.textContent ?? "");
    return h("div", { class: "code-head" }, h("span", {}, language), copy);
  };
  return { key: `code head: ${language}`, make };
}
