// The chat page in a real browser, against a running server.
//
//   node chat.mjs URL OUTDIR           chat, hostile text, phone, the page's own behaviour; screenshots
//   node chat.mjs URL OUTDIR restart   both tabs come back after the server was restarted
//   node chat.mjs URL OUTDIR dead URL2 a tab notices that its way by URL is dead; another one comes by URL2
//
// One JSON line per check on stdout; the first failure goes to stderr and ends the run with status 1.
// The restart run prints READY-FOR-RESTART and goes on when it reads the line RESTARTED, the dead run
// READY-FOR-SILENCE and SILENT, then READY-FOR-FAIR and FAIR.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import { pageAlone } from "./alone.mjs";
import { lastText, opened, say, tab, until } from "./tab.mjs";

/** No step of a chat takes longer than this; a restart with its backoff may take RETURN_MS. */
const STEP_MS = 10_000;
const RETURN_MS = 30_000;

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

const [base, outdir, mode = "chat", direct] = process.argv.slice(2);
if (outdir === undefined || !["chat", "restart", "dead"].includes(mode) || (mode === "dead") !== (direct !== undefined)) {
  console.error("usage: node chat.mjs URL OUTDIR [restart | dead URL2]");
  process.exit(64);
}
mkdirSync(outdir, { recursive: true });

let doing = "starting the browser";

/** Runs one check and reports it. */
async function check(name, act) {
  doing = name;
  const start = performance.now();
  const result = await act();
  console.log(JSON.stringify({ check: name, ok: true, ms: Math.round(performance.now() - start) }));
  return result;
}

/** The system's browser; nothing is downloaded. CHROMIUM names another one. */
function findChromium() {
  if (process.env.CHROMIUM) {
    return process.env.CHROMIUM;
  }
  try {
    return execFileSync("sh", ["-c", "command -v chromium"], { encoding: "utf8" }).trim();
  } catch {
    throw new Error("chromium is missing: apt-get install -y chromium");
  }
}

const DESKTOP = { viewport: { width: 1280, height: 800 }, timezoneId: "Asia/Tokyo", locale: "en-GB" };
const phone = (width) => ({
  viewport: { width, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, locale: "en-GB",
});

/** Two tabs of one chat: the first starts it at `/`, the second opens the address that it got. */
async function twoTabs(browser) {
  const context = await browser.newContext(DESKTOP);
  const first = await check("the page at / starts a chat and connects", async () => {
    const page = await tab(context, new URL("/", base).href);
    await opened(page, STEP_MS);
    assert.match(new URL(page.url()).pathname, /^\/chat\/1\/[0-9a-f]{32}\/$/);
    return page;
  });
  const second = await check("a second tab of the same address connects", async () => {
    const page = await tab(context, first.url());
    await opened(page, STEP_MS);
    return page;
  });
  return [first, second];
}

/** `from` says `text`; both tabs show it once, each in its own way. */
async function exchange(from, to, text) {
  await say(from, text);
  await lastText(from, ".line.own:not(.sending)", text, STEP_MS);
  await lastText(to, ".line.user", text, STEP_MS);
  assert.equal(await from.locator("#pending > *").count(), 0, "the echo replaces the line on its way");
}

async function answered(pages, count) {
  for (const page of pages) {
    await until(`${count} answers of the assistant`, STEP_MS, async () => await page.locator(".line.assistant").count() >= count);
  }
}

async function chat(browser) {
  const [first, second] = await twoTabs(browser);

  await check("a message and its answer reach both tabs", async () => {
    await exchange(first, second, "How do I return an order?");
    await answered([first, second], 1);
  });

  await check("the second tab's message reaches the first", async () => {
    await exchange(second, first, "It arrived broken.");
    await answered([first, second], 2);
  });

  await check("markup is shown as text and runs nothing", async () => {
    const probe = `<img src=x onerror="window.pwned=1"><script>window.pwned=1</script><b>&amp;</b>`;
    await exchange(first, second, probe);
    for (const page of [first, second]) {
      assert.equal(await page.locator("#log img, #log script, #log .text *").count(), 0, "an element came out of a message");
      assert.equal(await page.evaluate(() => window.pwned), undefined, "a message ran code");
    }
  });

  await check("Enter sends, Shift+Enter starts a new line", async () => {
    await first.fill("#text", "");
    await first.focus("#text");
    await first.keyboard.type("one");
    await first.keyboard.press("Shift+Enter");
    await first.keyboard.type("two");
    assert.equal(await first.inputValue("#text"), "one\ntwo");
    await first.keyboard.press("Enter");
    await lastText(second, ".line.user", "one\ntwo", STEP_MS);
    assert.equal(await first.inputValue("#text"), "", "the field is empty again");
  });

  await check("times are shown in the reader's time zone", async () => {
    const shown = first.locator(".line.own time").first();
    const expected = new Date(await shown.getAttribute("datetime"))
      .toLocaleString("en-GB", { timeStyle: "short", timeZone: DESKTOP.timezoneId });
    // A test that crosses midnight in Tokyo sees the date too.
    assert.ok((await shown.textContent()).endsWith(expected), `${await shown.textContent()} is not ${expected}`);
  });

  await check("desktop screenshots, light and dark", async () => {
    await first.screenshot({ path: join(outdir, "chat-desktop.png") });
    await first.emulateMedia({ colorScheme: "dark" });
    await first.screenshot({ path: join(outdir, "chat-desktop-dark.png") });
  });

  for (const width of [360, 320]) {
    await check(`a phone ${width} pixels wide has no sideways scrolling`, () => onPhone(browser, first, width));
  }

  await check("no error, no refused resource, no policy violation", () => {
    assert.deepEqual([...first.faults, ...second.faults], []);
  });
}

/** A third member on a phone, in the chat of `other`. */
async function onPhone(browser, other, width) {
  const context = await browser.newContext(phone(width));
  const page = await tab(context, other.url());
  await opened(page, STEP_MS);
  await exchange(page, other, `Order no. ${"1234567890".repeat(12)} from my phone, ${width} wide`);
  await exchange(other, page, `Thanks, we look at ${width} first.`);
  const wide = await page.evaluate(() => {
    const over = [document.documentElement, document.querySelector("#scroll")]
      .filter((node) => node.scrollWidth > node.clientWidth);
    const outside = [...document.querySelectorAll("button, textarea")]
      .filter((node) => !node.hidden && node.getBoundingClientRect().right > innerWidth);
    return [...over, ...outside].map((node) => node.id || node.tagName);
  });
  assert.deepEqual(wide, [], "wider than the screen");
  assert.deepEqual(page.faults, []);
  await page.screenshot({ path: join(outdir, `chat-phone-${width}.png`) });
  await context.close();
}

/** Prints `ready` and waits for the line `go`. */
async function ask(ready, go) {
  const input = createInterface({ input: process.stdin });
  const told = new Promise((resolve, reject) => {
    input.once("line", (line) => (line === go ? resolve() : reject(new Error(`expected ${go}, got ${line}`))));
    input.once("close", () => reject(new Error(`stdin ended before ${go}`)));
  });
  console.log(ready);
  doing = `waiting for ${go}`;
  await told;
  input.close();
}

async function dead(browser) {
  const context = await browser.newContext(DESKTOP);
  await context.clock.install();
  const path = "/chat/1/dead/";
  const first = await tab(context, new URL(path, base).href);
  const second = await tab(await browser.newContext(DESKTOP), new URL(path, direct).href);
  await opened(first, STEP_MS);
  await opened(second, STEP_MS);
  await check("the tabs chat before the silence", async () => {
    await exchange(first, second, "Are you there?");
    await answered([first, second], 1);
  });
  await ask("READY-FOR-SILENCE", "SILENT");
  await check("a message that nobody answers ends the dead connection", async () => {
    await say(first, "Into the void.");
    assert.match(await first.textContent("#pending"), /Sending/);
    await first.clock.fastForward(15_000);
    await until("the connection to be given up", STEP_MS, async () => await first.getAttribute("#state", "data-state") !== "open");
    assert.match(await first.textContent("#pending"), /Not confirmed/);
  });
  await check("attempts that nobody answers are given up too", async () => {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await first.clock.fastForward(10_000);
      assert.notEqual(await first.getAttribute("#state", "data-state"), "open");
    }
  });
  await ask("READY-FOR-FAIR", "FAIR");
  await check("the tab is back, and nothing was said twice", async () => {
    await until("a new connection", RETURN_MS, async () => {
      await first.clock.fastForward(1_000);
      return await first.getAttribute("#state", "data-state") === "open";
    });
    for (const [from, to, text] of [[first, second, "Back again?"], [second, first, "Yes."]]) {
      await say(from, text);
      await lastText(from, ".line.own", text, STEP_MS);
      await lastText(to, ".line.user", text, STEP_MS);
    }
    const texts = await second.locator(".line.user .text").allTextContents();
    assert.ok(texts.filter((text) => text === "Into the void.").length <= 1, texts.join());
    assert.equal(texts.filter((text) => text === "Back again?").length, 1);
  });
}

async function restart(browser) {
  const tabs = await twoTabs(browser);
  await check("the tabs chat before the restart", () => exchange(...tabs, "Are you there?"));

  await tabs[0].fill("#text", "written before the restart");
  await Promise.all(tabs.map((page) => page.evaluate(() => {
    const state = document.querySelector("#state");
    new MutationObserver(() => { window.lost ||= state.dataset.state !== "open"; }).observe(state, { attributes: true });
  })));
  await ask("READY-FOR-RESTART", "RESTARTED");

  await check("both tabs noticed and came back by themselves", async () => {
    for (const page of tabs) {
      await until("the tab loses its connection", STEP_MS, () => page.evaluate(() => window.lost === true));
      await opened(page, RETURN_MS);
    }
    assert.equal(await tabs[0].inputValue("#text"), "written before the restart", "unsent text is kept");
  });
  await check("both tabs chat again", async () => {
    const before = await tabs[0].locator(".line.assistant").count();
    await exchange(...tabs, "Back again?");
    await exchange(tabs[1], tabs[0], "Yes, both of us.");
    await answered([tabs[0]], before + 1);
  });
  await tabs[0].screenshot({ path: join(outdir, "chat-after-restart.png") });
  await check("no error but the lost connections", () => {
    const lostOnly = (fault) => !/WebSocket|ERR_CONNECTION/.test(fault);
    assert.deepEqual(tabs.flatMap((page) => page.faults).filter(lostOnly), []);
  });
}

let browser = null;
try {
  browser = await chromium.launch({ executablePath: findChromium(), args: FLAGS });
  if (mode === "restart") {
    await restart(browser);
  } else if (mode === "dead") {
    await dead(browser);
  } else {
    await chat(browser);
    await pageAlone(browser, base, outdir, check);
  }
} catch (error) {
  console.error(`FAILED: ${doing}: ${error.message}`);
  for (const [index, page] of (browser?.contexts() ?? []).flatMap((context) => context.pages()).entries()) {
    await page.screenshot({ path: join(outdir, `failed-${index}.png`) }).catch(() => {});
  }
  process.exitCode = 1;
} finally {
  await browser?.close();
}
