/** Three dialogs: this request as code, the shortcuts, the API key. Native ones: the browser does focus and Escape. */

import { h } from "./dom.js";
import { curl, python } from "./snippet.js";

export const SHORTCUTS = [
  ["Enter", "send; Shift + Enter for a new line"],
  ["Esc", "stop what is being written"],
  ["/", "to the message"],
  ["Alt + 1, 2, 3", "chat, compare, trade-off"],
  ["← →", "on a slider: one step; on an answer: the next token"],
  ["Page ↑ ↓", "on a slider: by 1"],
  ["0", "on a slider: back to zero, as a double click does"],
  ["?", "this list"],
];

/** @param {string} title @param {...Node} content */
function dialog(title, ...content) {
  const close = h("button", { type: "button", class: "button quiet", onclick: () => element.close() }, "Close");
  const element = h(
    "dialog",
    { "aria-label": title },
    h("div", { class: "dialog-head" }, h("h2", {}, title), close),
    ...content,
  );
  element.addEventListener("close", () => element.remove());
  document.body.append(element);
  element.showModal();
  return element;
}

export function showHelp() {
  dialog(
    "Keyboard shortcuts",
    h(
      "dl",
      { class: "keys" },
      ...SHORTCUTS.flatMap(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)]),
    ),
  );
}

/** @param {Record<string, any>} body @param {{root: string, keyed: boolean}} server */
export function showCode(body, server) {
  const code = h("code", {});
  const block = h("pre", { tabindex: 0, "aria-label": "Code" }, code);
  const kinds = { curl, Python: python };
  const buttons = Object.entries(kinds).map(([name, write]) => {
    const choose = () => {
      code.textContent = write(body, server);
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
    };
    const button = h("button", { type: "button", class: "button", onclick: choose }, name);
    return button;
  });
  const copy = h("button", { type: "button", class: "button primary" }, "Copy");
  copy.addEventListener("click", async () => {
    copy.textContent = (await copyText(code.textContent ?? "")) ? "Copied" : "Select it and copy by hand";
  });
  const bar = h("div", { class: "chips" }, ...buttons, copy);
  bar.style.marginBlockEnd = ".8rem";
  dialog("This request as code", bar, block);
  buttons[0].click();
}

/** @param {boolean} wrong was there a key already? @param {(key: string) => void} use */
export function askKey(wrong, use) {
  const input = h("input", { class: "input", type: "password", id: "api-key", required: true, autocomplete: "off" });
  const form = h("form", { class: "save-preset" }, input, h("button", { class: "button primary" }, "Use key"));
  const note = wrong ? "The server does not accept that key." : "This server answers only with an API key.";
  const text = h("label", { for: "api-key" }, `${note} It stays in this tab and is forgotten when you close it.`);
  const element = dialog("API key", text, form);
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    element.close();
    use(input.value.trim());
  });
  input.focus();
}

/** Without a secure context there is no clipboard. @param {string} text @returns {Promise<boolean>} did it work? */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
