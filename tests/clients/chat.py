"""A Python client of the documented contract, with the `websockets` package.

    python chat.py PORT

The server under test has no message rate (limits.messages_per_second=0) and its other defaults.
One JSON line per check on stdout; the first failure goes to stderr and ends the run with status 1.
"""

import asyncio
import json
import re
import sys
import time

import websockets

STEP_SECONDS = 10
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)

port = int(sys.argv[1])


def verify(frame):
    """Every frame has the documented keys and nothing else."""
    if "error" in frame:
        assert set(frame) == {"error", "sender"} and frame["sender"] == "system", frame
    else:
        assert set(frame) == {"message", "sender", "timestamp"}, frame
        assert frame["sender"] in ("user", "assistant", "system"), frame
        assert TIMESTAMP.fullmatch(frame["timestamp"]), frame


class Client:
    """One connection that has read its welcome."""

    def __init__(self, session):
        self.uri = f"ws://127.0.0.1:{port}/ws/chat/1/{session}/"

    async def __aenter__(self):
        self.socket = await websockets.connect(self.uri)
        welcome = await self.receive()
        assert welcome["sender"] == "system" and "message" in welcome, welcome
        return self

    async def __aexit__(self, *_):
        await self.socket.close()

    async def send(self, frame):
        await self.socket.send(frame if isinstance(frame, (str, bytes)) else json.dumps(frame))

    async def receive(self):
        text = await asyncio.wait_for(self.socket.recv(), STEP_SECONDS)
        assert isinstance(text, str), "frames are text"
        frame = json.loads(text)
        verify(frame)
        return frame

    async def receive_from(self, sender):
        """The next chat message of `sender`."""
        while True:
            frame = await self.receive()
            if frame["sender"] == sender and "message" in frame:
                return frame["message"]

    async def receive_error(self):
        while True:
            frame = await self.receive()
            if "error" in frame:
                return frame["error"]


async def echo_and_answer():
    async with Client("py-echo") as client:
        await client.send({"message": "How do I return an order?", "type": "user"})
        assert await client.receive_from("user") == "How do I return an order?"
        assert await client.receive_from("assistant")
        await client.send({"message": "for the room", "type": "system"})
        assert "for the room" in await client.receive_from("system")


async def texts():
    async with Client("py-texts") as client:
        for text in ['"quotes" \\ /', "line\nbreak\x00\x1f\x7f", "Grüße, 你好, مرحبا", "👩‍👩‍👧 𝄞", "a\u2028b"]:
            # Both ways of writing JSON: ASCII escapes and plain UTF-8.
            for ascii_only in (True, False):
                await client.send(json.dumps({"message": text, "type": "user"}, ensure_ascii=ascii_only))
                assert await client.receive_from("user") == text


async def fragments():
    async with Client("py-fragments") as client:
        parts = ['{"message": "in ', "thr", 'ee parts é"', ', "type": "user"}']
        await client.socket.send(iter(parts))
        assert await client.receive_from("user") == "in three parts é"


async def refusals():
    async with Client("py-refusals") as client:
        for frame, error in [
            ("", "Empty message received"),
            ("nonsense", "Invalid message format"),
            ("{}", "Missing required field in message"),
            ({"message": "x", "type": "robot"}, "Unknown message type"),
        ]:
            await client.send(frame)
            assert await client.receive_error() == error, frame
        await client.send({"message": "still open"})
        assert await client.receive_from("user") == "still open"


async def room():
    async with Client("py-room") as customer, Client("py-room") as agent:
        await customer.send({"message": "from the customer", "type": "user"})
        assert await agent.receive_from("user") == "from the customer"
        await agent.send({"message": "from the agent", "type": "user"})
        assert await customer.receive_from("user") == "from the customer"
        assert await customer.receive_from("user") == "from the agent"


async def order():
    async with Client("py-order") as sender, Client("py-order") as reader:
        names = [f"n{number}" for number in range(100)]
        for start in range(0, 100, 25):  # below queue.capacity, so that nothing may be dropped
            burst = names[start : start + 25]
            for name in burst:
                await sender.send({"message": name, "type": "user"})
            for client in (sender, reader):
                assert [await client.receive_from("user") for _ in burst] == burst


async def pings():
    async with Client("py-pings") as client:
        started = time.monotonic()
        for _ in range(3):
            pong = await client.socket.ping()
            await asyncio.wait_for(pong, STEP_SECONDS)
        assert time.monotonic() - started < STEP_SECONDS


async def closes():
    for payload, code in [(b"\x00binary", 1003), ("x" * (64 * 1024 + 1), 1009)]:
        async with Client("py-closes") as client:
            await client.send(payload)
            await asyncio.wait_for(client.socket.wait_closed(), STEP_SECONDS)
            assert client.socket.close_code == code, (code, client.socket.close_code)
    async with Client("py-closes") as client:
        await client.socket.close(4123, "bye")
        assert client.socket.close_code == 4123, client.socket.close_code


async def main():
    for test in (echo_and_answer, texts, fragments, refusals, room, order, pings, closes):
        started = time.monotonic()
        try:
            await test()
        except Exception as error:
            print(f"FAILED: {test.__name__}: {error!r}", file=sys.stderr)
            sys.exit(1)
        took = round((time.monotonic() - started) * 1000)
        print(json.dumps({"check": test.__name__, "ok": True, "ms": took}), flush=True)


asyncio.run(main())
