/** The same prompt and seed under two to four weight settings, streamed at once. */

import { Below } from "./below.js";
import { Column } from "./columns.js";
import { byId, h } from "../dom.js";
import { legend } from "../legend.js";
import { requestBody } from "../request.js";
import { needs } from "../explain/needs.js";
import { MAX_COLUMNS } from "../share.js";
import { seedFor } from "../state.js";

export class Compare {
  /** @type {Column[]} */
  #columns = [];
  /** @type {AbortController | null} */
  #running = null;

  /** @param {import("../state.js").State} state @param {import("../connection.js").Connection} connection */
  constructor(state, connection) {
    this.state = state;
    this.connection = connection;
    this.prompt = h("textarea", { id: "compare-prompt", rows: 1 });
    this.go = h("button", { class: "button primary" }, "Compare");
    this.stopper = h(
      "button",
      { type: "button", class: "button stop", hidden: true, onclick: () => this.stop() },
      "Stop",
    );
    this.more = h(
      "button",
      { type: "button", class: "button", onclick: () => this.#add({}) },
      "Add column",
    );
    const form = h(
      "form",
      { class: "ask" },
      h("div", { class: "field" }, h("label", { for: "compare-prompt" }, "Prompt"), this.prompt),
      this.go,
      this.stopper,
      this.more,
    );
    this.grid = h("div", { class: "columns" });
    this.below = new Below();
    this.lack = h("div", { hidden: true });
    this.body = h("div", {}, form, legend(), this.grid, this.below.element);
    byId("view-compare").append(
      h(
        "div",
        { class: "view-head" },
        h("h1", {}, "One prompt, several weights"),
        h(
          "p",
          {},
          "Every column gets the same prompt and the same seed, so what differs comes from the weights alone.",
        ),
      ),
      this.lack,
      this.body,
    );
    form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.run();
    });
    this.prompt.addEventListener("input", () => state.set({ prompt: this.prompt.value }));
    connection.addEventListener("change", () => this.#offer());
    document.addEventListener("expert", () => this.#offer());
    for (const weights of state.settings.columns) this.#add(weights);
  }

  /** Called when the view comes up: the prompt is the one of the other views; untouched columns get a contrast. */
  open() {
    this.prompt.value = this.state.settings.prompt || "How was your day?";
    const untouched =
      this.#columns.length === 2 && this.#columns.every(({ weights }) => !Object.values(weights).some(Boolean));
    const [, second] = this.#columns;
    const first = this.connection.objectiveNames[0];
    if (!untouched || !first) return;
    const chosen = this.state.settings.weights;
    second.weights = Object.values(chosen).some(Boolean) ? { ...chosen } : { [first]: 1 };
    this.#offer();
    this.#keep();
  }

  get weights() {
    return this.#columns[1]?.weights ?? {};
  }

  get isRunning() {
    return this.#running !== null;
  }

  stop() {
    this.#running?.abort();
  }

  async run() {
    const content = this.prompt.value.trim();
    if (!content || this.isRunning || this.connection.status !== "ready") return;
    this.state.set({ prompt: content });
    const seed = seedFor(this.state.settings);
    const { model, objectiveNames: objectives, client } = this.connection;
    const { signal } = (this.#running = new AbortController());
    this.#buttons();
    const retry = () => this.run();
    const errors = await Promise.all(
      this.#columns.map((column) => {
        const settings = { ...this.state.settings, preset: null };
        const body = requestBody(settings, [{ role: "user", content }], {
          weights: column.weights,
          objectives,
          model,
          seed,
        });
        column.clear();
        return column.answer.run(client.chat({ .../** @type {any} */ (body), signal }), seed, { signal, retry });
      }),
    );
    this.#running = null;
    this.#buttons();
    const error = errors.find(Boolean);
    if (error) this.connection.noteFailure(error);
  }

  /** @param {Record<string, number>} weights */
  #add(weights) {
    const column = new Column(weights, {
      oninput: () => this.#keep(),
      onremove: () => {
        this.#columns = this.#columns.filter((other) => other !== column);
        column.element.remove();
        this.#place();
        this.#keep();
        this.more.focus();
      },
    });
    column.offer(this.connection.objectives);
    this.#columns.push(column);
    this.grid.append(column.element);
    this.#place();
    this.#keep();
  }

  #place() {
    this.#columns.forEach((column, i) => column.place(i, this.#columns.length > 2));
    this.below.watch(this.#columns);
    this.#buttons();
  }

  #keep() {
    this.state.set({ columns: this.#columns.map(({ weights }) => weights) });
  }

  #offer() {
    const { objectives, objectiveNames, status } = this.connection;
    for (const column of this.#columns) column.offer(objectives);
    const isLacking = status === "ready" && objectives.length === 0;
    [this.lack.hidden, this.body.hidden] = [!isLacking, isLacking];
    if (isLacking) this.lack.replaceChildren(needs("To compare weights takes an objective.", objectiveNames, this.state));
    this.#buttons();
  }

  #buttons() {
    this.go.hidden = this.isRunning;
    this.go.disabled = this.connection.status !== "ready";
    this.stopper.hidden = !this.isRunning;
    this.more.disabled = this.#columns.length >= MAX_COLUMNS || this.isRunning;
    for (const { removal } of this.#columns) removal.disabled = this.isRunning;
  }
}
