/**
 * Server-sent events out of bytes, after the WHATWG's "Interpreting an event stream".
 *
 * `EventSource` can neither POST nor send a key, so the stream of `fetch` is read by hand. A network packet may end
 * anywhere: inside a UTF-8 character, between CR and LF, in the middle of a field. Only `data` is kept; the server
 * sends nothing else.
 */

/**
 * The data of each event, in order.
 * @param {ReadableStream<Uint8Array>} stream
 * @returns {AsyncGenerator<string, void, void>}
 */
export async function* eventData(stream) {
  let data = null;
  for await (const line of lines(stream)) {
    if (line === "") {
      if (data !== null) yield data;
      data = null;
    } else if (line === "data" || line.startsWith("data:")) {
      const value = line.slice(5).replace(/^ /, "");
      data = data === null ? value : `${data}\n${value}`;
    }
  }
}

/**
 * Complete lines without their ends (LF, CR or CRLF); an unfinished last one is dropped, as the standard says.
 * @param {ReadableStream<Uint8Array>} stream
 * @returns {AsyncGenerator<string, void, void>}
 */
async function* lines(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let buffer = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      buffer += decoder.decode(value, { stream: true });
      // A CR at the very end may be half of a CRLF: it waits for the next packet.
      const parts = buffer.split(/\r\n|\n|\r(?!$)/);
      buffer = /** @type {string} */ (parts.pop());
      yield* parts;
    }
    if (buffer.endsWith("\r")) yield buffer.slice(0, -1);
  } finally {
    await reader.cancel().catch(() => {}); // the connection may be gone already, which is all that cancelling wants
  }
}
