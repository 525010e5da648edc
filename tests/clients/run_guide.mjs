// Runs the guide's JavaScript example (guide.js, word for word) as a site's page would.
//
//   node run_guide.mjs PORT
//
// The example names `localhost:8000` and calls display functions that a site writes itself. Both are
// provided from outside, so that its text stays untouched: a WebSocket that leads to PORT, and
// display functions that record.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import WS from "ws";
import { check, finish, until } from "./check.mjs";

const port = Number(process.argv[2]);
const Global = globalThis.WebSocket ?? WS; // a global since Node 22

/** What a browser has, except that port 8000 of the example is the port under test. */
class Redirected extends Global {
  constructor(address) {
    assert.match(address, /^ws:\/\/localhost:8000\/ws\/chat\/1\/session-123\/$/);
    super(address.replace("localhost:8000", `127.0.0.1:${port}`));
  }
}

const shown = { assistant: [], user: [], system: [] };
const logged = [];
const complaints = [];
const site = {
  WebSocket: Redirected,
  console: { log: (...words) => logged.push(words), error: (...words) => complaints.push(words) },
  displayAssistantMessage: (text) => shown.assistant.push(text),
  displayUserMessage: (text) => shown.user.push(text),
  displaySystemMessage: (text) => shown.system.push(text),
};

const example = readFileSync(new URL("guide.js", import.meta.url), "utf8");
// The last line hands out what the example declares; a page would see it as globals.
const run = new Function(...Object.keys(site), `${example}\nreturn { socket, sendMessage, sendSystemMessage };`);
const { socket, sendMessage, sendSystemMessage } = run(...Object.values(site));

await finish(async () => {
  const said = (text) => logged.some(([first]) => first === text);
  await check("onopen", () => until("WebSocket connected", () => said("WebSocket connected")));
  await check("sendMessage is echoed and answered", async () => {
    sendMessage("Hello, I need help with my order");
    await until("the echo", () => shown.user.length === 1);
    assert.deepEqual(shown.user, ["Hello, I need help with my order"]);
    await until("the answer", () => shown.assistant.length === 1);
    assert.ok(shown.assistant[0].length > 0);
  });
  await check("sendSystemMessage reaches the room", async () => {
    sendSystemMessage("The customer opened the basket");
    await until("the system message", () => shown.system.some((text) => text.includes("The customer opened the basket")));
  });
  await check("every frame had what the example reads", () => {
    for (const [first, data] of logged) {
      if (first === "Message received:") {
        assert.equal(typeof data.message, "string", JSON.stringify(data));
      }
    }
    assert.deepEqual(complaints, []);
  });
  await check("onclose", async () => {
    socket.close();
    await until("WebSocket disconnected", () => said("WebSocket disconnected"));
    assert.deepEqual(complaints, []);
  });
});
