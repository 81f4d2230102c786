/**
 * Conversations in this browser's local storage, one entry each, so that a broken one costs only itself. Where the
 * browser keeps nothing (storage is off) they last as long as the page.
 */

import { Conversation, newId } from "./conversation.js";

const PREFIX = "mavis.chat.";
const OPEN = "mavis.chat-open"; // in sessionStorage: each tab has its own

/** @typedef {{id: string, title: string, updated: number}} Entry */

export class Store extends EventTarget {
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  /** null, or why the last conversation was not kept as it is @type {string | null} */
  trouble = null;

  constructor() {
    super();
    this.#readAll();
    addEventListener("storage", ({ key }) => {
      if (key !== null && !key.startsWith(PREFIX)) return; // another tab has written
      this.#readAll();
      this.#changed();
    });
  }

  /** The newest first. @returns {Entry[]} */
  get entries() {
    return [...this.#entries.values()].sort((a, b) => b.updated - a.updated);
  }

  /** The conversation that this tab shows. */
  get openId() {
    return attempt(() => sessionStorage.getItem(OPEN)) ?? "";
  }

  set openId(id) {
    attempt(() => sessionStorage.setItem(OPEN, id));
  }

  /** @param {string} id @returns {Conversation | null} null where there is none that can be read */
  load(id) {
    try {
      return Conversation.from(JSON.parse(localStorage.getItem(PREFIX + id) ?? "null"));
    } catch {
      return null; // not ours, or of another version: it stays where it is
    }
  }

  /** @param {Conversation} conversation */
  save(conversation) {
    const { id, title, updated } = conversation;
    const before = this.#entries.get(id);
    const trouble = this.#write(conversation);
    const news = before?.title !== title || before.updated !== updated || trouble !== this.trouble;
    this.trouble = trouble;
    this.#entries.set(id, { id, title, updated });
    if (news) this.#changed();
  }

  /** @param {string} id */
  remove(id) {
    attempt(() => localStorage.removeItem(PREFIX + id));
    this.#entries.delete(id);
    this.#changed();
  }

  /** All conversations as one JSON text. */
  exported() {
    const conversations = this.entries.map(({ id }) => this.load(id)).filter(Boolean);
    return JSON.stringify({ kind: "mavis-conversations", conversations }, null, 1);
  }

  /**
   * Adds what `exported` wrote; those that are here already stay as they are.
   * @param {string} text
   * @returns {{added: string[], broken: number}} the ids of the new ones, and how many could not be read
   */
  import(text) {
    const { kind, conversations } = JSON.parse(text);
    if (kind !== "mavis-conversations" || !Array.isArray(conversations)) throw new TypeError("these are no conversations");
    /** @type {string[]} */
    const added = [];
    let broken = 0;
    for (const json of conversations) {
      try {
        const conversation = Conversation.from(json);
        const here = this.load(conversation.id);
        if (here && JSON.stringify(here) === JSON.stringify(conversation)) continue;
        if (here) conversation.id = newId();
        this.save(conversation);
        added.push(conversation.id);
      } catch (error) {
        console.info("a conversation cannot be imported", error);
        broken += 1;
      }
    }
    return { added, broken };
  }

  /** @param {Conversation} conversation @returns {string | null} */
  #write(conversation) {
    const put = (/** @type {string} */ text) => attempt(() => (localStorage.setItem(PREFIX + conversation.id, text), true));
    if (put(JSON.stringify(conversation))) return null;
    const bare = JSON.stringify(conversation, (key, value) => (key === "spans" ? null : value));
    if (put(bare)) return "This browser's storage is full: shading is no longer kept. Export and delete conversations.";
    return "This browser keeps nothing more: the conversation is lost with this page. Export it.";
  }

  #readAll() {
    this.#entries.clear();
    const keys = attempt(() => Object.keys(localStorage)) ?? [];
    for (const key of keys.filter((each) => each.startsWith(PREFIX))) {
      const found = this.load(key.slice(PREFIX.length));
      if (found) this.#entries.set(found.id, { id: found.id, title: found.title, updated: found.updated });
    }
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** Storage that is switched off or full throws. @template T @param {() => T} use @returns {T | undefined} */
function attempt(use) {
  try {
    return use();
  } catch {
    return undefined;
  }
}
