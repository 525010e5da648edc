// Rooms are topics: the publish and subscribe of Bun's own WebSocket server, which is uWebSockets inside.
import { error, read, room, welcome } from "../chat.js";

// PORT, and with TLS the files of a certificate and its key.
const [port, cert, key] = process.argv.slice(2);

const server = Bun.serve({
  port: Number(port),
  hostname: "127.0.0.1",
  tls: cert && { cert: Bun.file(cert), key: Bun.file(key) },
  fetch(request, server) {
    const name = room(new URL(request.url).pathname);
    if (!name) return new Response("Not Found", { status: 404 });
    if (server.upgrade(request, { data: { room: name } })) return undefined;
    return new Response("Upgrade Required", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    maxPayloadLength: 65536,
    open(socket) {
      socket.subscribe(socket.data.room);
      socket.send(JSON.stringify(welcome(socket.data.room)));
    },
    message(socket, data) {
      const answer = typeof data === "string" ? read(data) : "Invalid message format";
      if (typeof answer === "string") socket.send(JSON.stringify(error(answer)));
      else server.publish(socket.data.room, JSON.stringify(answer));
    },
  },
});
