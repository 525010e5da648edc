import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { error, read, room, welcome } from "../chat.js";

/** The members of each room. */
const rooms = new Map();

const http = createServer((_, response) => response.writeHead(404).end());
const server = new WebSocketServer({ noServer: true, perMessageDeflate: false, clientTracking: false, maxPayload: 65536 });

function join(name, socket) {
  const members = rooms.get(name);
  if (members) members.add(socket);
  else rooms.set(name, new Set([socket]));
}

function leave(name, socket) {
  const members = rooms.get(name);
  members.delete(socket);
  if (members.size === 0) rooms.delete(name);
}

/** Encoded once, sent to each. */
function publish(name, answer) {
  const frame = Buffer.from(JSON.stringify(answer));
  for (const member of rooms.get(name)) member.send(frame, { binary: false });
}

http.on("upgrade", (request, socket, head) => {
  const name = room(request.url.split("?", 1)[0]);
  if (!name) {
    socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    return;
  }
  server.handleUpgrade(request, socket, head, (member) => {
    join(name, member);
    member.on("close", () => leave(name, member));
    member.on("error", () => {}); // "close" follows
    member.on("message", (data, binary) => {
      const answer = binary ? "Invalid message format" : read(data);
      if (typeof answer === "string") member.send(JSON.stringify(error(answer)));
      else publish(name, answer);
    });
    member.send(JSON.stringify(welcome(name)));
  });
});

http.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
