// Supportal Gateway's chat client: one room, one connection at a time, no page needed.
//
//   import { ChatClient } from "https-or-http-address-of-the-gateway/client.js";
//   const chat = new ChatClient({ businessId: "1", sessionId: "abc" });
//   chat.addEventListener("message", ({ detail }) => show(detail.sender, detail.message));
//   chat.open();
//   chat.send("Hello");
//
// Events, each a CustomEvent:
//   state    detail: { state, code, reason, delayMs }   state is one of State below
//   message  detail: { message, sender, timestamp }     a chat message, the sender's own included
//   refusal  detail: { error }                          the server refused one message; still connected
//
// The server echoes what it accepted, so show a message when it comes back, not when it is sent.
// All times are milliseconds.

/** Where a client stands. `waiting` is between two attempts, `closed` is final until `open()`. */
export const State = Object.freeze({
  CONNECTING: "connecting",
  OPEN: "open",
  WAITING: "waiting",
  CLOSED: "closed",
});

/** Reconnection: full-jitter exponential backoff, so that a restart is not followed by a stampede. */
export const BACKOFF_MIN_MS = 500;
export const BACKOFF_MAX_MS = 20_000;

/** A connection that lived this long was a good one: the next loss starts the backoff anew. */
export const STABLE_AFTER_MS = 5_000;

/** An attempt without an answer is given up after this long. */
export const CONNECT_TIMEOUT_MS = 10_000;

/** Close codes 4500 to 4999 say that coming back cannot help (the server's table, `close.rs`). */
export function isFinal(code) {
  return code >= 4500 && code <= 4999;
}

/** How long to wait before attempt number `attempt` (from 0); `random` is in [0, 1). */
export function backoff(attempt, random) {
  return random * Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(attempt, 16));
}

/** The address of a room on the gateway at `base`, an http(s) address: ws for http, wss for https. */
export function roomAddress(base, businessId, sessionId) {
  const address = new URL(base);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.pathname = `/ws/chat/${encodeURIComponent(businessId)}/${encodeURIComponent(sessionId)}/`;
  address.search = "";
  address.hash = "";
  return address.href;
}

export class ChatClient extends EventTarget {
  #address;
  #WebSocket;
  #random;
  #socket = null;
  #state = State.CLOSED;
  #attempt = 0;
  #retryTimer = null;
  #stableTimer = null;
  #connectTimer = null;

  /**
   * @param {object} options
   * @param {string|number} options.businessId
   * @param {string} options.sessionId
   * @param {string} [options.base] the gateway's http(s) address; the page's own by default
   * @param {typeof WebSocket} [options.WebSocket] another implementation, for tests
   * @param {() => number} [options.random] in [0, 1), for tests
   */
  constructor({ businessId, sessionId, base = globalThis.location?.href, WebSocket = globalThis.WebSocket, random = Math.random }) {
    super();
    this.#address = roomAddress(base, businessId, sessionId);
    this.#WebSocket = WebSocket;
    this.#random = random;
  }

  get state() {
    return this.#state;
  }

  /** Connects and stays connected until `close()` or a final close code. */
  open() {
    if (this.#state === State.CLOSED) {
      this.#attempt = 0;
      this.#connect();
    }
  }

  /** Cuts the wait for the next attempt short: the network is back, or somebody pressed a button. */
  retryNow() {
    if (this.#state === State.WAITING) {
      this.#connect();
    }
  }

  /** Sends one message. False, and nothing sent, while there is no connection. */
  send(message, type = "user") {
    if (this.#state !== State.OPEN || this.#socket.readyState !== this.#socket.OPEN) {
      return false;
    }
    this.#socket.send(JSON.stringify({ message, type }));
    return true;
  }

  /** Leaves for good. */
  close(code = 1000, reason = "") {
    const socket = this.#forget();
    socket?.close(code, reason);
    this.#enter(State.CLOSED, { code, reason });
  }

  #connect() {
    this.#forget();
    const socket = new this.#WebSocket(this.#address);
    this.#socket = socket;
    this.#enter(State.CONNECTING);
    // Every handler asks whether the socket is still ours: a late event of an abandoned one is nobody's.
    const ours = (handle) => (event) => {
      if (socket === this.#socket) {
        handle(event);
      }
    };
    socket.onopen = ours(() => this.#opened());
    socket.onmessage = ours((event) => this.#received(event.data));
    socket.onclose = ours((event) => this.#closed(event.code, event.reason));
    // An error is always followed by a close; acting on both would double the attempts.
    socket.onerror = () => {};
    this.#connectTimer = setTimeout(ours(() => {
      this.#forget()?.close();
      this.#closed(1006, "no answer");
    }), CONNECT_TIMEOUT_MS);
  }

  #opened() {
    clearTimeout(this.#connectTimer);
    this.#stableTimer = setTimeout(() => { this.#attempt = 0; }, STABLE_AFTER_MS);
    this.#enter(State.OPEN);
  }

  #received(data) {
    const event = parse(data);
    if (event === null) {
      return; // not a frame of this contract: a newer server may know more than we do
    }
    this.#emit("error" in event ? "refusal" : "message", event);
  }

  #closed(code, reason) {
    this.#forget();
    if (isFinal(code)) {
      this.#enter(State.CLOSED, { code, reason });
      return;
    }
    const delayMs = backoff(this.#attempt, this.#random());
    this.#attempt += 1;
    this.#retryTimer = setTimeout(() => this.#connect(), delayMs);
    this.#enter(State.WAITING, { code, reason, delayMs });
  }

  /** Drops the socket and every timer; returns the socket, which its handlers no longer reach. */
  #forget() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#stableTimer);
    clearTimeout(this.#connectTimer);
    const socket = this.#socket;
    this.#socket = null;
    return socket;
  }

  #enter(state, { code = null, reason = "", delayMs = null } = {}) {
    this.#state = state;
    this.#emit("state", { state, code, reason, delayMs });
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** A server frame, or null if it is none that we know: every field is checked, none is trusted. */
function parse(data) {
  let frame;
  try {
    frame = JSON.parse(data);
  } catch {
    return null;
  }
  if (typeof frame !== "object" || frame === null) {
    return null;
  }
  if (typeof frame.error === "string") {
    return { error: frame.error };
  }
  if (typeof frame.message !== "string" || !["user", "assistant", "system"].includes(frame.sender)) {
    return null;
  }
  const timestamp = typeof frame.timestamp === "string" ? frame.timestamp : null;
  return { message: frame.message, sender: frame.sender, timestamp };
}
