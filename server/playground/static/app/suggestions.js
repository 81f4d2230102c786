/** What the conversation shows before it begins. */

import { h } from "./dom.js";

export const SUGGESTIONS = [
  { prompt: "How was your day?", note: "Try cheerful at 1, then at −1" },
  { prompt: "What do you like to do on weekends?", note: "Push curious up and be asked back" },
  { prompt: "Tell me about your favourite music.", note: "Cheerful against concise" },
  { prompt: "I just moved to a new city.", note: "All at zero is the model itself" },
];

/** @param {(prompt: string) => void} ask */
export function emptyState(ask) {
  const cards = SUGGESTIONS.map(({ prompt, note }) =>
    h("button", { type: "button", class: "suggestion", onclick: () => ask(prompt) }, prompt, h("span", { class: "needs-objectives" }, note)),
  );
  const text =
    "Each objective pulls every next token towards it, or away from it on the hatched side. " +
    "Shading shows how far a token was moved, and the readout what that cost.";
  return h(
    "div",
    { class: "empty" },
    h("h1", { class: "needs-objectives" }, "Steer the answer while it is written."),
    h("h1", { class: "without-objectives" }, "What shall we talk about?"),
    h("p", { class: "needs-objectives" }, text),
    h("div", { class: "suggestions" }, ...cards),
  );
}
