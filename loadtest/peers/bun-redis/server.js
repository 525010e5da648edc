// As ../bun, on several processes: what a member says goes to the members here at once and to the other processes over Redis, by the
// client that comes with Bun. A process hears its own messages, too, and knows them by their first characters.
import { RedisClient } from "bun";
import { error, read, room, welcome } from "../chat.js";

const [port, url] = process.argv.slice(2);
const me = crypto.randomUUID();
const publisher = new RedisClient(url);
const subscriber = new RedisClient(url);
await publisher.connect();
await subscriber.connect();

// The client refuses to unsubscribe while it has no subscription at all.
await subscriber.subscribe(`node:${me}`, () => {});

const rooms = new Map();

function heard(message, channel) {
  if (!message.startsWith(me)) server.publish(channel, message.slice(me.length));
}

const server = Bun.serve({
  port: Number(port),
  hostname: "127.0.0.1",
  fetch(request, server) {
    const name = room(new URL(request.url).pathname);
    if (!name) return new Response("Not Found", { status: 404 });
    if (server.upgrade(request, { data: { room: name } })) return undefined;
    return new Response("Upgrade Required", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    maxPayloadLength: 65536,
    async open(socket) {
      const { room } = socket.data;
      const here = rooms.get(room) ?? { members: 0, subscribed: subscriber.subscribe(room, heard) };
      here.members += 1;
      rooms.set(room, here);
      socket.subscribe(room);
      await here.subscribed;
      socket.send(JSON.stringify(welcome(room)));
    },
    message(socket, data) {
      const answer = typeof data === "string" ? read(data) : "Invalid message format";
      if (typeof answer === "string") {
        socket.send(JSON.stringify(error(answer)));
        return;
      }
      const text = JSON.stringify(answer);
      server.publish(socket.data.room, text);
      publisher.publish(socket.data.room, me + text);
    },
    close(socket) {
      const { room } = socket.data;
      const here = rooms.get(room);
      here.members -= 1;
      if (here.members > 0) return;
      rooms.delete(room);
      here.subscribed.then(() => rooms.has(room) || subscriber.unsubscribe(room));
    },
  },
});
