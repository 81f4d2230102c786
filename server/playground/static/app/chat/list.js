/** The list of conversations at the side: open, rename, delete, export all, import. */

import { announce, h } from "../dom.js";
import { saveFile } from "./save_file.js";

const WIDE = "(width >= 85rem)"; // where there is room for it without being asked

/**
 * @param {import("./store.js").Store} store
 * @param {{open: (id: string) => void, rename: (id: string, title: string) => void, remove: (id: string) => void}} actions
 */
export function chatList(store, { open, rename, remove }) {
  let current = "";
  const items = h("ul", {});
  const note = h("p", { class: "muted", role: "status" });
  const file = h("input", { type: "file", accept: ".json,application/json", hidden: true, "aria-label": "Import file" });
  const element = h(
    "nav",
    { class: "chats", id: "chats", "aria-label": "Conversations" },
    h("h2", {}, "Conversations"),
    items,
    h(
      "div",
      { class: "chats-tools" },
      h("button", { type: "button", class: "button quiet", onclick: exportAll }, "Export"),
      h("button", { type: "button", class: "button quiet", onclick: () => file.click() }, "Import"),
      file,
    ),
    note,
  );
  const opener = h(
    "button",
    { type: "button", class: "button quiet", "aria-controls": "chats", onclick: () => show(element.hidden) },
    "Conversations",
  );

  function exportAll() {
    saveFile("mavis-conversations.json", store.exported(), "application/json");
  }

  file.addEventListener("change", async () => {
    const text = await file.files[0]?.text();
    file.value = ""; // the same file may be chosen again
    if (text === undefined) return;
    try {
      const { added, broken } = store.import(text);
      say(`${added.length} imported${broken ? `, ${broken} could not be read` : ""}`);
    } catch (error) {
      say(`Not imported: ${error instanceof Error ? error.message : error}`);
    }
  });

  /** @param {string} text */
  function say(text) {
    note.textContent = text;
  }

  /** @param {boolean} visible */
  function show(visible) {
    element.hidden = !visible;
    opener.setAttribute("aria-expanded", String(visible));
  }

  /** @param {import("./store.js").Entry} entry */
  function item({ id, title }) {
    const name = title || "Untitled";
    const chosen = id === current ? "true" : null;
    const row = h(
      "li",
      {},
      h("button", { type: "button", class: "button quiet chat-name", "aria-current": chosen, title: name, onclick: () => open(id) }, name),
      iconButton("✎", `Rename ${name}`, () => row.replaceChildren(renameForm(id, title))),
      iconButton("×", `Delete ${name}`, () => row.replaceChildren(question(id, name))),
    );
    return row;
  }

  /** @param {string} id @param {string} title */
  function renameForm(id, title) {
    const input = h("input", { class: "input", maxlength: 80, required: true, "aria-label": "Name of the conversation" });
    const form = h("form", {}, input);
    input.value = title;
    form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      rename(id, input.value.trim() || title);
    });
    input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && render());
    queueMicrotask(() => input.select());
    return form;
  }

  /** Nothing brings a deleted conversation back, so one is asked. @param {string} id @param {string} name */
  function question(id, name) {
    const yes = h("button", { type: "button", class: "button stop", "aria-label": `Delete ${name} for good` }, "Delete");
    const no = h("button", { type: "button", class: "button", onclick: render }, "Keep");
    yes.addEventListener("click", () => {
      remove(id);
      announce(`${name} is deleted`);
    });
    queueMicrotask(() => no.focus());
    return h("div", { class: "chats-question" }, yes, no);
  }

  function render() {
    const { entries } = store;
    items.replaceChildren(...entries.map(item));
    if (entries.length === 0) items.append(h("li", { class: "muted" }, "None yet. They are kept in this browser."));
    if (store.trouble) say(store.trouble);
  }

  store.addEventListener("change", render);
  render();
  show(matchMedia(WIDE).matches && store.entries.length > 0);
  return {
    element,
    opener,
    /** @param {string} id */
    mark(id) {
      current = id;
      render();
    },
  };
}

/** @param {string} sign @param {string} label @param {() => void} onclick */
function iconButton(sign, label, onclick) {
  return h("button", { type: "button", class: "button quiet icon", "aria-label": label, title: label, onclick }, sign);
}
