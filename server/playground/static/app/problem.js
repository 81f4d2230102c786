/** What went wrong, in words that say what to do, with the server's own message and the ids that find it in a log. */

import { ConnectionLostError, MavisError } from "../lib/errors.js";
import { h } from "./dom.js";

/** @typedef {{title: string, message: string, detail: string}} Problem */

/** @param {Problem} problem @param {(() => void) | null} retry */
export function problemBox({ title, message, detail }, retry) {
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("strong", {}, title),
    h("p", {}, message),
    detail ? h("p", { class: "detail" }, detail) : null,
    retry ? h("button", { type: "button", class: "button", onclick: retry }, "Try again") : null,
  );
}

/** @param {unknown} error @param {(() => void) | null} retry @param {boolean} [partial] */
export function problem(error, retry, partial = false) {
  return problemBox(explain(error, partial), retry);
}

/** @param {unknown} error @param {boolean} partial is there text that was kept? @returns {Problem} */
export function explain(error, partial = false) {
  if (error instanceof ConnectionLostError) {
    const kept = partial ? "What had arrived is kept above. " : "";
    return {
      title: "Connection lost",
      message: `${kept}The server does not answer; it may be restarting.`,
      detail: "",
    };
  }
  if (error instanceof MavisError) {
    const parts = [
      error.status && `HTTP ${error.status}`,
      error.type,
      error.code,
      error.param && `field: ${error.param}`,
    ];
    const detail = [...parts, error.requestId && `request ${error.requestId}`].filter(Boolean).join(" · ");
    return { title: TITLES[error.status] ?? "The server refused", message: error.message, detail };
  }
  return { title: "Something broke in this page", message: String(error), detail: "" };
}

/** @type {Record<number, string>} */
const TITLES = {
  0: "The answer broke off",
  400: "The server refused this request",
  401: "An API key is needed",
  429: "The server is busy",
  500: "The server failed",
  503: "The server is not ready",
};
