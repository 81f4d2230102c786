// Runs a client's checks one after another and prints how each ended, a line of JSON each.
export const URL_ = process.argv[2] + "/v1";
export const MODEL = "m";
export const QUESTIONS = ["How was your day?", "And how is it now?", "What comes next?"];

export async function run(checks) {
  for (const [name, check] of Object.entries(checks)) {
    let said = "passed";
    try {
      await check();
    } catch (error) {
      const message = String(error?.message ?? error).split("\n")[0];
      said = `${error?.name ?? "Error"}: ${message}`;
    }
    console.log(JSON.stringify({ check: name, said }).replace('{"check":', '{"check": '));
  }
}

export function must(truth, what) {
  if (!truth) throw new Error(what);
}
