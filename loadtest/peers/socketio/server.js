// Clients connect with `io(url, { path: "/ws/chat/1/ROOM/", transports: ["websocket"] })`: the room is the path's.
import { createServer } from "node:http";
import { Server } from "socket.io";
import { accept, error, room, welcome } from "../chat.js";

const http = createServer((_, response) => response.writeHead(404).end());
const io = new Server(http, {
  path: "/ws/chat",
  serveClient: false,
  transports: ["websocket"],
  perMessageDeflate: false,
  maxHttpBufferSize: 65536,
  allowRequest: (request, answer) => answer(null, room(request.url.split("?", 1)[0]) !== null),
});

io.on("connection", (socket) => {
  const name = room(socket.request.url.split("?", 1)[0]);
  socket.join(name);
  socket.on("message", (command) => {
    const answer = accept(command);
    if (typeof answer === "string") socket.emit("message", error(answer));
    else io.to(name).emit("message", answer);
  });
  socket.emit("message", welcome(name));
});

http.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
