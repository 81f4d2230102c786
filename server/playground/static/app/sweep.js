/**
 * The trade-off of two objectives: several samples at each weight, drawn and listed as they come. What is plotted is
 * the value models' own estimate, averaged over an answer's tokens, not a reward.
 */

import { chart } from "./chart.js";
import { byId, h } from "./dom.js";
import { inParallel } from "./parallel.js";
import { plan, summary } from "./plan.js";
import { pointTable } from "./point_table.js";
import { problem } from "./problem.js";
import { requestBody } from "./request.js";
import { seedFor } from "./state.js";
import { unitOf, unitsSpelt } from "./units.js";

const AT_ONCE = 6;

/** @typedef {import("./plan.js").Run} Run */
/** @typedef {import("./plan.js").Sample} Sample */

export class Sweep {
  /** @type {AbortController | null} */
  #running = null;

  /** @param {import("./state.js").State} state @param {import("./connection.js").Connection} connection */
  constructor(state, connection) {
    this.state = state;
    this.connection = connection;
    this.prompt = h("textarea", { id: "sweep-prompt", rows: 1 });
    this.x = h("select", { id: "sweep-x" });
    this.y = h("select", { id: "sweep-y" });
    this.points = h("input", { class: "input", id: "sweep-points", type: "number", min: 2, max: 21, required: true });
    this.samples = h("input", { class: "input", id: "sweep-samples", type: "number", min: 1, max: 32, required: true });
    this.scale = h("input", {
      class: "input",
      id: "sweep-scale",
      type: "number",
      min: 0.1,
      max: 16,
      step: "any",
      required: true,
    });
    this.go = h("button", { class: "button primary" }, "Draw");
    this.stopper = h(
      "button",
      { type: "button", class: "button stop", hidden: true, onclick: () => this.#running?.abort() },
      "Stop",
    );
    const fields = [
      ["Across", this.x],
      ["Up", this.y],
      ["Points", this.points],
      ["Samples each", this.samples],
      ["Total weight", this.scale],
    ];
    this.form = h(
      "form",
      { class: "sweep-form" },
      h("div", { class: "field" }, h("label", { for: "sweep-prompt" }, "Prompt"), this.prompt),
      h(
        "div",
        { class: "sweep-fields" },
        ...fields.map(([label, input]) => h("div", { class: "field" }, h("label", { for: input.id }, label), input)),
        this.go,
        this.stopper,
      ),
    );
    this.progress = h("progress", { class: "progress", "aria-label": "Samples drawn", hidden: true });
    this.trouble = h("div");
    this.result = h("div", { class: "sweep-result" });
    byId("view-sweep").append(
      h(
        "div",
        { class: "view-head" },
        h("h1", {}, "What one objective costs the other"),
        h(
          "p",
          {},
          "Weights go from one objective to the other. Each point is the mean of its samples; " +
            "the closer to the top right, the more of both.",
        ),
      ),
      this.form,
      this.progress,
      this.trouble,
      this.result,
    );
    this.form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.run();
    });
    this.form.addEventListener("input", () => this.#keep());
    connection.addEventListener("change", () => this.open());
  }

  open() {
    const names = this.connection.objectiveNames;
    const { x, y, points, samples, scale } = this.state.settings.sweep;
    this.prompt.value = this.state.settings.prompt || "How was your day?";
    [this.points.value, this.samples.value, this.scale.value] = [points, samples, scale];
    for (const select of [this.x, this.y]) select.replaceChildren(...names.map((name) => h("option", {}, name)));
    this.x.value = names.includes(x) ? x : (names[0] ?? "");
    this.y.value = names.includes(y) ? y : (names[1] ?? "");
    this.#buttons();
    if (!this.result.firstChild && names.length < 2)
      this.result.append(h("p", { class: "muted" }, "This needs two objectives."));
  }

  get isRunning() {
    return this.#running !== null;
  }

  stop() {
    this.#running?.abort();
  }

  /** The weights half way, which the code dialog shows. */
  get weights() {
    return { [this.x.value]: Number(this.scale.value) / 2, [this.y.value]: Number(this.scale.value) / 2 };
  }

  async run() {
    const { x, y, points, samples, scale } = this.#keep();
    if (this.isRunning || x === y || !this.prompt.value.trim() || this.connection.status !== "ready") {
      if (x === y)
        this.trouble.replaceChildren(h("p", { class: "problem", role: "alert" }, "Choose two different objectives."));
      return;
    }
    const runs = plan(x, y, points, scale);
    const { signal } = (this.#running = new AbortController());
    const seed = seedFor(this.state.settings);
    // Point by point within a round: the whole curve appears early and becomes finer.
    const jobs = Array.from({ length: samples }, (_, i) => runs.map((run) => ({ run, seed: seed + i }))).flat();
    Object.assign(this.progress, { max: jobs.length, value: 0, hidden: false });
    this.trouble.replaceChildren();
    this.#buttons();
    this.#show(runs, x, y);
    try {
      await inParallel(jobs, AT_ONCE, async (job) => {
        job.run.samples.push(await this.#sample(job.run, job.seed, x, y, signal));
        job.run.samples.sort((one, other) => one.seed - other.seed); // they come back in any order
        this.progress.value += 1;
        this.#show(runs, x, y);
      });
    } catch (error) {
      if (!signal.aborted) {
        this.#running.abort(); // the others would be drawn for nobody
        this.trouble.replaceChildren(problem(error, () => this.run(), true));
        this.connection.noteFailure(error);
      }
    }
    this.#running = null;
    this.progress.hidden = true;
    this.#buttons();
  }

  /**
   * @param {Run} run @param {number} seed @param {string} x @param {string} y @param {AbortSignal} signal
   * @returns {Promise<Sample>}
   */
  async #sample(run, seed, x, y, signal) {
    const { model, objectiveNames: objectives, client } = this.connection;
    const messages = [{ role: "user", content: this.prompt.value.trim() }];
    const settings = { ...this.state.settings, preset: null };
    const body = requestBody(settings, messages, {
      weights: run.weights,
      objectives: objectives.filter((name) => name in run.weights),
      model,
      seed,
    });
    delete body.guidance.report; // means are enough here
    const [choice] = (await client.complete({ .../** @type {any} */ (body), signal })).choices;
    const { values, kl_per_token: kl } = choice.guidance;
    return { seed, x: values[x], y: values[y], kl, text: choice.message.content };
  }

  /** @param {Run[]} runs @param {string} x @param {string} y */
  #show(runs, x, y) {
    const done = runs.filter(({ samples }) => samples.length > 0);
    const points = done.map(({ label, samples, base }) => ({ label, samples, base, ...summary(samples) }));
    const said = `${y} against ${x}, ${done.length} points; the table beside it has the numbers.`;
    const { objectives } = this.connection;
    const axes = { x: `${x} (${unitOf(objectives, x)})`, y: `${y} (${unitOf(objectives, y)})` };
    const caption =
      `Mean value estimates of the chosen tokens, in ${unitsSpelt(objectives, [x, y])}; bars are one standard error. ` +
      "The estimates come from the values that steer, so they say what the steering believes, not what a judge would.";
    this.result.replaceChildren(
      h("figure", { class: "chart" }, chart(points, axes, said), h("figcaption", {}, caption)),
      ...(done.length ? [pointTable(done, x, y)] : []),
    );
  }

  #keep() {
    const [points, samples, scale] = [this.points, this.samples, this.scale].map((input) => Number(input.value));
    const sweep = { x: this.x.value, y: this.y.value, points, samples, scale };
    this.state.set({ sweep, prompt: this.prompt.value });
    return sweep;
  }

  #buttons() {
    this.go.hidden = this.isRunning;
    this.go.disabled = this.connection.status !== "ready" || this.connection.objectives.length < 2;
    this.stopper.hidden = !this.isRunning;
  }
}
