/** What the labels of the page mean, for those who have never steered a model. */

/** @type {Record<string, [string, string]>} the label's name, what it means */
const TERMS = {
  objectives: [
    "the objectives",
    "What the answer is pulled towards. To the right more of it, to the left less, in the middle the model as it is. " +
      "1 is clearly there, 3 is a lot; too much makes the text odd.",
  ],
  expert: [
    "expert",
    "Off: sliders go from −3 to 3, which is enough for nearly everything. On: as far as the server allows, and with " +
      "how each objective is counted.",
  ],
  presets: ["kept settings", "Settings under a name of yours, kept in this browser, to be had again with a click."],
  strength: ["strength and sampling", "How strongly the sliders pull, and how the model picks its words. All may stay empty."],
  beta: [
    "beta",
    "One volume knob for all sliders together. Higher: they pull harder. Empty: a strength that was found to suit the " +
      "objectives.",
  ],
  maxKl: [
    "the KL budget",
    "A limit on how far the sliders may change the choice of each word. 0.1 keeps close to the model, 1 lets them do " +
      "nearly what they like. Empty: no limit.",
  ],
  temperature: [
    "temperature",
    "How adventurous the choice of words is. 0 always takes the likeliest word, 1 is as the model learned, above that " +
      "it gets wild.",
  ],
  topP: ["top-p", "Leaves out the least likely words: at 0.9 only the likeliest that make up 90 % are chosen from."],
  maxTokens: ["max tokens", "Where the answer is cut off at the latest. A token is a word or a piece of one."],
  seed: ["the seed", "The same question, settings and seed give the same answer again. Empty: another one each time."],
  system: ["the system prompt", "An instruction that the model reads before the conversation, and the reader does not see."],
  shade: [
    "the shading",
    "A coloured word was made likelier by the sliders, an underlined one less likely. Point at a word: base is its " +
      "chance without the sliders, tilted its chance with them, shift the difference, KL how much changed at that place.",
  ],
  klPerToken: [
    "KL per token",
    "How far the choice of words was moved from the model's own, for each word: 0 is not at all. It is counted in " +
      "nats: 0.7 nats make a word twice as likely.",
  ],
  klTotal: ["KL total", "The same for the whole answer: how far it is from what the model would have written by itself."],
  truncation: [
    "truncation",
    "The part of the KL that comes from leaving out the least likely words, not from the sliders. Steered answers " +
      "choose among the likeliest few dozen words.",
  ],
  tokens: ["tokens", "How long the answer is. A token is a word or a piece of one."],
  speed: ["tokens per second", "How many of those were written in a second."],
  across: ["across", "The objective of the picture's horizontal axis."],
  up: ["up", "The objective of the picture's vertical axis."],
  points: ["points", "How many mixtures are tried, from all of the one objective to all of the other."],
  samples: ["samples each", "How many answers each mixture gets. More take longer and make the bars shorter."],
  scale: ["total weight", "How hard is pulled in all: the two weights of a mixture always add up to this."],
};

/** @param {string} term @returns {[string, string]} */
export function meaning(term) {
  return TERMS[term];
}
