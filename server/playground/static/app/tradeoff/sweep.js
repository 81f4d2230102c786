/**
 * The trade-off of two objectives: several samples at each weight, drawn and listed as they come. What is plotted is
 * the value models' own estimate, averaged over an answer's tokens, not a reward.
 */

import { chart } from "./chart.js";
import { byId, h } from "../dom.js";
import { files } from "./download.js";
import { needs } from "../explain/needs.js";
import { SweepForm } from "./form.js";
import { inParallel } from "./parallel.js";
import { plan, summary } from "./plan.js";
import { pointTable } from "./point_table.js";
import { problem } from "../problem.js";
import { requestBody } from "../request.js";
import { sketch } from "./sketch.js";
import { seedFor } from "../state.js";
import { unitOf, unitsSpelt } from "../units.js";

const AT_ONCE = 6;

/** @typedef {import("./plan.js").Run} Run */
/** @typedef {import("./plan.js").Sample} Sample */

export class Sweep {
  /** @type {AbortController | null} */
  #running = null;
  #isDrawn = false;

  /** @param {import("../state.js").State} state @param {import("../connection.js").Connection} connection */
  constructor(state, connection) {
    this.state = state;
    this.connection = connection;
    this.form = new SweepForm({
      onrun: () => this.run(),
      onstop: () => this.stop(),
      oninput: () => {
        this.#keep();
        if (!this.#isDrawn) this.#sketch();
      },
    });
    this.progress = h("progress", { class: "progress", "aria-label": "Samples drawn", hidden: true });
    this.trouble = h("div");
    this.result = h("div", { class: "sweep-result" });
    this.lack = h("div", { hidden: true });
    this.body = h("div", {}, this.form.element, this.progress, this.trouble, this.result);
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
      this.lack,
      this.body,
    );
    connection.addEventListener("change", () => this.open());
  }

  open() {
    const names = this.connection.objectiveNames;
    const { sweep, prompt } = this.state.settings;
    this.form.fill(names, sweep, prompt || "How was your day?");
    const isLacking = this.connection.status === "ready" && names.length < 2;
    [this.lack.hidden, this.body.hidden] = [!isLacking, isLacking];
    if (isLacking) this.lack.replaceChildren(needs("A trade-off is between two objectives.", names, this.state));
    else if (!this.#isDrawn && names.length > 1) this.#sketch();
    this.#buttons();
  }

  #sketch() {
    this.result.replaceChildren(sketch(this.form.x.value, this.form.y.value, this.#room));
  }

  /** How wide a picture can be. */
  get #room() {
    return this.result.clientWidth / (innerWidth < 1200 ? 1 : 2) - 30 || 640;
  }

  get isRunning() {
    return this.#running !== null;
  }

  stop() {
    this.#running?.abort();
  }

  /** The weights half way, which the code dialog shows. */
  get weights() {
    const { x, y, scale } = this.form.read(this.state.settings.sweep);
    return { [x]: scale / 2, [y]: scale / 2 };
  }

  async run() {
    const { x, y, points, samples, scale } = this.#keep();
    if (this.isRunning || x === y || !this.form.prompt.value.trim() || this.connection.status !== "ready") {
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
    const messages = [{ role: "user", content: this.form.prompt.value.trim() }];
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
      `Mean value estimates of the chosen tokens, in ${unitsSpelt(objectives, [x, y])}; bars are 95 % intervals of those means. ` +
      "The estimates come from the values that steer, so they say what the steering believes, not what a judge would.";
    this.#isDrawn = true;
    const picture = chart(points, axes, said, this.#room);
    const figure = h("figure", { class: "chart" }, picture, h("figcaption", {}, caption));
    this.result.replaceChildren(figure);
    if (done.length === 0) return;
    figure.append(files(picture, done, x, y));
    this.result.append(pointTable(done, x, y));
  }

  #keep() {
    const sweep = this.form.read(this.state.settings.sweep);
    this.state.set({ sweep, prompt: this.form.prompt.value });
    return sweep;
  }

  #buttons() {
    const isReady = this.connection.status === "ready" && this.connection.objectives.length > 1;
    this.form.allow(this.isRunning, isReady);
  }
}
