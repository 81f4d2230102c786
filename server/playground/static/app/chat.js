/** The conversation: asking, streaming, stop, answering again, branches; it is kept in the browser as it grows. */

import { AnswerView } from "./answer.js";
import { hideCard } from "./card.js";
import { Conversation, wire } from "./chat/conversation.js";
import { follower } from "./chat/follow.js";
import { chatList } from "./chat/list.js";
import { Store } from "./chat/store.js";
import { answerTurn, editForm, quiet, userTurn, versions } from "./chat/turns.js";
import { byId, h, setChildren } from "./dom.js";
import { legend } from "./legend.js";
import { inWords, steerLive } from "./live.js";
import { Opening } from "./opening.js";
import { requestBody, wireWeights } from "./request.js";
import { seedFor } from "./state.js";
import { SUGGESTIONS } from "./suggestions.js";

/**
 * @typedef {import("../lib/client.js").Piece} Piece
 * @typedef {import("./chat/conversation.js").Turn} Turn
 * @typedef {import("./state.js").Settings} Settings
 */

const KEPT_EVERY = 5000; // milliseconds, while an answer streams; leaving the page keeps it too

export class Chat {
  #store = new Store();
  #conversation = this.#store.load(this.#store.openId) ?? new Conversation();
  /** @type {WeakMap<Turn, AnswerView>} */
  #views = new WeakMap();
  /** @type {WeakSet<Conversation>} deleted while an answer was being written */
  #gone = new WeakSet();
  /** @type {{stop: AbortController, turn: Turn, view: AnswerView} | null} */
  #running = null;

  /** @param {import("./state.js").State} state @param {import("./connection.js").Connection} connection */
  constructor(state, connection) {
    this.state = state;
    this.connection = connection;
    this.title = h("h1", { class: "chat-title" });
    this.list = h("div", { class: "transcript" });
    this.opening = new Opening(state, connection, ({ prompt, weights }) => {
      state.set({ weights: { ...weights }, preset: null });
      this.ask(prompt);
    });
    this.side = chatList(this.#store, {
      open: (id) => this.#open(this.#store.load(id)),
      rename: (id, title) => this.#rename(id, title),
      remove: (id) => this.#remove(id),
    });
    this.#build();
    this.follow = follower(this.scroller, this.list);
    connection.addEventListener("change", () => this.#buttons());
    state.addEventListener("change", () => this.#offerWeights());
    addEventListener("pagehide", () => {
      this.stop(); // else the browser cuts the stream, which would look like a lost connection
      this.#keep();
    });
    addEventListener("beforeunload", () => this.#running?.stop.abort());
    const said = this.#conversation.path.findLast(({ turn }) => turn.role === "user")?.turn.content;
    this.input.value = state.settings.prompt === said ? "" : state.settings.prompt; // the address has what was last said
    this.#render();
    this.follow.toEnd();
  }

  #build() {
    this.scroller = h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": "Conversation" },
      this.opening.element,
    );
    this.input = h("textarea", { id: "prompt", rows: 1, "aria-label": "Message", placeholder: "Write a message" });
    this.send = h("button", { class: "button primary" }, "Send");
    this.stopper = h("button", { type: "button", class: "button stop", hidden: true, onclick: () => this.stop() }, "Stop");
    this.clear = quiet("New chat", () => this.reset());
    const form = h(
      "form",
      {},
      h("div", { class: "box" }, this.input, this.stopper, this.send),
      h("div", { class: "under" }, legend(), h("span", { class: "under-tools" }, this.side.opener, this.clear)),
    );
    const talk = h("div", { class: "talk" }, this.scroller, h("div", { class: "composer" }, form));
    byId("view-chat").append(talk, this.side.element);
    form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#sendDraft();
    });
    this.input.addEventListener("input", () => this.state.set({ prompt: this.input.value }));
    this.input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#sendDraft();
    });
  }

  get #path() {
    return this.#conversation.path.map(({ turn }) => turn);
  }

  /** The messages so far and the draft, as the code dialog shows them. */
  get messages() {
    const path = this.#path;
    const draft = this.input.value.trim();
    if (draft || path.length === 0) {
      const content = draft || SUGGESTIONS[0].prompt;
      return this.#wire([...path, { role: "user", content, next: [], picked: 0 }]);
    }
    return this.#wire(path.slice(0, path.findLastIndex(({ role }) => role === "user") + 1));
  }

  /** Of the last answer, for a link with which it can be had again. @returns {number | null} */
  get lastSeed() {
    const last = this.#path.findLast(({ role }) => role === "assistant");
    return last ? this.#view(last).seed : null;
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

  /** @param {string} text @param {Turn} [before] after which it is said; else at the end */
  ask(text, before = this.#conversation.end) {
    const content = text.trim();
    if (!content || !this.#isFree) return;
    const turn = this.#conversation.say(before, content);
    this.state.set({ prompt: content });
    this.#answer(turn, this.state.settings);
  }

  stop() {
    this.#running?.stop.abort();
    this.opening.stop();
  }

  reset() {
    this.#open(new Conversation());
    this.state.set({ prompt: "" });
    this.input.focus();
  }

  /** @param {Conversation | null} conversation */
  #open(conversation) {
    if (!conversation) return;
    this.stop();
    this.#keep();
    this.#conversation = conversation;
    this.#render();
    this.follow.toEnd();
  }

  /** @param {string} id @param {string} title */
  #rename(id, title) {
    const conversation = id === this.#conversation.id ? this.#conversation : this.#store.load(id);
    if (!conversation) return;
    Object.assign(conversation, { title, named: true });
    this.#store.save(conversation);
    this.#render();
  }

  /** @param {string} id */
  #remove(id) {
    if (id === this.#conversation.id) {
      this.stop();
      this.#gone.add(this.#conversation);
      this.#conversation = new Conversation();
      this.#render();
    }
    this.#store.remove(id);
  }

  /**
   * Answers the message before a turn anew, beside what is there; only a failure without a word is not worth keeping.
   * @param {Turn} turn @param {Settings} settings
   */
  #regenerate(turn, settings) {
    const before = this.#conversation.path.find((step) => step.turn === turn)?.before;
    if (!this.#isFree || !before) return;
    const { state, text } = this.#view(turn);
    if (state === "failed" && text === "") this.#conversation.drop(before, turn);
    this.#answer(before, settings);
  }

  /** The settings of now, but steered as an answer was. @param {Turn} turn @returns {Settings} */
  #settingsOf({ asked = {} }) {
    return { ...this.state.settings, ...asked, words: { ...this.state.settings.words, ...asked.words } };
  }

  /** @param {Turn} message @param {Settings} settings */
  async #answer(message, settings) {
    const conversation = this.#conversation;
    const { model, objectiveNames, client, mayDescribe } = this.connection;
    const { weights, words, preset, beta, maxKl } = settings;
    const objectives = [...new Set([...objectiveNames, ...(mayDescribe ? Object.keys(words) : [])])];
    const seed = seedFor(settings);
    const path = this.#path.slice(0, this.#path.indexOf(message) + 1);
    const body = requestBody(settings, this.#wire(path), { weights, objectives, model, seed });
    const turn = conversation.answer(message, { weights, words, preset, beta, maxKl });
    const view = new AnswerView();
    this.#views.set(turn, view);
    const stop = new AbortController();
    this.#running = { stop, turn, view };
    const live = steerLive(this.state, client, objectives, (error) => view.mark(`unchanged: ${error}`));
    const pieces = seen(client.chat({ .../** @type {any} */ (body), signal: stop.signal }), live.knownBy);
    const written = view.run(pieces, seed, {
      signal: stop.signal,
      retry: () => this.#regenerate(turn, this.state.settings),
      weights: preset === null ? wireWeights(weights, objectives) : undefined,
    });
    const keeping = setInterval(() => this.#keep(), KEPT_EVERY);
    this.#render();
    this.follow.begin();
    const error = await written;
    clearInterval(keeping);
    live.end();
    turn.answer = view.record;
    if (!this.#gone.has(conversation)) this.#store.save(conversation);
    this.#running = null;
    this.#render();
    this.follow.end();
    if (error) this.connection.noteFailure(error);
  }

  /** Writes down what is there of the answer, and the conversation if anything was said in it. */
  #keep() {
    if (this.#running) this.#running.turn.answer = this.#running.view.record;
    if (this.#conversation.start.next.length > 0) this.#store.save(this.#conversation);
  }

  /** @param {Turn[]} path */
  #wire(path) {
    return wire(path, (turn) => this.#view(turn).text);
  }

  /** @param {Turn} turn @returns {AnswerView} */
  #view(turn) {
    const there = this.#views.get(turn);
    if (there) return there;
    const retry = () => this.#regenerate(turn, this.state.settings);
    const view = turn.answer ? AnswerView.of(turn.answer, retry) : new AnswerView();
    this.#views.set(turn, view);
    return view;
  }

  #render() {
    hideCard();
    const { path } = this.#conversation;
    const begun = path.length > 0;
    if (begun) this.opening.stop();
    const shown = begun ? this.list : this.opening.element;
    if (!shown.isConnected) this.scroller.replaceChildren(shown);
    this.title.textContent = this.#conversation.title;
    const turns = path.map(({ turn, before }) =>
      turn.role === "user" ? this.#userTurn(turn, before) : this.#answerTurn(turn, before),
    );
    setChildren(this.list, begun ? [this.title, ...turns] : []);
    this.#store.openId = this.#conversation.id;
    this.side.mark(this.#conversation.id);
    this.#buttons();
    this.#offerWeights();
  }

  /** @param {Turn} turn @param {Turn} before */
  #userTurn(turn, before) {
    const content = turn.content ?? "";
    const edit = () => {
      const cancel = () => this.#render();
      const form = editForm(content, { cancel, send: (text) => this.ask(text, before) });
      element.replaceChildren(form);
      form.querySelector("textarea").focus();
    };
    const element = userTurn(content, this.#versions(turn, before), quiet("Edit", edit, this.isRunning));
    return element;
  }

  /** @param {Turn} turn @param {Turn} before */
  #answerTurn(turn, before) {
    const view = this.#view(turn);
    if (this.isRunning) return answerTurn(view, this.#versions(turn, before));
    const again = quiet("Regenerate", () => this.#regenerate(turn, this.#settingsOf(turn)));
    const otherwise = quiet("Regenerate with these weights", () => this.#regenerate(turn, this.state.settings));
    otherwise.classList.add("otherwise");
    const element = answerTurn(view, this.#versions(turn, before), otherwise, again);
    element.dataset.asked = inWords(turn.asked?.weights ?? {});
    return element;
  }

  /** @param {Turn} turn @param {Turn} before */
  #versions(turn, before) {
    const pick = (/** @type {number} */ i) => {
      before.picked = i;
      this.#keep();
      this.#render();
    };
    return versions(before, turn, pick, this.isRunning);
  }

  /** An answer can be had again under the weights of now where those are others. */
  #offerWeights() {
    const now = inWords(this.state.settings.weights);
    for (const button of this.list.querySelectorAll(".otherwise")) {
      button.hidden = button.closest(".turn").dataset.asked === now;
      button.title = now;
    }
  }

  #buttons() {
    this.stopper.hidden = !this.isRunning;
    this.send.hidden = this.isRunning;
    this.send.disabled = this.connection.status !== "ready";
    this.clear.hidden = this.#conversation.start.next.length === 0;
  }
}

/** `pieces`, whose answer's id is told as it is known. @param {AsyncIterable<Piece>} pieces @param {(id: string) => void} tell */
async function* seen(pieces, tell) {
  for await (const piece of pieces) {
    tell(piece.id);
    yield piece;
  }
}
