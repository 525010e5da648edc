// Reporting and waiting for the Node clients: one JSON line per check, the first failure ends the run.

import { setTimeout as pause } from "node:timers/promises";

/** No step of a chat takes longer. */
export const STEP_MS = 10_000;

let doing = "starting";

/** Runs one check and reports it. */
export async function check(name, act) {
  doing = name;
  const start = performance.now();
  await act();
  console.log(JSON.stringify({ check: name, ok: true, ms: Math.round(performance.now() - start) }));
}

/** Waits until `holds()`; what it waits for is part of the failure's text. */
export async function until(what, holds) {
  const end = performance.now() + STEP_MS;
  while (!holds()) {
    if (performance.now() > end) {
      throw new Error(`not within ${STEP_MS} ms: ${what}`);
    }
    await pause(10);
  }
}

/** Runs all checks; leaves with 1 and one line on stderr if one fails. */
export async function finish(checks) {
  try {
    await checks();
    process.exit(0);
  } catch (error) {
    console.error(`FAILED: ${doing}: ${error.message}`);
    process.exit(1);
  }
}
