// The page against a scripted socket: what no healthy server can be made to do on demand.

import assert from "node:assert/strict";
import { join } from "node:path";
import { inState, lastText, opened, say, tab, until } from "./tab.mjs";

const STEP_MS = 5_000;

/** Runs every check of this file; `check` is the caller's reporter. */
export async function pageAlone(browser, base, outdir, check) {
  await check("an error frame looks like an error and frees the refused message", () => refusal(browser, base, outdir));
  await check("frames outside the contract are ignored", () => strangeFrames(browser, base));
  await check("offline: text is kept, nothing is sent, lost messages can be sent again", () => offline(browser, base, outdir));
  await check("a final close code ends the chat with its reason", () => finalClose(browser, base));
  await check("a reader of older messages is not pulled to the end", () => reading(browser, base));
  await check("the page can be used by keyboard and by name", () => accessible(browser, base));
  await check("the client's backoff and addresses follow their rules", () => clientRules(browser, base));
}

/**
 * A page whose sockets the test plays: `sockets` holds them in order, `received` what the page sent.
 * `init` runs in the page before its own code.
 */
async function scripted(browser, base, init = () => {}) {
  const context = await browser.newContext({ viewport: { width: 800, height: 600 } });
  await context.addInitScript(init);
  const script = { sockets: [], received: [] };
  await context.routeWebSocket(/\/ws\/chat\//, (socket) => {
    script.sockets.push(socket);
    socket.onMessage((data) => script.received.push(JSON.parse(data)));
  });
  const page = await tab(context, new URL("/chat/7/scripted/", base).href);
  await opened(page, STEP_MS);
  const tell = (frame) => script.sockets.at(-1).send(typeof frame === "string" ? frame : JSON.stringify(frame));
  return { context, page, script, tell };
}

const frame = (sender, message) => ({ message, sender, timestamp: "2024-01-01T12:00:00Z" });

async function refusal(browser, base, outdir) {
  const { context, page, script, tell } = await scripted(browser, base);
  assert.equal(new URL(script.sockets[0].url()).pathname, "/ws/chat/7/scripted/");
  tell(frame("system", "You joined."));
  tell(frame("assistant", "Hello, how can I help?"));
  tell(frame("user", "Somebody else here."));
  await say(page, "far too long");
  await until("the page sends", STEP_MS, () => script.received.length === 1);
  assert.deepEqual(script.received, [{ message: "far too long", type: "user" }]);
  tell({ error: "Message too long", sender: "system" });
  await lastText(page, ".line.error", "Message too long", STEP_MS);
  await page.getByRole("button", { name: "Send again" }).waitFor();
  const looks = await page.evaluate(() => ["system", "assistant", "user", "error"].map((kind) => {
    const { color, backgroundColor, borderColor, borderRadius } = getComputedStyle(document.querySelector(`.line.${kind} .text`));
    return [color, backgroundColor, borderColor, borderRadius].join();
  }));
  assert.equal(new Set(looks).size, 4, "each kind has its own look");
  await page.screenshot({ path: join(outdir, "chat-refusal.png") });
  await page.getByRole("button", { name: "Discard" }).click();
  assert.equal(await page.locator("#pending > *").count(), 0);
  assert.deepEqual(page.faults, []);
  await context.close();
}

async function strangeFrames(browser, base) {
  const { context, page, tell } = await scripted(browser, base);
  for (const strange of ["", "nonsense", "null", "[]", "1", "{}", `{"message":1,"sender":"user"}`, `{"message":"x","sender":"root"}`,
    `{"message":"x"}`, `{"error":{}}`, `{"type":"presence","members":2}`]) {
    tell(strange);
  }
  tell({ message: "no time", sender: "assistant" });
  tell({ message: "bad time", sender: "assistant", timestamp: "<b>soon</b>" });
  tell(frame("assistant", "still here"));
  await lastText(page, ".line.assistant", "still here", STEP_MS);
  assert.equal(await page.locator("#log .line").count(), 3);
  assert.equal(await page.locator("#log time").count(), 1, "only a real time is shown");
  assert.deepEqual(page.faults, []);
  await context.close();
}

async function offline(browser, base, outdir) {
  // The first wait is 30 s: the test says when it is over.
  const { context, page, script, tell } = await scripted(browser, base, () => { Math.random = () => 60; });
  await say(page, "lost on the way");
  await until("the page sends", STEP_MS, () => script.received.length === 1);
  await script.sockets[0].close({ code: 1012, reason: "restart" });
  await inState(page, "waiting", STEP_MS);
  await say(page, "written offline");
  assert.equal(await page.inputValue("#text"), "written offline");
  assert.ok(await page.isDisabled("#send"));
  assert.match(await page.textContent("#notice"), /lost: restart/);
  await page.screenshot({ path: join(outdir, "chat-offline.png") });
  await page.getByRole("button", { name: "Try now" }).click();
  await opened(page, STEP_MS);
  assert.ok(await page.isHidden("#notice"));
  assert.equal(script.sockets.length, 2, "one new socket for one lost");
  await page.press("#text", "Enter");
  await page.getByRole("button", { name: "Send again" }).click();
  await until("both messages leave", STEP_MS, () => script.received.length === 3);
  assert.deepEqual(script.received.slice(1).map(({ message }) => message), ["written offline", "lost on the way"]);
  tell(frame("user", "written offline"));
  tell(frame("user", "lost on the way"));
  await lastText(page, ".line.own", "lost on the way", STEP_MS);
  assert.equal(await page.locator("#pending > *").count(), 0);
  assert.equal(await page.locator(".line.user").count(), 0, "own messages are recognised");
  await context.close();
}

async function finalClose(browser, base) {
  const { context, page, script } = await scripted(browser, base);
  await script.sockets[0].close({ code: 4501, reason: "<i>session ended</i>" });
  await inState(page, "closed", STEP_MS);
  assert.match(await page.textContent("#notice"), /4501.*<i>session ended<\/i>/);
  await page.waitForTimeout(1_500); // three times the first wait of the backoff
  assert.equal(script.sockets.length, 1, "no attempt after a final code");
  await page.click("#retry");
  await opened(page, STEP_MS);
  await script.sockets[1].close({ code: 4499, reason: "come back" });
  await until("a code below 4500 is followed by a new attempt", STEP_MS, () => script.sockets.length === 3);
  await context.close();
}

async function reading(browser, base) {
  const { context, page, tell } = await scripted(browser, base);
  for (let number = 0; number < 60; number += 1) {
    tell(frame("assistant", `Line ${number}`));
  }
  await lastText(page, ".line.assistant", "Line 59", STEP_MS);
  const fromEnd = () => page.evaluate(() => {
    const { scrollHeight, scrollTop, clientHeight } = document.querySelector("#scroll");
    return Math.round(scrollHeight - scrollTop - clientHeight);
  });
  assert.ok(await fromEnd() <= 1, "follows the newest line");
  await page.evaluate(() => { document.querySelector("#scroll").scrollTop = 0; });
  tell(frame("assistant", "News"));
  await page.locator("#newer").waitFor();
  assert.equal(await page.evaluate(() => document.querySelector("#scroll").scrollTop), 0);
  await page.click("#newer");
  assert.ok(await fromEnd() <= 1);
  assert.ok(await page.isHidden("#newer"));
  for (let number = 0; number < 600; number += 1) {
    tell(frame("user", `More ${number}`));
  }
  await lastText(page, ".line.user", "More 599", STEP_MS);
  assert.equal(await page.locator("#log > *").count(), 500, "the page keeps a bounded log");
  await context.close();
}

async function accessible(browser, base) {
  const { context, page } = await scripted(browser, base);
  assert.equal(await page.getByRole("log", { name: "Messages" }).getAttribute("aria-live"), "polite");
  assert.equal(await page.getByRole("status").textContent(), "Connected");
  assert.ok(await page.getByLabel("Your message").evaluate((node) => node === document.activeElement), "the field has the focus");
  const text = page.getByRole("textbox", { name: "Your message" });
  await text.fill("hello");
  await page.keyboard.press("Tab");
  assert.ok(await page.getByRole("button", { name: "Send" }).evaluate((node) => node === document.activeElement));
  // An Enter that ends an input method's composition is not ours.
  await text.dispatchEvent("keydown", { key: "Enter", isComposing: true });
  assert.equal(await text.inputValue(), "hello");
  assert.deepEqual(page.faults, []);
  await context.close();
}

async function clientRules(browser, base) {
  const { context, page } = await scripted(browser, base);
  const found = await page.evaluate(async () => {
    const { backoff, isFinal, roomAddress } = await import("/client.js");
    return {
      waits: [0, 1, 5, 6, 1000].map((attempt) => backoff(attempt, 1)),
      least: backoff(9, 0),
      final: [1000, 1001, 1006, 4000, 4499, 4500, 4999, 5000].filter(isFinal),
      secure: roomAddress("https://chat.example:8443/page?x=1#y", 1, "a-b"),
      plain: roomAddress("http://chat.example/chat/1/a/", "1", "a/b"),
    };
  });
  assert.deepEqual(found, {
    waits: [500, 1_000, 16_000, 20_000, 20_000],
    least: 0,
    final: [4500, 4999],
    secure: "wss://chat.example:8443/ws/chat/1/a-b/",
    plain: "ws://chat.example/ws/chat/1/a%2Fb/",
  });
  await context.close();
}
