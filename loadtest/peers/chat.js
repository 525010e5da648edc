// The chat contract, shared by the three JavaScript servers: which paths there are, and what a command is answered with.

const ROUTE = /^\/ws\/chat\/(0|[1-9][0-9]{0,17})\/([A-Za-z0-9._-]{1,64})\/$/;
const TEXT_MAX = 4096;

let second = 0;
let text = "";

/** The time as `2024-01-01T12:00:00Z`, formatted once a second. */
function timestamp() {
  const now = Math.floor(Date.now() / 1000);
  if (now !== second) {
    second = now;
    text = new Date(now * 1000).toISOString().slice(0, 19) + "Z";
  }
  return text;
}

/** The room a path names, or null. */
export function room(path) {
  const match = ROUTE.exec(path);
  return match && `chat_${match[1]}_${match[2]}`;
}

/** The frame of an error: for its causer only. */
export function error(reason) {
  return { error: reason, sender: "system" };
}

/** The frame of a welcome. */
export function welcome(name) {
  return { message: `Connected to ${name}`, sender: "system", timestamp: timestamp() };
}

/** What a parsed command says to the whole room; a string is the reason why it says nothing. */
export function accept(command) {
  if (typeof command !== "object" || command === null || Array.isArray(command)) return "Invalid message format";
  const { message, type = "user" } = command;
  if (message === undefined) return "Missing required field in message";
  if (typeof message !== "string") return "Invalid message format";
  if (type !== "user" && type !== "system") return "Unknown message type";
  if (message.trim() === "") return "Empty message received";
  if (message.length > TEXT_MAX) return "Message too long";
  return { message, sender: type, timestamp: timestamp() };
}

/** The same for a command still in JSON. */
export function read(json) {
  try {
    return accept(JSON.parse(json));
  } catch {
    return "Invalid message format";
  }
}
