// The chat page: shows what the client (client.js) says, and sends what the reader writes.
//
// Whatever comes from the network reaches the document through textContent and nothing else.

import { ChatClient, State, wellFormed } from "./client.js";

/** The demo chat at `/` belongs to this business. */
const DEMO_BUSINESS = "1";

/** Lines kept on the page; the oldest leave first, so that a week-old tab stays light. */
const LINES_MAX = 500;

/** This close to the end, in pixels, the reader counts as reading the newest message. */
const AT_END_PX = 48;

const page = Object.fromEntries(
  ["state", "fresh", "notice", "notice-text", "notice-wait", "retry", "scroll", "empty", "log", "pending", "newer", "composer", "text", "send", "hint"]
    .map((id) => [id, document.getElementById(id)]),
);

/** The folder of this file and of the page: `/`, or one beside a site. */
const ROOT = new URL(".", import.meta.url).pathname;

const { businessId, sessionId } = joined();
const client = new ChatClient({ businessId, sessionId });

// --- Which chat -------------------------------------------------------------------------------

/** The chat that the page's address names; at the page's root, a new one, which the address names from then on. */
function joined() {
  const path = location.pathname.slice(ROOT.length);
  const [, business, session] = /^chat\/(\d+)\/([\w.-]+)\/$/.exec(path) ?? [];
  if (session !== undefined) {
    return { businessId: business, sessionId: session };
  }
  const fresh = freshSession();
  history.replaceState(null, "", `${ROOT}chat/${DEMO_BUSINESS}/${fresh}/`);
  return { businessId: DEMO_BUSINESS, sessionId: fresh };
}

/** 128 random bits: whoever knows a session's id is in it, so it must not be guessed. */
function freshSession() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// --- Lines of the conversation ----------------------------------------------------------------

function element(name, className, text = "") {
  const node = document.createElement(name);
  node.className = className;
  node.textContent = text;
  return node;
}

/** A line: who and when above, the text below. `kind` is its look and is never taken from a frame. */
function line(kind, who, text, timestamp) {
  const item = element("li", `line ${kind}`);
  const about = element("p", "about");
  const when = time(timestamp);
  if (who !== "") {
    about.append(element("b", "", who), " ");
  }
  if (when !== null) {
    about.append(when);
  }
  if (about.hasChildNodes()) {
    item.append(about);
  }
  const body = element("p", "text", text);
  body.dir = "auto";
  item.append(body);
  return item;
}

/** The server's timestamp in the reader's own time zone, or null if it is none. */
function time(timestamp) {
  const date = new Date(timestamp ?? Number.NaN);
  if (Number.isNaN(date.getTime())) {
    return null;
  }
  const today = date.toDateString() === new Date().toDateString();
  const shown = date.toLocaleString([], today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
  const node = element("time", "", shown);
  node.dateTime = date.toISOString();
  node.title = date.toLocaleString([], { dateStyle: "full", timeStyle: "long" });
  return node;
}

/** Adds a line to the log; the view follows only a reader who was at the end already. */
function append(item) {
  following(() => {
    page.empty.hidden = true;
    page.log.append(item);
    while (page.log.childElementCount > LINES_MAX) {
      page.log.firstElementChild.remove();
    }
  });
}

function atEnd() {
  return page.scroll.scrollHeight - page.scroll.scrollTop - page.scroll.clientHeight <= AT_END_PX;
}

function toEnd() {
  page.scroll.scrollTop = page.scroll.scrollHeight;
  page.newer.hidden = true;
}

function following(change) {
  const wasAtEnd = atEnd();
  change();
  if (wasAtEnd) {
    toEnd();
  } else {
    page.newer.hidden = false;
  }
}

// --- Own messages on their way ----------------------------------------------------------------
//
// The contract has no ids: our own message comes back as a `user` message with the same text. Until
// then it waits below the log, outside the live region, so that it is shown and read out once.

/** Messages on their way, oldest first: { text, item, fate, sending }. */
const sent = [];

function sendNew(text) {
  if (!client.send(text)) {
    return false;
  }
  const item = line("own sending", "You", text, new Date().toISOString());
  const fate = element("p", "fate", "Sending…");
  item.append(fate);
  sent.push({ text, item, fate, sending: true });
  page.empty.hidden = true;
  page.pending.append(item);
  toEnd();
  return true;
}

function unsent(message, why) {
  if (!message.sending) {
    return;
  }
  message.sending = false;
  message.item.className = "line own unsent";
  const again = button("Send again", () => {
    // The old line leaves only once the new one is on its way.
    if (sendNew(message.text)) {
      forget(message);
      page.text.focus();
    } else {
      say("Not connected: send it again once the connection is back.");
    }
  });
  const discard = button("Discard", () => {
    forget(message);
    page.text.focus();
  });
  following(() => message.fate.replaceChildren(why, " ", again, " ", discard));
}

function button(name, act) {
  const node = element("button", "", name);
  node.type = "button";
  node.addEventListener("click", act);
  return node;
}

function forget(message) {
  message.item.remove();
  sent.splice(sent.indexOf(message), 1);
}

/** Was this `user` message one of ours? Then it is on its way no more. */
function takeOwn(text) {
  const own = sent.find((message) => message.text === text);
  if (own !== undefined) {
    forget(own);
  }
  return own !== undefined;
}

// --- What the client says ---------------------------------------------------------------------

client.addEventListener("message", ({ detail: { message, sender, timestamp } }) => {
  if (sender === "assistant") {
    append(line("assistant", "Assistant", message, timestamp));
  } else if (sender === "system") {
    append(line("system", "", message, timestamp));
  } else if (takeOwn(message)) {
    append(line("own", "You", message, timestamp));
  } else {
    append(line("user", "Participant", message, timestamp));
  }
});

client.addEventListener("refusal", ({ detail: { error } }) => {
  append(line("error", "", error, null));
  // Refusals come in the order of the messages, so this one means the oldest on its way.
  const refused = sent.find((message) => message.sending);
  if (refused !== undefined) {
    unsent(refused, "Not sent.");
  }
});

let countdown = null;

client.addEventListener("state", ({ detail: { state, code, reason, delayMs } }) => {
  clearInterval(countdown);
  page["notice-wait"].textContent = "";
  if (state !== State.OPEN) {
    sent.forEach((message) => unsent(message, "Not confirmed before the connection was lost."));
  }
  if (state === State.OPEN) {
    notice(state, "Connected", "");
  } else if (state === State.CONNECTING) {
    // The notice of a lost connection stays until the next one stands.
    notice(state, "Connecting…", page.notice.hidden ? "" : "Trying to reconnect…");
  } else if (state === State.WAITING) {
    notice(state, "Reconnecting…", because("The connection was lost", reason));
    countDown(performance.now() + delayMs);
  } else {
    notice(state, "Closed", because(`This chat was closed by the server (${code})`, reason));
  }
  page.retry.hidden = state !== State.WAITING && state !== State.CLOSED;
  offer();
});

function because(what, reason) {
  return reason === "" ? `${what}.` : `${what}: ${reason}`;
}

function notice(state, status, text) {
  page.state.dataset.state = state;
  page.notice.dataset.state = state;
  page.state.textContent = status;
  page["notice-text"].textContent = text;
  page.notice.hidden = text === "";
}

function countDown(until) {
  const show = () => {
    const seconds = Math.ceil(Math.max(0, until - performance.now()) / 1000);
    page["notice-wait"].textContent = seconds > 1 ? `Next attempt in ${seconds} s.` : "";
  };
  show();
  countdown = setInterval(show, 500);
}

// --- What the reader does ---------------------------------------------------------------------

/** Sending is offered when there is something to send and somebody to send it to. */
function offer() {
  page.send.disabled = client.state !== State.OPEN || page.text.value.trim() === "";
  say(client.state === State.OPEN
    ? "Enter sends, Shift+Enter starts a new line."
    : "Not connected: what you write stays here until it can be sent.");
}

function say(hint) {
  page.hint.textContent = hint;
}

/** The field grows with its text up to the limit in the style sheet. */
function grow() {
  page.text.style.height = "auto";
  const borders = page.text.offsetHeight - page.text.clientHeight;
  page.text.style.height = `${page.text.scrollHeight + borders}px`;
}

page.text.addEventListener("input", () => {
  grow();
  offer();
});

page.text.addEventListener("keydown", (event) => {
  // An Enter that ends the composition of a character (isComposing, or 229 in Safari) sends nothing.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
    event.preventDefault();
    page.composer.requestSubmit();
  }
});

page.composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = wellFormed(page.text.value.trim());
  if (text !== "" && sendNew(text)) {
    page.text.value = "";
    grow();
    offer();
  }
  page.text.focus();
});

page.scroll.addEventListener("scroll", () => {
  if (atEnd()) {
    page.newer.hidden = true;
  }
}, { passive: true });

page.newer.addEventListener("click", () => {
  toEnd();
  page.text.focus();
});

page.retry.addEventListener("click", () => {
  client.retryNow();
  page.text.focus();
});

page.fresh.addEventListener("click", () => location.assign(`${ROOT}chat/${businessId}/${freshSession()}/`));

grow();
offer();
client.open();
