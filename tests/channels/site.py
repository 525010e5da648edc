"""A Django site for the tests: real Django, channels and channels_redis, told what to do line by line.

    python tests/channels/site.py BACKEND CONFIG

BACKEND and CONFIG (JSON) are those of CHANNEL_LAYERS["default"]. Each line of standard input is a
JSON object whose `do` names a function below; each is answered by a line, and what consumers of this
process hear comes as further lines with the key `heard`.
"""

import asyncio
import json
import sys

import django
import redis
from django.conf import settings

settings.configure(
    CHANNEL_LAYERS={"default": {"BACKEND": sys.argv[1], "CONFIG": json.loads(sys.argv[2])}},
    LOGGING_CONFIG=None,
    SECRET_KEY="for tests",
)
django.setup()

from asgiref.sync import async_to_sync  # noqa: E402
from asgiref.testing import ApplicationCommunicator  # noqa: E402
from channels.consumer import AsyncConsumer  # noqa: E402
from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.layers import get_channel_layer  # noqa: E402
from channels.routing import ChannelNameRouter  # noqa: E402
from channels.worker import Worker  # noqa: E402

kept = []


def say(**words):
    print(json.dumps(words), flush=True)


class ChatConsumer(AsyncWebsocketConsumer):
    """A site's consumer: shows its group's events to its one client."""

    async def connect(self):
        await self.channel_layer.group_add(self.scope["group"], self.channel_name)
        await self.accept()

    async def chat_message(self, event):
        await self.send(text_data=event["message"])


class WorkerConsumer(AsyncConsumer):
    """What `manage.py runworker` runs: hears users' messages, and answers those that ask for it."""

    async def chat_message(self, event):
        say(heard=event)
        if str(event["message"]).startswith("answer "):
            answer = {"type": "chat.message", "message": "re: " + event["message"], "sender": "assistant"}
            await get_channel_layer().group_send(event["group"], answer)


async def group_send(group, message, count=1, **keys):
    """Sends `count` events; with several, the number follows the message."""
    for number in range(count):
        text = message if count == 1 else f"{message}{number}"
        await get_channel_layer().group_send(group, {"type": "chat.message", "message": text, **keys})
    return count


async def group_send_from_a_view(group, event):
    """As a view does it: in a thread, by async_to_sync."""
    def view():
        async_to_sync(get_channel_layer().group_send)(group, event)

    await asyncio.get_running_loop().run_in_executor(None, view)


async def flush():
    await get_channel_layer().flush()


async def runworker(channel):
    worker = Worker(
        application=ChannelNameRouter({channel: WorkerConsumer.as_asgi()}),
        channels=[channel],
        channel_layer=get_channel_layer(),
    )
    # As Worker.run, but for the loop, which runs already.
    worker.application_instances = {}
    kept.append(asyncio.create_task(worker.handle()))
    kept.append(asyncio.create_task(worker.application_checker()))


async def join(group):
    """A client of this process in a group, beside the gateway's."""
    client = ApplicationCommunicator(ChatConsumer.as_asgi(), {"type": "websocket", "path": "/", "group": group})
    await client.send_input({"type": "websocket.connect"})
    accepted = await client.receive_output()

    async def listen():
        while True:
            say(heard=(await client.receive_output(timeout=600)).get("text"))

    kept.append(asyncio.create_task(listen()))
    return accepted["type"]


async def join_quietly(group):
    """A group's member whose messages are told with their whole event."""
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(group, channel)

    async def listen():
        while True:
            say(heard=await layer.receive(channel))

    kept.append(asyncio.create_task(listen()))


ORDERS = [group_send, group_send_from_a_view, flush, runworker, join, join_quietly]


async def main():
    orders = {order.__name__: order for order in ORDERS}
    say(done="ready")
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        try:
            say(done=await orders[order.pop("do")](**order))
        except redis.exceptions.ConnectionError as error:
            say(done=None, failed=f"{type(error).__name__}: {error}")


asyncio.run(main())
