/**
 * The server as the page sees it: is it there, is its model loaded, what can it be steered towards, does it want a
 * key. Asks again every second while it is not ready, and not at all while it is.
 */

import { Mavis } from "../lib/client.js";
import { ConnectionLostError, MavisError } from "../lib/errors.js";
import { described } from "./words.js";

const KEY = "mavis.key"; // in sessionStorage: gone with the tab

/** @typedef {"connecting" | "loading" | "ready" | "lost" | "locked" | "failed"} Status */

export class Connection extends EventTarget {
  client = new Mavis({ apiKey: sessionStorage.getItem(KEY) });
  /** @type {Status} */
  status = "connecting";
  /** @type {import("../lib/client.js").Objective[]} */
  #served = [];
  /** @type {import("./words.js").Words} */
  #words = {};
  /** @type {{id: string, root: string}[]} */
  models = [];
  /** May requests describe objectives of their own? Until the server says otherwise. */
  mayDescribe = true;
  /** @type {unknown} what the last attempt said */
  error = null;
  #asking = false;

  /** The name that requests go to. */
  get model() {
    return this.models[0]?.id;
  }

  /** What there is to steer towards: the server's objectives, then those that the user has described. */
  get objectives() {
    const names = this.#served.map(({ name }) => name);
    const own = this.mayDescribe ? described(this.#words) : [];
    return [...this.#served, ...own.filter(({ name }) => !names.includes(name))];
  }

  /** @param {import("./words.js").Words} words */
  describe(words) {
    if (JSON.stringify(words) === JSON.stringify(this.#words)) return;
    this.#words = words;
    if (this.status === "ready") this.dispatchEvent(new Event("change"));
  }

  get objectiveNames() {
    return this.objectives.map(({ name }) => name);
  }

  /** Presets that the server itself offers for the model that requests go to: names like `model:preset`. */
  get serverPresets() {
    const names = [...new Set(this.models.map(({ id }) => id))];
    return names.filter((id) => id.includes(":") && id.slice(0, id.lastIndexOf(":")) === this.model);
  }

  /** @param {string} key */
  useKey(key) {
    sessionStorage.setItem(KEY, key);
    this.client.apiKey = key;
    this.ask();
  }

  /** An answer failed: is it the connection, the model or the key? @param {unknown} error */
  noteFailure(error) {
    const status = error instanceof MavisError ? error.status : null;
    if (error instanceof ConnectionLostError || status === 503 || status === 401) this.ask();
  }

  /** Asks until the server is ready or refuses for good. */
  async ask() {
    if (this.#asking) return;
    this.#asking = true;
    while (!(await this.#attempt())) await new Promise((resolve) => setTimeout(resolve, 1000));
    this.#asking = false;
  }

  /** @returns {Promise<boolean>} is there no point in asking again? */
  async #attempt() {
    try {
      await this.client.ready();
      const [{ data, bounds }, models] = await Promise.all([this.client.steerable(), this.client.models()]);
      [this.#served, this.models, this.mayDescribe] = [data, models, bounds.own_objectives];
      this.#become("ready", null);
      return true;
    } catch (error) {
      const status = error instanceof MavisError ? error.status : 0;
      if (status === 503) this.#become("loading", error);
      else if (status === 401) this.#become("locked", error);
      else if (error instanceof ConnectionLostError) this.#become("lost", error);
      else this.#become("failed", error);
      return this.status === "locked" || this.status === "failed";
    }
  }

  /** @param {Status} status @param {unknown} error */
  #become(status, error) {
    const news = status !== this.status || status === "locked" || status === "ready";
    [this.status, this.error] = [status, error];
    if (news) this.dispatchEvent(new Event("change"));
  }
}
