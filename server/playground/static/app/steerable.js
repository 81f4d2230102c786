/**
 * Whether there is anything to steer by, marked on the body for the styles: what only makes sense with objectives
 * (`.needs-objectives`) is not shown without them, and what makes an objective of words (`.needs-words`) not where a key
 * may not bring its own. Until the server has said what it has, nothing is hidden.
 */

/** @param {import("./connection.js").Connection} connection */
export function markSteerable(connection) {
  const mark = () => {
    if (connection.status !== "ready") return;
    document.body.dataset.objectives = connection.objectives.length === 0 ? "none" : "some";
    document.body.dataset.words = connection.mayDescribe ? "own" : "none";
  };
  connection.addEventListener("change", mark);
}
