/**
 * A conversation with its branches: a tree of turns, each of which knows which of its continuations is shown. Nothing is
 * lost by an edited message or a regenerated answer: the older one stays beside the new one.
 *
 * As JSON it is what is kept in the browser and what is exported; what comes from there is checked before it is used.
 */

export const VERSION = 1;
const MAX_TITLE = 60;
const STATES = ["idle", "running", "done", "stopped", "failed"];

/** @typedef {import("../answer.js").Record} Answer */
/** @typedef {Partial<import("../state.js").Settings>} Asked the settings that an answer was asked for with */
/**
 * @typedef {object} Turn
 * @property {"user" | "assistant" | "start"} role
 * @property {string} [content] of the user
 * @property {Answer | null} [answer] of the assistant; null before anything came
 * @property {Asked} [asked]
 * @property {Turn[]} next
 * @property {number} picked which of `next` is shown
 */

export class Conversation {
  version = VERSION;
  id = newId();
  title = "";
  named = false; // by the user
  updated = Date.now();
  /** @type {Turn} */
  start = { role: "start", next: [], picked: 0 };

  /** The turns that are shown, each with the one that it follows. @returns {{turn: Turn, before: Turn}[]} */
  get path() {
    const found = [];
    for (let before = this.start; before.next.length > 0; before = before.next[before.picked]) {
      found.push({ turn: before.next[before.picked], before });
    }
    return found;
  }

  /** The last turn that is shown. @returns {Turn} */
  get end() {
    return this.path.at(-1)?.turn ?? this.start;
  }

  /** @param {Turn} before @param {string} content */
  say(before, content) {
    if (!this.title) this.title = content.replace(/\s+/g, " ").slice(0, MAX_TITLE);
    return this.#add(before, { role: "user", content, next: [], picked: 0 });
  }

  /** @param {Turn} before @param {Asked} asked */
  answer(before, asked) {
    return this.#add(before, { role: "assistant", answer: null, asked, next: [], picked: 0 });
  }

  /** @param {Turn} before @param {Turn} turn @returns {Turn} */
  #add(before, turn) {
    before.next.push(turn);
    before.picked = before.next.length - 1;
    this.updated = Date.now();
    return turn;
  }

  /** Takes a turn and what follows it away. @param {Turn} before @param {Turn} turn */
  drop(before, turn) {
    before.next = before.next.filter((other) => other !== turn);
    before.picked = Math.max(0, before.next.length - 1);
  }

  /** Throws a TypeError that says what is wrong. @param {any} json @returns {Conversation} */
  static from(json) {
    if (json?.version !== VERSION) throw new TypeError(`version ${json?.version}: only ${VERSION} is known`);
    if (typeof json.id !== "string" || !/^[\w-]{1,64}$/.test(json.id)) throw new TypeError("no id");
    if (typeof json.title !== "string" || !Number.isFinite(json.updated)) throw new TypeError("no title or date");
    const { id, title, updated } = json;
    return Object.assign(new Conversation(), { id, title, updated, named: json.named === true, start: turn(json.start, "start") });
  }
}

/**
 * What a model is told: what was said, without what was never answered (a refused message would be refused again with
 * every later one). The last turn of `path` is the message to be answered.
 * @param {Turn[]} path @param {(turn: Turn) => string} textOf
 */
export function wire(path, textOf) {
  const said = path.filter((turn, i) => {
    if (turn.role === "assistant") return textOf(turn) !== "";
    return i === path.length - 1 || textOf(path[i + 1]) !== "";
  });
  return said.map((turn) => ({ role: turn.role, content: turn.role === "user" ? (turn.content ?? "") : textOf(turn) }));
}

export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {any} json @param {Turn["role"]} role @returns {Turn} */
function turn(json, role) {
  if (json?.role !== role || !Array.isArray(json.next)) throw new TypeError(`not a turn of ${role}`);
  const follows = role === "user" ? "assistant" : "user";
  const next = json.next.map((/** @type {any} */ each) => turn(each, follows));
  const picked = Number.isInteger(json.picked) && json.picked >= 0 && json.picked < next.length ? json.picked : 0;
  if (role === "start") return { role, next, picked };
  if (role === "user") {
    if (typeof json.content !== "string") throw new TypeError("a message without its text");
    return { role, content: json.content, next, picked };
  }
  return { role, answer: answer(json.answer), asked: asked(json.asked), next, picked };
}

/** @param {any} json @returns {Answer | null} */
function answer(json) {
  if (json === null || json === undefined) return null;
  const { text, reasoning = "", state, seed, weights, guidance, spans, marks, counted, problem } = json;
  if (typeof text !== "string" || typeof reasoning !== "string") throw new TypeError("an answer without its text");
  const number = (/** @type {unknown} */ given) => (Number.isFinite(given) ? Number(given) : 0);
  return {
    text,
    reasoning,
    state: STATES.includes(state) ? state : "stopped",
    seed: number(seed),
    weights: numbers(weights),
    guidance: guidanceOf(guidance),
    spans: spans ?? null,
    marks: (Array.isArray(marks) ? marks : []).filter(({ at, said }) => Number.isInteger(at) && typeof said === "string"),
    counted: { tokens: number(counted?.tokens), kl: number(counted?.kl), steering: number(counted?.steering), seconds: number(counted?.seconds) },
    problem: [problem?.title, problem?.message, problem?.detail].every((part) => typeof part === "string") ? problem : null,
  };
}

/** @param {any} json @returns {any} */
function guidanceOf(json) {
  const whole = json && [json.kl_nats, json.kl_per_token, json.beta].every(Number.isFinite) && numbers(json.weights);
  return whole ? json : null;
}

/** @param {any} json @returns {Record<string, number> | null} */
function numbers(json) {
  return json && typeof json === "object" && Object.values(json).every(Number.isFinite) ? json : null;
}

/** @param {any} json @returns {Asked} */
function asked(json) {
  const words = json?.words && Object.values(json.words).every((said) => typeof said === "string") ? json.words : {};
  const weights = numbers(json?.weights) ?? {};
  const number = (/** @type {unknown} */ given) => (Number.isFinite(given) ? Number(given) : null);
  const preset = typeof json?.preset === "string" ? json.preset : null;
  return { weights, words, preset, beta: number(json?.beta), maxKl: number(json?.maxKl) };
}
