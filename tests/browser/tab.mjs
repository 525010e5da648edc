// What a reader can do in one tab of the chat page, and what a test may wait for.

import { setTimeout as pause } from "node:timers/promises";

/** How often a condition is looked at, in milliseconds. */
const LOOK_MS = 50;

/** Opens `address`; the tab's `faults` collect whatever the page or the browser complains about. */
export async function tab(context, address) {
  const page = await context.newPage();
  page.faults = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) {
      page.faults.push(`console: ${message.text()}`);
    }
  });
  page.on("pageerror", (error) => page.faults.push(`exception: ${error.message}`));
  page.on("requestfailed", (request) => page.faults.push(`not loaded: ${request.url()}`));
  page.on("response", (response) => {
    if (response.status() >= 400) {
      page.faults.push(`status ${response.status()}: ${response.url()}`);
    }
  });
  page.on("request", (request) => {
    if (new URL(request.url()).host !== new URL(address).host) {
      page.faults.push(`asked another host: ${request.url()}`);
    }
  });
  await page.goto(address);
  return page;
}

/** Waits until `holds()` is true; what it is waiting for is part of the failure's text. */
export async function until(what, deadlineMs, holds) {
  const end = performance.now() + deadlineMs;
  while (!(await holds())) {
    if (performance.now() > end) {
      throw new Error(`not within ${deadlineMs} ms: ${what}`);
    }
    await pause(LOOK_MS);
  }
}

export async function inState(page, state, deadlineMs) {
  await until(`connection state ${state}`, deadlineMs, async () => await page.getAttribute("#state", "data-state") === state);
}

export async function opened(page, deadlineMs) {
  await inState(page, "open", deadlineMs);
}

/** Writes and sends as a person would: into the field, then Enter. */
export async function say(page, text) {
  await page.fill("#text", text);
  await page.press("#text", "Enter");
}

/** Waits until the newest line of a kind in the log says `text`. */
export async function lastText(page, kind, text, deadlineMs) {
  const texts = page.locator(`#log ${kind} .text`);
  await until(`${kind} says ${JSON.stringify(text)}`, deadlineMs, async () => (await texts.allTextContents()).at(-1) === text);
}
