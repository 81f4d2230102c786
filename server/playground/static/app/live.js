/** Steers the answer that is being written as the sliders move: one request at a time, and the newest settings win. */

import { MavisError } from "../lib/errors.js";
import { requestBody } from "./request.js";

/** @typedef {import("./state.js").State} State */

/**
 * @param {State} state
 * @param {import("../lib/client.js").Mavis} client
 * @param {string[]} objectives those that the answer may be steered by
 * @param {(error: unknown) => void} refused
 * @returns {{knownBy: (id: string) => void, end: () => void}} told the answer's id, and its end
 */
export function steerLive(state, client, objectives, refused) {
  const wanted = () => {
    const { weights, beta, maxKl, preset } = state.settings;
    const body = requestBody(state.settings, [], { weights, objectives, model: undefined, seed: 0 });
    const guidance = { beta, max_kl_per_token: maxKl };
    return preset === null ? { weights: body.objective_weights, guidance } : { guidance };
  };
  let sent = JSON.stringify(wanted());
  let id = "";
  let busy = false;

  const follow = async () => {
    if (busy || id === "") return;
    busy = true;
    for (let now = wanted(); JSON.stringify(now) !== sent; now = wanted()) {
      sent = JSON.stringify(now);
      try {
        await client.steer(id, now);
      } catch (error) {
        if (!(error instanceof MavisError && error.status === 404)) refused(error); // 404: it was just finished
      }
    }
    busy = false;
  };

  state.addEventListener("change", follow);
  return {
    knownBy(answer) {
      if (id !== "") return;
      id = answer;
      follow();
    },
    end() {
      state.removeEventListener("change", follow);
      id = "";
    },
  };
}

/** "cheerful +2, concise −1". @param {Record<string, number>} weights */
export function inWords(weights) {
  const steered = Object.entries(weights).filter(([, weight]) => weight !== 0);
  return steered.map(([name, weight]) => `${name} ${weight > 0 ? "+" : "−"}${Math.abs(weight)}`).join(", ") || "not steered";
}
