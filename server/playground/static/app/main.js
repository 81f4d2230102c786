/** Puts the page together: state from the address, the connection, the panel, the three views, what the keys do. */

import { explainValues } from "./card.js";
import { Chat } from "./chat.js";
import { Compare } from "./compare/compare.js";
import { Connection } from "./connection.js";
import { askKey, copyText, showCode, showHelp } from "./dialogs.js";
import { announce, byId, h } from "./dom.js";
import { expertSwitch } from "./panel/expert.js";
import { settingsPanel } from "./panel/panel.js";
import { presetList } from "./presets.js";
import { requestBody, withoutZeros } from "./request.js";
import { fromHash, toHash } from "./share.js";
import { settingsSheet } from "./panel/sheet.js";
import { State, seedFor } from "./state.js";
import { markSteerable } from "./steerable.js";
import { Sweep } from "./tradeoff/sweep.js";
import { viewTabs } from "./views.js";
import { ownObjectives } from "./words.js";

const { settings, refused } = fromHash(location.hash);
const state = new State(settings);
const connection = new Connection();
markSteerable(connection);
expertSwitch(connection);
const chat = new Chat(state, connection);
const compare = new Compare(state, connection);
const sweep = new Sweep(state, connection);
settingsPanel(state, connection);
settingsSheet();
ownObjectives(state, connection);
presetList(state, connection);
viewTabs(state, { chat, compare, sweep });

// The address always says what is set, so a reload or a copied link brings it back.
let writing = 0;
state.addEventListener("change", () => {
  clearTimeout(writing);
  writing = setTimeout(
    () => history.replaceState(null, "", toHash(state.settings) || location.pathname + location.search),
    200,
  );
});

const WORDS = {
  connecting: "connecting",
  loading: "model loading",
  lost: "no connection",
  locked: "needs a key",
  failed: "failed",
};

connection.addEventListener("change", () => {
  const { status } = connection;
  const label = status === "ready" ? (connection.model ?? "ready") : WORDS[status];
  byId("state").dataset.state = status;
  byId("state").replaceChildren(h("span", {}, label));
  byId("state").title = label;
  explainValues(connection.objectives);
  dropUnknownPreset();
  notify();
  if (status === "locked") lock();
  if (status === "ready" && state.settings.view === "compare") compare.open();
});

/** The dialog can be left without a key: the notice stays, and leads back to it. */
function lock() {
  const text = "Sliders and answers are here once a key is given.";
  byId("weights-place").replaceChildren(h("p", { class: "muted" }, text));
  enterKey();
}

function enterKey() {
  askKey(connection.client.apiKey !== null, (key) => connection.useKey(key));
}

/** A link may name a preset that this server does not have. */
function dropUnknownPreset() {
  const { preset } = state.settings;
  if (connection.status !== "ready" || preset === null || connection.serverPresets.includes(preset)) return;
  refused.push(preset);
  state.set({ preset: null });
}

/** One line above the view, while there is something to say about the server or the link. */
function notify() {
  const unknown = Object.keys(state.settings.weights).filter((name) => !connection.objectiveNames.includes(name));
  const left = connection.status === "ready" ? [...refused, ...unknown] : [];
  const notices = {
    locked: "This server answers only with an API key.",
    loading: "The model is loading. You can write already; sending waits until it is there.",
    lost: "The server does not answer. The page tries again every second.",
    failed: `The server answered something unexpected: ${connection.error}`,
    ready: left.length ? `Left out of the link, as this server does not know it: ${left.join(", ")}` : "",
  };
  const text = /** @type {Record<string, string>} */ (notices)[connection.status] ?? "";
  byId("notice").hidden = text === "";
  const key = h("button", { type: "button", class: "button", onclick: enterKey }, "Enter a key");
  byId("notice").replaceChildren(text, ...(connection.status === "locked" ? [key] : []));
}

const THEME_ICONS = { auto: "◐", light: "☀", dark: "☾" };

function showTheme() {
  const theme = /** @type {keyof typeof THEME_ICONS} */ (document.documentElement.dataset.theme);
  byId("theme").textContent = THEME_ICONS[theme];
  byId("theme").setAttribute("aria-label", `Theme: ${theme}`);
  byId("theme").title = `Theme: ${theme}`;
}

byId("theme").addEventListener("click", () => {
  document.dispatchEvent(new Event("next-theme"));
  showTheme();
});
showTheme();

byId("share").addEventListener("click", async () => {
  const seed = state.settings.seed ?? (state.settings.view === "chat" ? chat.lastSeed : null);
  const link = toHash({ ...state.settings, seed }); // with the seed, else the answer could not be had again
  history.replaceState(null, "", link || location.pathname + location.search);
  const copied = await copyText(location.href);
  byId("share").textContent = copied ? "Copied" : "In the address";
  announce(copied ? "Link copied" : "The link is in the address bar");
  setTimeout(() => (byId("share").textContent = "Share"), 1800);
});

byId("show-code").addEventListener("click", () => {
  const { view, prompt } = state.settings;
  const messages = view === "chat" ? chat.messages : [{ role: "user", content: prompt || "How was your day?" }];
  const weights = view === "chat" ? state.settings.weights : { compare, sweep }[view].weights;
  const { model, objectiveNames: objectives, client } = connection;
  const preset = view === "chat" ? state.settings.preset : null;
  const body = requestBody({ ...state.settings, preset }, messages, {
    weights,
    objectives,
    model,
    seed: seedFor(state.settings),
  });
  showCode(withoutZeros(body), { root: client.baseURL, keyed: client.apiKey !== null });
});

byId("show-help").addEventListener("click", showHelp);

document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") [chat, compare, sweep].forEach((view) => view.stop());
  const [target] = event.composedPath();
  const typing =
    target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "?") showHelp();
  if (event.key === "/") {
    event.preventDefault();
    byId({ chat: "prompt", compare: "compare-prompt", sweep: "sweep-prompt" }[state.settings.view]).focus();
  }
});

connection.ask();
