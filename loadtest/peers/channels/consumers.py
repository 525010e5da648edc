import json
from datetime import datetime, timezone

from channels.generic.websocket import AsyncWebsocketConsumer

TEXT_MAX = 4096


class Refused(Exception):
    """Why a command says nothing to the room."""


def read(text):
    """The message and its sender."""
    try:
        command = json.loads(text)
    except ValueError:
        raise Refused("Invalid message format")
    if not isinstance(command, dict):
        raise Refused("Invalid message format")
    if "message" not in command:
        raise Refused("Missing required field in message")
    message, sender = command["message"], command.get("type", "user")
    if not isinstance(message, str):
        raise Refused("Invalid message format")
    if sender not in ("user", "system"):
        raise Refused("Unknown message type")
    if not message.strip():
        raise Refused("Empty message received")
    if len(message) > TEXT_MAX:
        raise Refused("Message too long")
    return message, sender


def timestamp():
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class ChatConsumer(AsyncWebsocketConsumer):
    async def connect(self):
        arguments = self.scope["url_route"]["kwargs"]
        self.room = f"chat_{arguments['business']}_{arguments['session']}"
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()
        await self.reply(
            message=f"Connected to {self.room}", sender="system", timestamp=timestamp()
        )

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.room, self.channel_name)

    async def receive(self, text_data=None, bytes_data=None):
        try:
            message, sender = read(text_data if text_data is not None else "")
        except Refused as reason:
            await self.reply(error=str(reason), sender="system")
            return
        await self.channel_layer.group_send(
            self.room,
            {
                "type": "chat.message",
                "message": message,
                "sender": sender,
                "timestamp": timestamp(),
            },
        )

    async def chat_message(self, event):
        await self.reply(
            message=event["message"], sender=event["sender"], timestamp=event["timestamp"]
        )

    async def reply(self, **frame):
        await self.send(text_data=json.dumps(frame))
