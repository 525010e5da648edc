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
  await check("the client comes back after every code but the final ones", () => closeTable(browser, base));
  await check("retryNow makes a new connection in every state", () => retryNow(browser, base));
  await check("a message into a dead connection is kept, and said once", () => unanswered(browser, base, outdir));
  await check("an answer in time keeps the connection", () => answers(browser, base));
  await check("a page that is looked at after a long silence connects anew", () => silence(browser, base));
  await check("a computer that slept connects anew", () => slept(browser, base));
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
      final: [0, 999, 1000, 1001, 1006, 4000, 4499, 4500, 4999, 5000].filter(isFinal),
      secure: roomAddress("https://chat.example:8443/page?x=1#y", 1, "a-b"),
      plain: roomAddress("http://chat.example/chat/1/a/", "1", "a/b"),
    };
  });
  assert.deepEqual(found, {
    waits: [500, 1_000, 16_000, 20_000, 20_000],
    least: 0,
    final: [1000, 4500, 4999],
    secure: "wss://chat.example:8443/ws/chat/1/a-b/",
    plain: "ws://chat.example/ws/chat/1/a%2Fb/",
  });
  await context.close();
}

/** A client in the page whose sockets are objects that the test plays; `socket(n)` is the n-th. */
const withFakeSockets = `
  window.fakes = [];
  window.FakeSocket = class {
    OPEN = 1;
    readyState = 0;
    sent = [];
    constructor() { window.fakes.push(this); }
    send(text) { this.sent.push(text); }
    close() { this.readyState = 3; this.closed = true; }
    accept() { this.readyState = 1; this.onopen({}); }
    end(code) { this.readyState = 3; this.onclose({ code, reason: "" }); }
  };
`;

async function closeTable(browser, base) {
  const { context, page } = await scripted(browser, base, withFakeSockets);
  const states = await page.evaluate(async () => {
    const { ChatClient } = await import("/client.js");
    const codes = [...Array(16).keys()].map((code) => 1000 + code)
      .concat(0, 999, 1016, 2999, 3000, 3001, 3500, 3999, 4000, 4001, 4008, 4010, 4411, 4429, 4499, 4500, 4501, 4502, 4503, 4750, 4999, 5000, 65535);
    return codes.flatMap((code) => [true, false].map((accepted) => {
      const client = new ChatClient({ businessId: 1, sessionId: "a", WebSocket: window.FakeSocket });
      client.open();
      const socket = window.fakes.at(-1);
      if (accepted) {
        socket.accept();
      }
      socket.end(code);
      const { state } = client;
      client.close();
      return [code, state];
    }));
  });
  for (const [code, state] of states) {
    const final = code === 1000 || (code >= 4500 && code <= 4999);
    assert.equal(state, final ? "closed" : "waiting", `after ${code}`);
  }
  assert.ok(states.length >= 70);
  await context.close();
}

async function retryNow(browser, base) {
  const { context, page } = await scripted(browser, base, withFakeSockets);
  const found = await page.evaluate(async () => {
    const { ChatClient } = await import("/client.js");
    const { fakes } = window;
    const client = new ChatClient({ businessId: 1, sessionId: "a", WebSocket: window.FakeSocket, random: () => 0.5 });
    const heard = [];
    client.addEventListener("message", ({ detail }) => heard.push(detail.message));
    const say = (socket, message) => socket.onmessage({ data: JSON.stringify({ message, sender: "user" }) });
    const counts = [];
    const retry = () => {
      const before = fakes.length;
      client.retryNow();
      const open = fakes.filter((socket) => !socket.closed && socket.readyState < 2).length;
      counts.push([fakes.length - before, open, client.state]);
    };
    retry(); // never opened
    retry(); // connecting
    fakes.at(-1).accept();
    const dead = fakes.at(-1);
    retry(); // open, whatever it looks like
    say(dead, "late");
    dead.onclose({ code: 4500, reason: "late" });
    fakes.at(-1).end(1006);
    retry(); // waiting
    fakes.at(-1).accept();
    fakes.at(-1).end(4500);
    retry(); // final
    fakes.at(-1).accept();
    say(fakes.at(-1), "now");
    client.close();
    retry(); // closed by ourselves
    client.close();
    return { counts, heard };
  });
  assert.deepEqual(found.counts, Array(6).fill([1, 1, "connecting"]));
  assert.deepEqual(found.heard, ["now"], "a connection that was given up is heard no more");
  const left = await page.evaluate(async () => {
    const { ChatClient } = await import("/client.js");
    const real = [globalThis.setTimeout, globalThis.clearTimeout];
    const timers = new Set();
    let last = 0;
    globalThis.setTimeout = () => timers.add(last -= 1) && last;
    globalThis.clearTimeout = (timer) => timers.delete(timer);
    const client = new ChatClient({ businessId: 1, sessionId: "a", WebSocket: window.FakeSocket });
    client.addEventListener("state", ({ detail }) => detail.state === "connecting" && client.close());
    client.open();
    [globalThis.setTimeout, globalThis.clearTimeout] = real;
    return [client.state, timers.size];
  });
  assert.deepEqual(left, ["closed", 0], "who closes it as soon as it connects has closed it for good");
  await context.close();
}

/** As `scripted`, with a clock that the test moves. */
async function timed(browser, base) {
  const context = await browser.newContext({ viewport: { width: 800, height: 600 } });
  await context.clock.install();
  const script = { sockets: [], received: [] };
  await context.routeWebSocket(/\/ws\/chat\//, (socket) => {
    const number = script.sockets.push(socket);
    socket.onMessage((data) => script.received.push([number, JSON.parse(data).message]));
  });
  const page = await tab(context, new URL("/chat/7/timed/", base).href);
  await opened(page, STEP_MS);
  return { context, page, script };
}

/** Lets the backoff pass; the page is connected again by its socket number `count`. */
async function returned(page, script, count) {
  await until(`socket ${count}`, STEP_MS, async () => {
    await page.clock.fastForward(500);
    return script.sockets.length === count;
  });
  await opened(page, STEP_MS);
}

async function unanswered(browser, base, outdir) {
  const { context, page, script } = await timed(browser, base);
  await say(page, "anybody there?");
  await until("the page sends", STEP_MS, () => script.received.length === 1);
  await page.clock.fastForward(14_000);
  assert.equal(await page.getAttribute("#state", "data-state"), "open", "a server may take its time");
  assert.match(await page.textContent("#pending"), /Sending/);
  await page.clock.fastForward(1_000);
  await returned(page, script, 2);
  assert.match(await page.textContent("#pending"), /Not confirmed before the connection was lost/);
  await page.screenshot({ path: join(outdir, "chat-unanswered.png") });
  script.sockets[0].send(JSON.stringify(frame("assistant", "late")));
  assert.deepEqual(script.received, [[1, "anybody there?"]], "nothing is said twice by itself");
  await page.getByRole("button", { name: "Send again" }).click();
  await until("the page sends", STEP_MS, () => script.received.length === 2);
  assert.deepEqual(script.received[1], [2, "anybody there?"]);
  script.sockets[1].send(JSON.stringify(frame("user", "anybody there?")));
  await lastText(page, ".line.own", "anybody there?", STEP_MS);
  assert.equal(await page.locator("#log .line").count(), 1, "once, and nothing of the dead connection");
  assert.equal(await page.locator("#pending > *").count(), 0);
  await context.close();
}

async function answers(browser, base) {
  const { context, page, script } = await timed(browser, base);
  const answer = [
    (text) => frame("user", text),
    (text) => frame("system", `System message: ${text}`),
    () => ({ error: "Too many messages", sender: "system" }),
  ];
  for (const [index, make] of answer.entries()) {
    const text = `number ${index} \ud83d`;
    await say(page, text);
    await until("the page sends", STEP_MS, () => script.received.length === index + 1);
    const said = script.received[index][1];
    assert.equal(said, `number ${index} \ufffd`);
    await page.clock.fastForward(10_000);
    script.sockets[0].send(JSON.stringify(make(said)));
    await until("it is shown", STEP_MS, async () => await page.locator("#log .line").count() === index + 1);
    await page.clock.fastForward(20_000);
    assert.equal(await page.getAttribute("#state", "data-state"), "open");
  }
  // What others say is no answer.
  await say(page, "and this?");
  await until("the page sends", STEP_MS, () => script.received.length === 4);
  await page.clock.fastForward(10_000);
  script.sockets[0].send(JSON.stringify(frame("user", "other")));
  await lastText(page, ".line.user", "other", STEP_MS);
  await page.clock.fastForward(5_000);
  await returned(page, script, 2);
  await context.close();
}

/** Hides the page, or shows it again. */
async function show(page, visibility) {
  await page.evaluate((state) => {
    Object.defineProperty(document, "visibilityState", { configurable: true, get: () => state });
    document.dispatchEvent(new Event("visibilitychange"));
  }, visibility);
}

async function silence(browser, base) {
  const { context, page, script } = await timed(browser, base);
  await show(page, "hidden");
  await page.clock.fastForward(32_000);
  await show(page, "visible");
  await show(page, "hidden");
  await page.clock.fastForward(30_000);
  assert.equal(script.sockets.length, 1, "a short absence is none, and a hidden page does nothing");
  script.sockets[0].send(JSON.stringify(frame("assistant", "still here")));
  await lastText(page, ".line.assistant", "still here", STEP_MS);
  await page.clock.fastForward(32_000);
  await show(page, "visible");
  assert.equal(await page.getAttribute("#state", "data-state"), "open", "what is heard counts");
  for (const [count, event] of [[2, "visibilitychange"], [3, "pageshow"], [4, "online"], [5, "resume"]]) {
    await show(page, "hidden");
    await page.clock.fastForward(70_000);
    assert.equal(script.sockets.length, count - 1, "nobody looks");
    await page.evaluate((name) => {
      Object.defineProperty(document, "visibilityState", { configurable: true, get: () => "visible" });
      (name === "visibilitychange" || name === "resume" ? document : window).dispatchEvent(new Event(name));
      // They come together, and are one reason.
      dispatchEvent(new Event("online"));
      document.dispatchEvent(new Event("visibilitychange"));
    }, event);
    await returned(page, script, count);
  }
  assert.deepEqual(page.faults, []);
  await context.close();
}

async function slept(browser, base) {
  const { context, page, script } = await timed(browser, base);
  // The wall clock goes on, the timers stood still: no event says so.
  await page.clock.fastForward(34_000);
  await returned(page, script, 2);
  await context.close();
}
