/**
 * A small client: chat with weights, streamed or whole, and what there is to steer towards.
 *
 * For browsers, without dependencies. Where the official `openai` package is at hand, it does as well: the fields
 * `objective_weights` and `guidance` go into the request's body.
 */

import { ConnectionLostError, MavisError } from "./errors.js";
import { eventData } from "./sse.js";

/**
 * @typedef {Record<string, number>} Weights objective name -> weight; negative ones avoid it
 *
 * @typedef {object} Objective an entry of /v1/objectives
 * @property {string} name
 * @property {string} description
 * @property {string} kind "prompted" where it is in words
 * @property {number} recommended_beta
 * @property {[number, number]} weight_range
 *
 * @typedef {{beta: object, max_kl_per_token: object, own_objectives: boolean}} Bounds `own_objectives`: may be described in words
 *
 * @typedef {object} TokenReport one token, with `guidance.report`; in nats, values as their objectives have it
 * @property {string} token
 * @property {number} token_id
 * @property {number} logprob
 * @property {number} base_logprob
 * @property {number} steering_nats
 * @property {number} truncation_nats
 * @property {Weights} values
 *
 * @typedef {object} Change how a choice is steered from its token number `token` on, counted from 0
 * @property {number} token
 * @property {Weights} weights
 * @property {number} beta
 * @property {number | null} max_kl_per_token
 *
 * @typedef {object} Guidance what steering did to one choice
 * @property {Weights} weights
 * @property {string} source
 * @property {number} beta
 * @property {number} kl_nats
 * @property {number} kl_per_token
 * @property {number} steering_nats
 * @property {number} truncation_nats
 * @property {Weights} values
 * @property {TokenReport[]} [tokens]
 * @property {Change[]} [changes]
 *
 * @typedef {object} Piece what one event brings
 * @property {string} id the answer's, for `steer`
 * @property {number} index which of the `n` choices
 * @property {string} text
 * @property {string} reasoning what a reasoning model writes before its answer
 * @property {TokenReport[]} tokens
 * @property {string | null} finishReason set on a choice's last piece
 * @property {Guidance | null} guidance likewise
 * @property {Change | null} change set where the text is the first that is steered otherwise
 * @property {{prompt_tokens: number, completion_tokens: number} | null} usage
 *
 * @typedef {object} ChatRequest any field of POST /v1/chat/completions, and
 * @property {{role: string, content: string}[]} messages
 * @property {Weights} [weights] sent as objective_weights
 * @property {object} [guidance] beta, top_k, max_kl_per_token, report, ...
 * @property {AbortSignal} [signal]
 */

/** In a name of its own: bundlers take `new URL(..., import.meta.url)` for a file to copy. */
const HERE = import.meta.url;

export class Mavis {
  /**
   * @param {object} [options]
   * @param {string | URL} [options.baseURL] the server's root, without /v1; default: where this module came from
   * @param {string | null} [options.apiKey]
   */
  constructor({ baseURL = new URL("../../", HERE), apiKey = null } = {}) {
    this.baseURL = String(baseURL).replace(/\/*$/, "/");
    this.apiKey = apiKey;
  }

  /**
   * A streamed answer, piece by piece; leaving the loop or aborting `signal` ends it on the server too.
   * @param {ChatRequest & Record<string, unknown>} request
   * @returns {AsyncGenerator<Piece, void, void>}
   * @throws {MavisError | ConnectionLostError | DOMException}
   */
  async *chat({ signal, ...request }) {
    const response = await this.#post({ ...request, stream: true }, signal);
    const requestId = response.headers.get("x-request-id");
    try {
      for await (const data of eventData(/** @type {ReadableStream<Uint8Array>} */ (response.body))) {
        if (data === "[DONE]") return;
        const chunk = JSON.parse(data);
        if (chunk.error) throw new MavisError(chunk.error, 0, requestId);
        yield* pieces(chunk);
      }
    } catch (error) {
      throw error instanceof TypeError ? new ConnectionLostError(error) : error; // TypeError: how fetch says it
    }
    throw new ConnectionLostError();
  }

  /**
   * The whole answer at once, as the server sends it.
   * @param {ChatRequest & Record<string, unknown>} request
   * @returns {Promise<any>}
   */
  async complete({ signal, ...request }) {
    return (await this.#post(request, signal)).json();
  }

  /**
   * Steers an answer otherwise from its next token on, while it is streamed; what is left out stays.
   * @param {string} id of its pieces
   * @param {{weights?: Weights, guidance?: {beta?: number | null, max_kl_per_token?: number | null}}} steering
   * @returns {Promise<{objective_weights: Weights, guidance: object, from_token: (number | null)[]}>} what is in force,
   *   and for each choice from which token on
   */
  async steer(id, { weights, guidance }) {
    const body = JSON.stringify({ objective_weights: weights, guidance });
    const headers = { "Content-Type": "application/json" };
    return (await this.#fetch(`v1/requests/${encodeURIComponent(id)}/steering`, { method: "PATCH", headers, body })).json();
  }

  /** @param {AbortSignal} [signal] @returns {Promise<Objective[]>} */
  async objectives(signal) {
    return (await this.steerable(signal)).data;
  }

  /**
   * The objectives, and beside them what the operator allows whoever asks.
   * @param {AbortSignal} [signal] @returns {Promise<{data: Objective[], bounds: Bounds}>}
   */
  async steerable(signal) {
    return (await this.#fetch("v1/objectives", { signal })).json();
  }

  /** @param {AbortSignal} [signal] @returns {Promise<{id: string, root: string, max_model_len: number}[]>} */
  async models(signal) {
    return (await (await this.#fetch("v1/models", { signal })).json()).data;
  }

  /** Resolves where the server takes requests; else MavisError (503) or ConnectionLostError. */
  async ready() {
    await this.#fetch("ready", { cache: "no-store" });
  }

  /** @param {Record<string, unknown>} request @param {AbortSignal} [signal] */
  #post({ weights, ...request }, signal) {
    const body = weights === undefined ? request : { ...request, objective_weights: weights };
    const headers = { "Content-Type": "application/json" };
    return this.#fetch("v1/chat/completions", { method: "POST", headers, body: JSON.stringify(body), signal });
  }

  /** @param {string} path @param {RequestInit} init @returns {Promise<Response>} */
  async #fetch(path, init) {
    const headers = { ...init.headers, ...(this.apiKey ? { Authorization: `Bearer ${this.apiKey}` } : {}) };
    let response;
    try {
      response = await fetch(this.baseURL + path, { ...init, headers });
    } catch (error) {
      throw error instanceof TypeError ? new ConnectionLostError(error) : error;
    }
    if (response.ok) return response;
    const answer = await response.json().catch(() => null); // a proxy in between may answer in HTML
    const error = answer?.error ?? { message: `HTTP ${response.status} ${response.statusText}` };
    throw new MavisError(error, response.status, response.headers.get("x-request-id"));
  }
}

/** @param {any} chunk @returns {Piece[]} */
function pieces(chunk) {
  const usage = chunk.usage ?? null;
  if (chunk.choices.length === 0) {
    const nothing = { index: 0, text: "", reasoning: "", tokens: [], finishReason: null, guidance: null, change: null };
    return usage ? [{ id: chunk.id, ...nothing, usage }] : [];
  }
  return chunk.choices.map((/** @type {any} */ choice) => ({
    id: chunk.id,
    index: choice.index,
    text: choice.delta.content ?? "",
    reasoning: choice.delta.reasoning ?? "",
    tokens: choice.guidance?.tokens ?? [],
    finishReason: choice.finish_reason,
    guidance: choice.finish_reason ? (choice.guidance ?? null) : null,
    change: choice.guidance?.change ?? null,
    usage,
  }));
}
