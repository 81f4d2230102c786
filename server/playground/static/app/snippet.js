/** A request body as a command and as a program: what the page sends, for pasting. */

/** What the official client has arguments for; the rest goes through `extra_body`. */
const STANDARD = new Set(["model", "messages", "temperature", "top_p", "max_tokens", "seed", "stream"]);

/** @typedef {{root: string, keyed: boolean}} Server */

/** @param {Record<string, any>} body @param {Server} server */
export function curl(body, { root, keyed }) {
  const json = JSON.stringify({ ...body, stream: true }, null, 2).replaceAll("'", "'\\''");
  const key = keyed ? ` \\\n  -H "Authorization: Bearer $MAVIS_API_KEY"` : "";
  return `curl -N '${root}v1/chat/completions' \\\n  -H 'Content-Type: application/json'${key} \\\n  -d '${json}'`;
}

/** @param {Record<string, any>} body @param {Server} server */
export function python(body, { root, keyed }) {
  const entries = Object.entries({ ...body, stream: true });
  const given = entries
    .filter(([name]) => STANDARD.has(name))
    .map(([name, value]) => `    ${name}=${literal(value, 4)},`);
  const extra = Object.fromEntries(entries.filter(([name]) => !STANDARD.has(name)));
  const key = keyed ? 'os.environ["MAVIS_API_KEY"]' : '"none"';
  return `${keyed ? "import os\n\n" : ""}from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(`${root}v1`)}, api_key=${key})
stream = client.chat.completions.create(
${given.join("\n")}
    extra_body=${literal(extra, 4)},
)
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
`;
}

/**
 * A JSON value as Python writes it.
 * @param {any} value @param {number} indent
 * @returns {string}
 */
export function literal(value, indent) {
  const inner = " ".repeat(indent + 4);
  const close = `\n${" ".repeat(indent)}`;
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) {
    return value.length ? `[\n${value.map((item) => `${inner}${flat(item)},`).join("\n")}${close}]` : "[]";
  }
  const pairs = Object.entries(value).map(([name, item]) => `${inner}${JSON.stringify(name)}: ${flat(item)},`);
  return pairs.length ? `{\n${pairs.join("\n")}${close}}` : "{}";
}

/** On one line. @param {any} value @returns {string} */
function flat(value) {
  if (value === null || typeof value !== "object") return literal(value, 0);
  if (Array.isArray(value)) return `[${value.map(flat).join(", ")}]`;
  return `{${Object.entries(value)
    .map(([name, item]) => `${JSON.stringify(name)}: ${flat(item)}`)
    .join(", ")}}`;
}
