// A Node client of the documented contract, with the `ws` package.
//
//   node chat.mjs PORT
//
// The server under test has no message rate (limits.messages_per_second=0) and its other defaults.

import assert from "node:assert/strict";
import { once } from "node:events";
import WS from "ws";
import { check, finish, until } from "./check.mjs";

const port = Number(process.argv[2]);

const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const SENDERS = ["user", "assistant", "system"];

/** One connection: every frame that arrived, checked against the contract on arrival. */
class Client {
  frames = [];
  broken = null;

  constructor(session) {
    this.socket = new WS(`ws://127.0.0.1:${port}/ws/chat/1/${session}/`);
    this.socket.on("error", () => {}); // a close follows
    this.closed = once(this.socket, "close").then(([code, reason]) => ({ code, reason: reason.toString() }));
    this.socket.on("message", (data, binary) => {
      try {
        const frame = JSON.parse(data);
        verify(frame, binary);
        this.frames.push(frame);
      } catch (error) {
        this.broken ??= new Error(`${error.message} in ${data}`);
      }
    });
  }

  static async open(session) {
    const client = new Client(session);
    await once(client.socket, "open");
    await client.until("the welcome", () => client.said("system").length === 1);
    return client;
  }

  send(frame) {
    this.socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
  }

  said(sender) {
    return this.frames.filter((frame) => frame.sender === sender && "message" in frame).map(({ message }) => message);
  }

  errors() {
    return this.frames.filter((frame) => "error" in frame).map(({ error }) => error);
  }

  async until(what, holds) {
    await until(what, () => {
      if (this.broken !== null) {
        throw this.broken;
      }
      return holds();
    });
  }

  async leave() {
    this.socket.close(1000);
    return await this.closed;
  }
}

function verify(frame, binary) {
  assert.equal(binary, false, "frames are text");
  if ("error" in frame) {
    assert.deepEqual(Object.keys(frame).sort(), ["error", "sender"]);
    assert.equal(frame.sender, "system");
    return;
  }
  assert.deepEqual(Object.keys(frame).sort(), ["message", "sender", "timestamp"]);
  assert.equal(typeof frame.message, "string");
  assert.ok(SENDERS.includes(frame.sender));
  assert.match(frame.timestamp, TIMESTAMP);
  assert.ok(Math.abs(Date.parse(frame.timestamp) - Date.now()) < 60_000, "the time is now");
}

async function echoAndAnswer() {
  const client = await Client.open("echo");
  client.send({ message: "How do I return an order?", type: "user" });
  await client.until("echo and answer", () => client.said("user").length === 1 && client.said("assistant").length === 1);
  assert.deepEqual(client.said("user"), ["How do I return an order?"]);
  client.send({ message: "no type means user", extra: { never: "echoed" } });
  await client.until("the echo", () => client.said("user").at(-1) === "no type means user");
  client.send({ message: "for the room", type: "system" });
  await client.until("the system message", () => client.said("system").at(-1).includes("for the room"));
  assert.equal((await client.leave()).code, 1000);
}

async function texts() {
  const client = await Client.open("texts");
  for (const text of [`"quotes" \\ and /`, "line\nbreak\ttab\rend", "\u0000\u0001\u001f\u007f", "Grüße, 你好, مرحبا", "👩‍👩‍👧 𝄞",
    "<b>&amp;</b>", "a\u2028b\u2029c", "x".repeat(20_000)]) {
    client.send({ message: text, type: "user" });
    await client.until(`the echo of ${JSON.stringify(text.slice(0, 40))}`, () => client.said("user").at(-1) === text);
  }
  assert.deepEqual(client.errors(), []);
  await client.leave();
}

async function refusals() {
  const client = await Client.open("refusals");
  const cases = [
    ["", "Empty message received"],
    ["   ", "Empty message received"],
    ["not JSON", "Invalid message format"],
    ["{", "Invalid message format"],
    ["[]", "Invalid message format"],
    [`{"type":"user"}`, "Missing required field in message"],
    [`{"message":"x","type":"robot"}`, "Unknown message type"],
    [{ message: "x".repeat(40_000), type: "user" }, "Message too long"],
  ];
  for (const [index, [frame, error]] of cases.entries()) {
    client.send(frame);
    await client.until(`an answer to ${JSON.stringify(frame).slice(0, 60)}`, () => client.errors().length === index + 1);
    assert.equal(client.errors()[index], error);
  }
  client.send({ message: "still open", type: "user" });
  await client.until("the chat goes on", () => client.said("user").at(-1) === "still open");
  assert.deepEqual(client.said("user"), ["still open"], "nothing refused was delivered");
  await client.leave();
}

async function room() {
  const [customer, agent, stranger] = await Promise.all([Client.open("room"), Client.open("room"), Client.open("other-room")]);
  customer.send({ message: "Hello from the customer", type: "user" });
  await agent.until("the customer's message", () => agent.said("user").includes("Hello from the customer"));
  agent.send({ message: "Hello from the agent", type: "user" });
  await customer.until("the agent's message", () => customer.said("user").includes("Hello from the agent"));
  await customer.until("answers", () => customer.said("assistant").length >= 1);
  await agent.until("the same answers", () => agent.said("assistant").length >= 1);
  assert.deepEqual(stranger.said("user"), [], "another room hears nothing");
  await Promise.all([customer, agent, stranger].map((client) => client.leave()));
}

async function order() {
  const [sender, reader] = await Promise.all([Client.open("order"), Client.open("order")]);
  const texts = Array.from({ length: 100 }, (_, number) => `n${number}`);
  // In bursts below queue.capacity, so that nothing may be dropped.
  for (let from = 0; from < texts.length; from += 25) {
    texts.slice(from, from + 25).forEach((message) => sender.send({ message, type: "user" }));
    for (const client of [sender, reader]) {
      await client.until(`message ${from + 24}`, () => client.said("user").length >= from + 25);
    }
  }
  assert.deepEqual(sender.said("user"), texts);
  assert.deepEqual(reader.said("user"), texts);
  await Promise.all([sender.leave(), reader.leave()]);
}

async function pings() {
  const client = await Client.open("pings");
  for (const payload of ["", "are you there", "p".repeat(125)]) {
    const pong = once(client.socket, "pong");
    client.socket.ping(payload);
    assert.equal((await pong)[0].toString(), payload);
  }
  await client.leave();
}

async function closes() {
  for (const code of [1000, 1001, 3000, 4123]) {
    const client = await Client.open("closes");
    client.socket.close(code, "bye");
    assert.equal((await client.closed).code, code, "a close is answered with its own code");
  }
  const breaking = [
    ["binary", 1003, (socket) => socket.send(Buffer.from("{}"), { binary: true })],
    ["text that is not UTF-8", 1007, (socket) => socket.send(Buffer.from([0x22, 0xff, 0x22]), { binary: false })],
    ["a message above the limit", 1009, (socket) => socket.send("x".repeat(64 * 1024 + 1))],
  ];
  for (const [what, code, send] of breaking) {
    const client = await Client.open("closes");
    send(client.socket);
    assert.equal((await client.closed).code, code, what);
  }
}

async function refusedBeforeOpen() {
  for (const path of ["/ws/chat/1/", "/ws/chat/x/a/", "/ws/chat/01/a/", `/ws/chat/1/${"s".repeat(65)}/`, "/ws/other/"]) {
    const socket = new WS(`ws://127.0.0.1:${port}${path}`);
    socket.on("error", () => {});
    const [, response] = await once(socket, "unexpected-response");
    assert.equal(response.statusCode, 404, path);
    response.destroy();
  }
}

await finish(async () => {
  await check("echo, answer and system message", echoAndAnswer);
  await check("texts come back as they were sent", texts);
  await check("refused messages get the documented errors and the chat goes on", refusals);
  await check("two clients in a room see each other, another room does not", room);
  await check("100 messages arrive in order at both", order);
  await check("pings are answered with their payload", pings);
  await check("close codes", closes);
  await check("other paths are refused with 404", refusedBeforeOpen);
});
