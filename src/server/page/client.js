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
//
// A connection can be dead and look open: the network went away, the computer slept. It is given up and
// a new one made when a message is not answered in time, and when the page is looked at again after a
// silence in which a living server would have given up too. A browser shows no pings to a script, so
// after a silence nobody can tell a quiet room from a dead connection, and a new one is the safe answer.
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

/** A message that is neither echoed nor refused after this long was sent into a dead connection. */
export const ANSWER_TIMEOUT_MS = 15_000;

/** A living server ends a connection after its ping's interval and timeout (its own defaults, 25 + 8 s). */
export const SILENCE_MS = 33_000;

/** How often a page that is looked at asks whether its timers stood still: the computer slept. */
export const PULSE_MS = 5_000;

/** Close codes, first and last, after which coming back cannot help; after all others it can. */
export const FINAL_CODES = Object.freeze([[1000, 1000], [4500, 4999]]);

export function isFinal(code) {
  return FINAL_CODES.some(([first, last]) => code >= first && code <= last);
}

/** A text as the server echoes it: half a surrogate pair becomes U+FFFD. */
export function wellFormed(text) {
  return text.replace(/[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]/g, (unit) => (unit.length === 2 ? unit : "\ufffd"));
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
  #answerTimer = null;
  #pulseTimer = null;
  /** Messages of this connection that are not answered yet, oldest first. */
  #unanswered = [];
  /** When this connection was heard last, and when the pulse beat last. */
  #heardAt = 0;
  #pulsedAt = 0;
  #silenceMs;
  #wake = () => this.#woken();

  /**
   * @param {object} options
   * @param {string|number} options.businessId
   * @param {string} options.sessionId
   * @param {string} [options.base] the gateway's http(s) address; the page's own by default
   * @param {number} [options.silenceMs] the server's `ping_interval` plus `ping_timeout`, if they are not its defaults
   * @param {typeof WebSocket} [options.WebSocket] another implementation, for tests
   * @param {() => number} [options.random] in [0, 1), for tests
   */
  constructor({ businessId, sessionId, base = globalThis.location?.href, silenceMs = SILENCE_MS, WebSocket = globalThis.WebSocket, random = Math.random }) {
    super();
    this.#silenceMs = silenceMs;
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
      this.retryNow();
    }
  }

  /** Makes a new connection at once, whatever became of the last one: somebody pressed a button. */
  retryNow() {
    if (this.#state === State.CLOSED) {
      this.#attempt = 0;
      this.#watch();
    }
    this.#connect();
  }

  /** Sends one message. False, and nothing sent, while there is no connection. */
  send(message, type = "user") {
    if (this.#state !== State.OPEN || this.#socket.readyState !== this.#socket.OPEN) {
      return false;
    }
    const text = wellFormed(message);
    this.#socket.send(JSON.stringify({ message: text, type }));
    this.#unanswered.push(text);
    this.#answerTimer ??= this.#awaitAnswer();
    return true;
  }

  /** Leaves for good. */
  close(code = 1000, reason = "") {
    this.#forget(code, reason);
    this.#unwatch();
    this.#enter(State.CLOSED, { code, reason });
  }

  /** While it is not closed: whatever says that the network or the reader is back, or that time has passed. */
  #watch() {
    for (const [target, names] of awakenings()) {
      names.forEach((name) => target?.addEventListener?.(name, this.#wake));
    }
    this.#pulsedAt = Date.now();
    this.#pulseTimer = setInterval(() => {
      const stood = passed(this.#pulsedAt) > 2 * PULSE_MS;
      this.#pulsedAt = Date.now();
      if (stood) {
        this.#woken();
      }
    }, PULSE_MS);
  }

  #unwatch() {
    clearInterval(this.#pulseTimer);
    for (const [target, names] of awakenings()) {
      names.forEach((name) => target?.removeEventListener?.(name, this.#wake));
    }
  }

  #woken() {
    if (globalThis.document?.visibilityState === "hidden") {
      return; // nobody looks, and a hidden page's timers are slow anyway
    }
    if (this.#state === State.WAITING) {
      this.#connect();
    } else if (this.#state === State.OPEN && passed(this.#heardAt) > this.#silenceMs) {
      this.#lost(1006, "silent for too long");
    }
  }

  #connect() {
    this.#forget();
    const socket = new this.#WebSocket(this.#address);
    this.#socket = socket;
    // Every handler asks whether the socket is still ours: a late event of an abandoned one is nobody's.
    const ours = (handle) => (event) => {
      if (socket === this.#socket) {
        handle(event);
      }
    };
    socket.onopen = ours(() => this.#opened());
    socket.onmessage = ours((event) => this.#received(event.data));
    socket.onclose = ours((event) => this.#lost(event.code, event.reason));
    // An error is always followed by a close; acting on both would double the attempts.
    socket.onerror = () => {};
    this.#connectTimer = setTimeout(() => this.#lost(1006, "no answer"), CONNECT_TIMEOUT_MS);
    // The last: whoever hears of it may close it at once, and then no timer is to be left behind.
    this.#enter(State.CONNECTING);
  }

  #opened() {
    clearTimeout(this.#connectTimer);
    this.#heardAt = Date.now();
    this.#stableTimer = setTimeout(() => { this.#attempt = 0; }, STABLE_AFTER_MS);
    this.#enter(State.OPEN);
  }

  #awaitAnswer() {
    return setTimeout(() => this.#lost(1006, "a message was not answered"), ANSWER_TIMEOUT_MS);
  }

  /** A refusal answers the oldest message, an echo its own, which may have words of the server in front. */
  #answered(event) {
    const isEcho = (text) => event.sender !== "assistant" && event.message.endsWith(text);
    const index = "error" in event ? 0 : this.#unanswered.findIndex(isEcho);
    if (index < 0 || this.#unanswered.length === 0) {
      return;
    }
    this.#unanswered.splice(index, 1);
    clearTimeout(this.#answerTimer);
    this.#answerTimer = this.#unanswered.length > 0 ? this.#awaitAnswer() : null;
  }

  #received(data) {
    this.#heardAt = Date.now();
    const event = parse(data);
    if (event === null) {
      return; // not a frame of this contract: a newer server may know more than we do
    }
    this.#answered(event);
    this.#emit("error" in event ? "refusal" : "message", event);
  }

  #lost(code, reason) {
    this.#forget();
    if (isFinal(code)) {
      this.#unwatch();
      this.#enter(State.CLOSED, { code, reason });
      return;
    }
    const delayMs = backoff(this.#attempt, this.#random());
    this.#attempt += 1;
    this.#retryTimer = setTimeout(() => this.#connect(), delayMs);
    this.#enter(State.WAITING, { code, reason, delayMs });
  }

  /** Drops the socket, whose late events nobody hears, and all that belonged to it. */
  #forget(code = 1000, reason = "") {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#stableTimer);
    clearTimeout(this.#connectTimer);
    clearTimeout(this.#answerTimer);
    this.#answerTimer = null;
    this.#unanswered = [];
    const socket = this.#socket;
    this.#socket = null;
    // Of one that is closed already this does nothing.
    socket?.close(code, reason);
  }

  #enter(state, { code = null, reason = "", delayMs = null } = {}) {
    this.#state = state;
    this.#emit("state", { state, code, reason, delayMs });
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/** Who says that the network or the reader may be back: a window and its document, if there are any. */
function awakenings() {
  return [[globalThis, ["online", "pageshow"]], [globalThis.document, ["visibilitychange", "resume"]]];
}

/** Time since `moment`, by the clock that goes on while the computer sleeps; it may have been set back. */
function passed(moment) {
  return Math.max(0, Date.now() - moment);
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
