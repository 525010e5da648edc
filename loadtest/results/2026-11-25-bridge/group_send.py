"""What Python's own group_send takes, without anybody who receives: a group of two channels, 50 a second.

    python group_send.py redis://127.0.0.1:6379/0

A group_send of channels_redis.core is four round trips; a node hears of the message after the last one.
"""

import asyncio
import sys
import time

from channels_redis.core import RedisChannelLayer

SENDS = 400
CHANNELS = ("one!", "two!")


async def main():
    layer = RedisChannelLayer(hosts=[sys.argv[1]])
    for channel in CHANNELS:
        await layer.group_add("alone", channel + "x")
    took = []
    for _ in range(SENDS):
        started = time.perf_counter()
        await layer.group_send("alone", {"type": "chat.message", "message": "hi", "sender": "assistant"})
        took.append((time.perf_counter() - started) * 1e3)
        await layer.connection(0).delete(*("asgi" + channel for channel in CHANNELS))
        await asyncio.sleep(0.02)
    took.sort()
    print(f"group_send: p50 {took[SENDS // 2]:.2f} ms, p99 {took[SENDS * 99 // 100]:.2f} ms")


asyncio.run(main())
