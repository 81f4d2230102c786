/** What can go wrong between a page and the server. An abort stays the browser's own `AbortError`. */

/** The server's answer in OpenAI's error shape, with the status it came with (0: inside a stream). */
export class MavisError extends Error {
  /**
   * @param {{message: string, type?: string, param?: string | null, code?: string | null}} error
   * @param {number} status
   * @param {string | null} requestId
   */
  constructor(error, status, requestId) {
    super(error.message);
    this.name = "MavisError";
    this.status = status;
    this.type = error.type ?? "";
    this.param = error.param ?? null;
    this.code = error.code ?? null;
    this.requestId = requestId;
  }
}

/** No answer, or a stream that ended before `[DONE]`; what had arrived is still good. */
export class ConnectionLostError extends Error {
  /** @param {unknown} [cause] */
  constructor(cause) {
    super("The connection to the server was lost.", { cause });
    this.name = "ConnectionLostError";
  }
}
