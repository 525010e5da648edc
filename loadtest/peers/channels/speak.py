"""Calls group_send for each line of its standard input: the group's name, a tab, and a command of the chat contract."""

import asyncio
import json
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

import django

django.setup()

from channels.layers import get_channel_layer  # noqa: E402

from consumers import timestamp  # noqa: E402


async def main():
    layer = get_channel_layer()
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        group, command = line.rstrip(b"\n").split(b"\t", 1)
        command = json.loads(command)
        event = {
            "type": "chat.message",
            "message": command["message"],
            "sender": command["type"],
            "timestamp": timestamp(),
        }
        await layer.group_send(group.decode(), event)


asyncio.run(main())
