// Vercel's AI SDK: tools with zod records, streams and objects, by both of its providers for such servers.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { MODEL, QUESTIONS, URL_, must, run } from "./checks.mjs";

const given = { name: "ours", baseURL: URL_, apiKey: "none", supportsStructuredOutputs: true };
const compatible = createOpenAICompatible(given)(MODEL);
const openai = createOpenAI(given);
const scores = z.record(z.enum(["a", "b"]), z.boolean());
const Mood = z.object({ mood: z.enum(["happy", "sad"]), scores });
const Plain = z.object({ mood: z.enum(["happy", "sad"]), sure: z.boolean() });
const tools = { set_mood: tool({ inputSchema: Mood, execute: async () => "done" }) };
// Unless told otherwise it sends strict, under which a record of named keys is refused, here as by OpenAI.
const loose = { strictJsonSchema: false };

// Three questions, each with two steps in which a tool must be called; messages go back as the SDK keeps them.
async function turns(model, streamed) {
  const messages = [];
  for (const content of QUESTIONS) {
    messages.push({ role: "user", content });
    const asked = { model, messages, tools, toolChoice: "required", stopWhen: stepCountIs(2), maxRetries: 0 };
    const failed = [];
    const made = streamed
      ? streamText({ ...asked, onError: ({ error }) => failed.push(error) })
      : await generateText(asked);
    if (streamed) await made.consumeStream();
    if (failed.length) throw failed[0];
    must((await made.steps).every((step) => step.toolCalls.length), "no call");
    must((await made.steps).length === 2, "not two steps");
    messages.push(...(await made.response).messages);
  }
}

async function objects(model, schema) {
  const messages = [];
  for (const content of QUESTIONS) {
    messages.push({ role: "user", content });
    const asked = { model, messages, providerOptions: { ours: loose, openai: loose }, maxRetries: 0 };
    const made = await generateText({ ...asked, output: Output.object({ schema }) });
    schema.parse(made.output);
    messages.push(...made.response.messages);
  }
}

await run({
  "tools, three turns": () => turns(compatible, false),
  "tools, three turns, streamed": () => turns(compatible, true),
  "objects with records, three turns": () => objects(compatible, Mood),
  "openai's provider: tools, three turns": () => turns(openai.chat(MODEL), false),
  "openai's provider: objects, three turns": () => objects(openai.chat(MODEL), Plain),
  "openai's provider: Responses with tools, three turns": () => turns(openai.responses(MODEL), false),
  "openai's provider: Responses with tools, streamed": () => turns(openai.responses(MODEL), true),
});
