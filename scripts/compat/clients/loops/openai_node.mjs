// openai for JavaScript: its tool runner, parse with zod, streams and Responses, each turn sent back as it came.
import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodResponsesFunction } from "openai/helpers/zod";
import { z } from "zod";
import { MODEL, QUESTIONS, URL_, must, run } from "./checks.mjs";

const client = new OpenAI({ baseURL: URL_, apiKey: "none", maxRetries: 0 });
const Mood = z.object({ mood: z.enum(["happy", "sad"]), sure: z.boolean(), why: z.enum(["sun", "rain"]).nullable() });
const tool = zodFunction({ name: "set_mood", parameters: Mood });

async function turns(answer) {
  const messages = [];
  for (const content of QUESTIONS) {
    messages.push({ role: "user", content });
    const message = await answer({ model: MODEL, messages, tools: [tool], tool_choice: "required" });
    must(message.tool_calls?.length, "no call");
    messages.push(message);
    for (const call of message.tool_calls) messages.push({ role: "tool", tool_call_id: call.id, content: "done" });
  }
}

await run({
  "tools, three turns, parsed": () =>
    turns(async (asked) => {
      const { message } = (await client.chat.completions.parse(asked)).choices[0];
      for (const call of message.tool_calls) Mood.parse(call.function.parsed_arguments);
      return message;
    }),
  "tools, three turns, streamed": () =>
    turns(async (asked) => (await client.chat.completions.stream(asked).finalChatCompletion()).choices[0].message),
  "the tool runner, three turns": async () => {
    let calls = 0;
    const parameters = { type: "object", properties: { zone: { enum: ["here", "there"] } }, required: ["zone"] };
    const run = { type: "function", function: { name: "now", parse: JSON.parse, parameters } };
    run.function.function = () => `${++calls} o'clock`;
    const messages = [{ role: "user", content: QUESTIONS[0] }];
    const asked = { model: MODEL, messages, tools: [run], tool_choice: "required", max_tokens: 80 };
    const runner = client.chat.completions.runTools(asked, { maxChatCompletions: 3 });
    await runner.done();
    must(calls >= 2, `${calls} calls`);
  },
  "answers, three turns, parsed": async () => {
    const messages = [];
    for (const content of QUESTIONS) {
      messages.push({ role: "user", content });
      const response_format = zodResponseFormat(Mood, "mood");
      const { message } = (await client.chat.completions.parse({ model: MODEL, messages, response_format })).choices[0];
      Mood.parse(message.parsed);
      messages.push(message);
    }
  },
  "Responses with tools, three turns": async () => {
    const input = [];
    const tools = [zodResponsesFunction({ name: "set_mood", parameters: Mood })];
    for (const content of QUESTIONS) {
      input.push({ role: "user", content });
      const made = await client.responses.parse({ model: MODEL, input, tools, tool_choice: "required" });
      const called = made.output.filter((item) => item.type === "function_call");
      must(called.length, "no call");
      input.push(...made.output);
      for (const { call_id } of called) input.push({ type: "function_call_output", call_id, output: "done" });
    }
  },
});
