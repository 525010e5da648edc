"""Answers with the package's own services: the same prompt, the same model, the same row.

    python manage.py supportal_worker

AnswerConsumer is a consumer like any other, so Channels' own worker can run it too: in asgi.py
ProtocolTypeRouter({..., "channel": ChannelNameRouter({"supportal": AnswerConsumer.as_asgi()})}), then `manage.py runworker
supportal`. That one ends when its connection to Redis does, and with it the answer that it was at.
"""

import asyncio
import datetime
import logging
import signal
import threading
import time
from contextlib import suppress

from asgiref.sync import async_to_sync
from channels.consumer import SyncConsumer
from channels.layers import get_channel_layer
from channels.worker import Worker
from django.utils import timezone
from django_supportal.models import ChatMessage, ChatSession
from django_supportal.services.ai_service import AIService
from django_supportal.services.vector_service import VectorService
from django_supportal.websocket.consumers import ChatConsumer

from .conf import setting
from .rows import accepted_at, is_archive_begun
from .tags import tag, without_names

TURNS = 10  # as many rows as the package reads
APOLOGY = "sorry, I encountered an error processing your message"
SEND_SECONDS = 60  # for so long an answer is tried to be sent: as long as the layer keeps a message
AWAY_SECONDS = 60  # after a wait to no avail nothing waits for the archive: it has ended, or has parked the question
CLOCKS_APART = datetime.timedelta(minutes=1)  # of a Redis that keeps the archive and is behind the node, at most
NEAR = 500  # so many rows behind that are looked through for the question's own
REJOIN_SECONDS = 3  # after Redis is back the nodes are in their groups again; they need two seconds

NOBODY = "supportal.nobody"  # a group without members

log = logging.getLogger("supportal_gateway")
nodes_hear = threading.Event()  # not while Redis is away, and until the nodes are in their groups again
nodes_hear.set()


class AnswerConsumer(SyncConsumer):
    """Answers one message after the other; several of these processes share the channel."""

    async def __call__(self, scope, receive, send):
        """Without a channel of its own, by which a consumer ends with its connection to Redis: nobody sends there."""
        self.scope, self.channel_layer = scope, get_channel_layer(self.channel_layer_alias)
        while True:
            message = await receive()
            try:
                await self.dispatch(message)
            except Exception as error:  # one that is no question must not take along those that wait behind it
                log.error("what came over the channel is no question: %r", error)

    def chat_message(self, event):
        if event["sender"] != "user":  # with channels.send = ["user", "system"]; the package answers none of the system's
            return
        try:
            session = ChatSession.objects.get(session_id=event["session_id"], business_id=event["business_id"])
            answer = self.answer(event, session)
            row = ChatMessage.objects.create(session=session, message_type="ASSISTANT", content=answer)
            if not self.tell(event["group"], {"message": answer, "sender": "assistant", "timestamp": str(timezone.now())}):
                row.delete()  # what nobody has seen was not said
        except Exception as error:  # a line, not a traceback: whoever may write to a room without a session writes this log
            log.error("no answer in %s: %s", tag(event["group"]), without_names(error, event["group"], event["session_id"]))
            self.tell(event["group"], {"error": APOLOGY, "sender": "system"})

    def answer(self, event, session):
        chat = ChatConsumer()
        chat.business_id, chat.ai_service, chat.vector_service = event["business_id"], AIService(), VectorService()
        # In loops of their own: the package's services wait for the model in the loop itself, which listens to Redis too.
        context = async_to_sync(chat.get_relevant_context, force_new_loop=True)(event["message"])
        respond = async_to_sync(chat.ai_service.generate_response, force_new_loop=True)
        return respond(messages=turns(session, event), context=context)

    def tell(self, group, frame):
        """Into the room; while Redis is away, again, for SEND_SECONDS. False if it was to no avail."""
        until, is_waiting = time.monotonic() + SEND_SECONDS, False
        while True:
            nodes_hear.wait(max(0, until - time.monotonic()))
            try:
                async_to_sync(self.channel_layer.group_send)(group, {"type": "chat.message", **frame})
                return True
            except Exception as error:
                if isinstance(error, RuntimeError) or time.monotonic() > until:  # RuntimeError: this process is ending
                    log.error("nobody is told the answer in %s: %s", tag(group), without_names(error, group))
                    return False
                if not is_waiting:
                    log.warning("the answer in %s waits for Redis: %s", tag(group), without_names(error, group))
                is_waiting = True
                time.sleep(1)


class PatientWorker(Worker):
    """Channels' worker takes what there is into its memory, however much waits there, and ends with its connection to Redis.
    This one takes a question once it has answered the one before, listens on once Redis is back, and at SIGTERM ends with
    the answer that it is at. What waits, waits in Redis, for whichever worker is free: the layer's capacity and expiry bound it.
    """

    async def handle(self):
        self.questions, self.is_free, self.ends = asyncio.Queue(), asyncio.Event(), asyncio.Event()
        if threading.current_thread() is threading.main_thread():  # Python lets no other hear of it
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.ends.set)
        (channel,) = self.channels
        answers = self.application({"type": "channel", "channel": channel}, self.next_question, None)
        parts = [asyncio.ensure_future(part) for part in (answers, self.listener(channel), self.end())]
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for part in done:
            part.result()

    async def next_question(self):
        """The consumer has answered, and asks for more."""
        self.is_free.set()
        return await self.questions.get()

    async def end(self):
        await self.ends.wait()
        await self.is_free.wait()

    async def listener(self, channel):
        while True:
            try:
                return await self.listen(channel)
            except Exception as error:
                log.warning("the channel layer is away, and is tried again: %r", error)
            nodes_hear.clear()
            while not await self.is_layer_there():
                await asyncio.sleep(1)
            await asyncio.sleep(REJOIN_SECONDS)
            nodes_hear.set()

    async def listen(self, channel):
        """Until the end, or Redis'."""
        while True:
            while not self.is_free.is_set():
                await self.channel_layer.group_send(NOBODY, {"type": "chat.message"})  # so that an outage is noticed meanwhile
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self.is_free.wait(), 1)
            if self.ends.is_set():
                return
            question = await self.channel_layer.receive(channel)
            self.is_free.clear()
            self.questions.put_nowait(question)

    async def is_layer_there(self):
        try:
            await self.channel_layer.group_send(NOBODY, {"type": "chat.message"})
            return True
        except Exception:
            return False


class Archive:
    """Whether supportal_archive stores a question's row in time."""

    def __init__(self):
        self.away_until = time.monotonic()

    def wait(self, find):
        """What finds the question's row, once it does: the archive stores in order. Not where none has ever been begun."""
        until = time.monotonic() + setting("ARCHIVE_WAIT")
        while not (own := find()):
            if time.monotonic() < self.away_until or not setting("ARCHIVE_WAIT") or not is_archive_begun():
                return None
            if time.monotonic() > until:
                self.away_until = time.monotonic() + AWAY_SECONDS
                log.warning("the archive is behind: answers may lack what was said last; is supportal_archive running?")
            time.sleep(0.05)
        return own


archive = Archive()


def own_time(said, accepted, until):
    """The time of the question's row, if it is there. A row of an archive in Redis has the time of Redis, and says beside it when
    the node had accepted it."""
    own, near = None, said.filter(message_type="USER", created_at__gte=accepted - CLOCKS_APART).order_by("created_at")
    for at, metadata in near.values_list("created_at", "metadata")[:NEAR]:
        known = metadata.get("gateway") if isinstance(metadata, dict) else None
        told = known.get("accepted") if isinstance(known, dict) else None
        if accepted <= (accepted_at(told) if told else at) <= until:
            own = at
    return own


def turns(session, event):
    """What the package would have sent along: the last rows until this message, whose own row may be missing."""
    accepted, asked = accepted_at(event["timestamp"]), str(event["message"])
    until = accepted + datetime.timedelta(milliseconds=1 if accepted.microsecond else 1000)  # a guide's time has no fraction
    said = ChatMessage.objects.filter(session=session)
    own = archive.wait(lambda: own_time(said, accepted, until))
    own = own or until
    said = said.filter(created_at__lte=own if own < accepted else max(own, until))
    rows = [(row.message_type, row.content, row.created_at) for row in reversed(said.order_by("-created_at")[:TURNS])]
    if not any(kind == "USER" and text == asked and at >= min(accepted, own) for kind, text, at in rows):
        rows = [*rows, ("USER", asked, accepted)][-TURNS:]
    roles = {"USER": "user", "ASSISTANT": "assistant"}
    return [{"role": roles[kind], "content": text} for kind, text, _ in rows if kind in roles]
