/** Many requests, some at a time. */

/**
 * At most `width` at a time; the first failure ends all.
 * @template T
 * @param {T[]} jobs @param {number} width @param {(job: T) => Promise<void>} work
 */
export async function inParallel(jobs, width, work) {
  const waiting = [...jobs];
  let failed = false;
  const worker = async () => {
    for (let job = waiting.shift(); job !== undefined && !failed; job = waiting.shift()) {
      try {
        await work(job);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
}
