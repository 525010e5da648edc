"""Answers with the package's own services, for `manage.py runworker supportal`: the same prompt, the same model, the same row.

In asgi.py: ProtocolTypeRouter({..., "channel": ChannelNameRouter({"supportal": AnswerConsumer.as_asgi()})})
"""

import datetime
import logging

from asgiref.sync import async_to_sync
from channels.consumer import SyncConsumer
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django_supportal.models import ChatMessage, ChatSession
from django_supportal.services.ai_service import AIService
from django_supportal.services.vector_service import VectorService
from django_supportal.websocket.consumers import ChatConsumer

TURNS = 10  # as many rows as the package reads
APOLOGY = "sorry, I encountered an error processing your message"


class AnswerConsumer(SyncConsumer):
    """Answers one message after the other; several of these processes share the channel."""

    def chat_message(self, event):
        if event["sender"] != "user":
            return
        try:
            frame = {"message": self.answer(event), "sender": "assistant", "timestamp": str(timezone.now())}
        except Exception as error:  # a line, not a traceback: whoever may write to a room without a session writes this log
            logging.getLogger("supportal_gateway").error("no answer in %s: %r", event["group"], error)
            frame = {"error": APOLOGY, "sender": "system"}
        async_to_sync(self.channel_layer.group_send)(event["group"], {"type": "chat.message", **frame})

    def answer(self, event):
        session = ChatSession.objects.get(session_id=event["session_id"], business_id=event["business_id"])
        chat = ChatConsumer()
        chat.business_id, chat.ai_service, chat.vector_service = event["business_id"], AIService(), VectorService()
        context = async_to_sync(chat.get_relevant_context)(event["message"])
        answer = async_to_sync(chat.ai_service.generate_response)(messages=turns(session, event), context=context)
        ChatMessage.objects.create(session=session, message_type="ASSISTANT", content=answer)
        return answer


def turns(session, event):
    """What the package would have sent along: the last rows until this message, which the archive may not have stored yet."""
    accepted, asked = parse_datetime(event["timestamp"]), str(event["message"])
    until = accepted + datetime.timedelta(milliseconds=1 if accepted.microsecond else 1000)  # a guide's time has no fraction
    newest = ChatMessage.objects.filter(session=session, created_at__lte=until).order_by("-created_at")[:TURNS]
    rows = [(row.message_type, row.content, row.created_at) for row in reversed(newest)]
    if not any(kind == "USER" and text == asked and at >= accepted for kind, text, at in rows):
        rows = [*rows, ("USER", asked, accepted)][-TURNS:]
    roles = {"USER": "user", "ASSISTANT": "assistant"}
    return [{"role": roles[kind], "content": text} for kind, text, _ in rows if kind in roles]
