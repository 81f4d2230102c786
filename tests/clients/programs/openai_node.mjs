// Every case with openai's JavaScript client; prints what came back as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const OpenAI = createRequire(process.argv[3] + "/")("openai").default;
const baseURL = process.argv[2] + "/v1";
const { messages, weights, tool, schema } = JSON.parse(readFileSync(new URL("ask.json", import.meta.url)));
const client = new OpenAI({ baseURL, apiKey: "none" });

async function ask(more, using = client) {
  const body = { model: "m", messages, max_tokens: 4, ...more };
  return (await using.chat.completions.create(body)).choices[0];
}

function called({ message }) {
  return (message.tool_calls ?? []).map((call) => [call.function.name, JSON.parse(call.function.arguments)]);
}

async function calls(tool_choice) {
  return called(await ask({ tools: [tool], tool_choice, max_tokens: 60 }));
}

async function streamedCalls() {
  const body = { model: "m", messages, tools: [tool], tool_choice: "required", max_tokens: 60 };
  return called((await client.chat.completions.stream(body).finalChatCompletion()).choices[0]);
}

const stream = [];
let last;
for await (const chunk of await client.chat.completions.create({
  model: "m",
  messages,
  max_tokens: 4,
  stream: true,
  objective_weights: weights,
})) {
  last = chunk.choices[0];
  if (last.delta.content) stream.push(last.delta.content);
}
const steered = new OpenAI({
  baseURL,
  apiKey: "none",
  defaultHeaders: { "X-Objective-Weights": JSON.stringify(weights) },
});
const response_format = { type: "json_schema", json_schema: { name: "answer", schema } };
const found = {
  stream,
  stream_guidance: last.guidance,
  required: await calls("required"),
  named: await calls({ type: "function", function: { name: "set_mood" } }),
  streamed: await streamedCalls(),
  auto: (await calls("auto")).length,
  schema: JSON.parse((await ask({ response_format, max_tokens: 60 })).message.content),
  body: (await ask({ objective_weights: weights })).guidance,
  header: (await ask({}, steered)).guidance,
  preset: (await ask({ model: "m:warm" })).guidance,
  preference: (await ask({ user: "alice" })).guidance,
};
console.log(JSON.stringify(found));
