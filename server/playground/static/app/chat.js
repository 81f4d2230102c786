/** The conversation: turns, streaming, stop, try again, edit. */

import { AnswerView } from "./answer.js";
import { byId, h } from "./dom.js";
import { legend } from "./legend.js";
import { inWords, steerLive } from "./live.js";
import { requestBody } from "./request.js";
import { seedFor } from "./state.js";
import { SUGGESTIONS, emptyState } from "./suggestions.js";

/**
 * @typedef {import("../lib/client.js").Piece} Piece
 * @typedef {{role: "user", content: string}} UserTurn
 * @typedef {{role: "assistant", view: AnswerView}} AssistantTurn
 */

export class Chat {
  /** @type {(UserTurn | AssistantTurn)[]} */
  #turns = [];
  /** @type {AbortController | null} */
  #running = null;

  /** @param {import("./state.js").State} state @param {import("./connection.js").Connection} connection */
  constructor(state, connection) {
    this.state = state;
    this.connection = connection;
    this.list = h("div", { class: "transcript" });
    this.empty = emptyState((prompt) => this.ask(prompt));
    this.scroller = h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Conversation" },
      this.empty,
      this.list,
    );
    this.input = h("textarea", { id: "prompt", rows: 1, "aria-label": "Message", placeholder: "Write a message" });
    this.send = h("button", { class: "button primary" }, "Send");
    this.stopper = h(
      "button",
      { type: "button", class: "button stop", hidden: true, onclick: () => this.stop() },
      "Stop",
    );
    this.clear = h(
      "button",
      { type: "button", class: "button quiet", hidden: true, onclick: () => this.reset() },
      "New chat",
    );
    const form = h(
      "form",
      {},
      h("div", { class: "box" }, this.input, this.stopper, this.send),
      h("div", { class: "under" }, legend(), this.clear),
    );
    byId("view-chat").append(this.scroller, h("div", { class: "composer" }, form));
    form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#sendDraft();
    });
    this.input.addEventListener("input", () => state.set({ prompt: this.input.value }));
    this.input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#sendDraft();
    });
    this.input.value = state.settings.prompt;
    connection.addEventListener("change", () => this.#buttons());
    this.#buttons();
  }

  /** The messages so far and the draft, as the code dialog shows them. */
  get messages() {
    const draft = this.input.value.trim();
    return draft || this.#turns.length === 0
      ? [...this.#wire(this.#turns), { role: "user", content: draft || SUGGESTIONS[0].prompt }]
      : this.#wire(this.#turns.slice(0, this.#turns.findLastIndex(({ role }) => role === "user") + 1));
  }

  get isRunning() {
    return this.#running !== null;
  }

  get #isFree() {
    return !this.isRunning && this.connection.status === "ready";
  }

  #sendDraft() {
    if (!this.#isFree) return; // the draft stays
    const text = this.input.value;
    this.input.value = "";
    this.ask(text);
  }

  /** @param {string} text */
  ask(text) {
    if (!text.trim() || !this.#isFree) return;
    this.#turns.push({ role: "user", content: text.trim() });
    this.state.set({ prompt: text.trim() });
    this.#answer();
  }

  stop() {
    this.#running?.abort();
  }

  reset() {
    this.stop();
    this.#turns = [];
    this.state.set({ prompt: "" });
    this.#render();
    this.input.focus();
  }

  /** Answers the last user turn anew. */
  again() {
    if (!this.#isFree) return;
    this.#turns = this.#turns.slice(0, this.#turns.findLastIndex(({ role }) => role === "user") + 1);
    this.#answer();
  }

  async #answer() {
    const view = new AnswerView();
    const seed = seedFor(this.state.settings);
    const { model, objectiveNames: objectives, client } = this.connection;
    const { weights } = this.state.settings;
    const body = requestBody(this.state.settings, this.#wire(this.#turns), { weights, objectives, model, seed });
    const { signal } = (this.#running = new AbortController());
    this.#turns.push({ role: "assistant", view });
    this.#render();
    const following = new MutationObserver(() => this.#follow());
    following.observe(view.words, { childList: true });
    const live = steerLive(this.state, client, objectives, (error) => view.mark(`unchanged: ${error}`));
    const pieces = seen(client.chat({ .../** @type {any} */ (body), signal }), live.knownBy);
    const error = await view.run(pieces, seed, { signal, retry: () => this.again() });
    live.end();
    following.disconnect();
    this.#running = null;
    this.#render();
    if (error) this.connection.noteFailure(error);
  }

  /** @param {(UserTurn | AssistantTurn)[]} turns */
  #wire(turns) {
    const said = turns.map((turn) => ({
      role: turn.role,
      content: turn.role === "user" ? turn.content : turn.view.text,
    }));
    return said.filter(({ role, content }) => role === "user" || content !== "");
  }

  #follow() {
    const { scroller } = this;
    if (getComputedStyle(scroller).overflowY === "visible") this.list.lastChild?.scrollIntoView({ block: "end" });
    else if (scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 160)
      scroller.scrollTop = scroller.scrollHeight;
  }

  #render() {
    const last = this.#turns.length - 1;
    this.empty.hidden = last >= 0;
    this.list.hidden = last < 0;
    this.list.replaceChildren(
      ...this.#turns.map((turn, i) =>
        turn.role === "user" ? this.#userTurn(turn, i) : this.#assistantTurn(turn, i === last),
      ),
    );
    this.#buttons();
    this.#follow();
  }

  /** @param {UserTurn} turn @param {number} i */
  #userTurn(turn, i) {
    const edit = h("button", { type: "button", class: "button quiet", onclick: () => this.#edit(element, i) }, "Edit");
    edit.disabled = this.isRunning;
    const element = h(
      "article",
      { class: "turn user", "aria-label": "You" },
      h("div", { class: "said" }, turn.content),
      h("div", { class: "turn-head" }, edit),
    );
    return element;
  }

  /** @param {AssistantTurn} turn @param {boolean} isLast */
  #assistantTurn({ view }, isLast) {
    const again = isLast && !this.isRunning;
    return h(
      "article",
      { class: "turn", "aria-label": "Answer" },
      h(
        "div",
        { class: "turn-head" },
        h("span", { class: "who" }, steering(view)),
        again
          ? h("button", { type: "button", class: "button quiet", onclick: () => this.again() }, "Regenerate")
          : null,
      ),
      view.element,
    );
  }

  /**
   * What follows an edited message is gone: it answered something else.
   * @param {HTMLElement} element @param {number} i
   */
  #edit(element, i) {
    const turn = /** @type {UserTurn} */ (this.#turns[i]);
    const input = h("textarea", { rows: 3, "aria-label": "Edit message" });
    input.value = turn.content;
    const cancel = h("button", { type: "button", class: "button", onclick: () => this.#render() }, "Cancel");
    const form = h(
      "form",
      { class: "edit" },
      input,
      h("div", {}, cancel, h("button", { class: "button primary" }, "Send again")),
    );
    form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      if (!input.value.trim() || !this.#isFree) return;
      this.#turns = this.#turns.slice(0, i);
      this.ask(input.value);
    });
    element.replaceChildren(form);
    input.focus();
  }

  #buttons() {
    this.stopper.hidden = !this.isRunning;
    this.send.hidden = this.isRunning;
    this.send.disabled = this.connection.status !== "ready";
    this.clear.hidden = this.#turns.length === 0;
  }
}

/** The weights an answer was written under. @param {AnswerView} view */
function steering({ guidance, state }) {
  if (state === "running") return "Writing";
  return guidance ? inWords(guidance.weights) : "Answer";
}

/** `pieces`, whose answer's id is told as it is known. @param {AsyncIterable<Piece>} pieces @param {(id: string) => void} tell */
async function* seen(pieces, tell) {
  for await (const piece of pieces) {
    tell(piece.id);
    yield piece;
  }
}
