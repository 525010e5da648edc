"""The archive's events as rows of ChatMessage."""

import json

from django.db import DatabaseError, router, transaction
from django.db.models import F
from django.db.models.signals import post_save, pre_save
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django_supportal.models import ChatMessage, ChatSession

from .conf import setting
from .models import ArchiveCursor, ParkedEvent

TYPES = {kind.value.lower(): kind for kind in ChatMessage.ChatMessageMessageTypesEnum}


class MovedOn(Exception):
    """Another command has read on from this cursor meanwhile."""


class NoRow(Exception):
    """Why an event cannot be a row."""


def database():
    """Cursor and rows are written by one transaction, so they are in one database."""
    return router.db_for_write(ChatMessage)


def keep_times():
    """Rows get the time at which the node accepted the message: in this process, `created_at` is what it is given."""
    ChatMessage._meta.get_field("created_at").auto_now_add = False


def cursor():
    """Where this reader is; the empty text at the beginning."""
    place, _ = ArchiveCursor.objects.using(database()).get_or_create(reader=setting("READER"))
    return place.cursor


def store_page(before, page):
    """Writes a page and its cursor, both or neither, and says how many events became rows and how many were parked.

    The cursor moves first, if it is still where the page began: whoever comes second waits here for the first one's end,
    and then writes nothing. So each event has one row, however many commands run and whenever they die.
    """
    reader = setting("READER")
    with transaction.atomic(using=database()):
        place = ArchiveCursor.objects.using(database()).filter(reader=reader)
        missed = F("missed") + gaps(page)
        if not place.filter(cursor=before).update(cursor=page[-1]["cursor"], missed=missed, updated_at=timezone.now()):
            raise MovedOn(reader)
        events = [line for line in page if "gap" not in line and line["origin"] not in setting("SKIP")]
        written, refused = insert(events)
        park(refused)
        place.update(rows=F("rows") + written)
    return written, len(refused)


def gaps(page):
    """How many events the node had removed, as far as it knows: an archive that Redis lost has no number."""
    return sum(line.get("gap") or 0 for line in page)


def insert(events):
    """Writes rows, all at once if the database takes them all, else one by one. Returns how many, and who has none."""
    sessions, rows, refused = known_sessions(events), [], []
    for event in events:
        try:
            rows.append((row(event, sessions), event))
        except NoRow as reason:
            refused.append((event, str(reason)))
    try:
        with transaction.atomic(using=database()):
            save([message for message, _ in rows])
        return len(rows), refused
    except (DatabaseError, ValueError):  # a text that this database does not take: which of them?
        written = 0
        for message, event in rows:
            try:
                message.pk = None
                with transaction.atomic(using=database()):
                    save([message])
                written += 1
            except (DatabaseError, ValueError) as error:
                refused.append((event, f"{type(error).__name__}: {error}"))
        return written, refused


def known_sessions(events):
    names = {event["session_id"] for event in events if event["session_id"]}
    return {session.session_id: session for session in ChatSession.objects.using(database()).filter(session_id__in=names)}


def row(event, sessions):
    session = sessions.get(event["session_id"])
    if session is None or session.business_id != event["business_id"]:  # a session's name is that of one business alone
        raise NoRow("no such session of this business")
    if event["sender"] not in TYPES:
        raise NoRow(f"no message type for sender {event['sender']}")
    known = {key: event[key] for key in ("epoch", "offset", "id", "author", "meta") if event.get(key) is not None}
    return ChatMessage(
        session=session, message_type=TYPES[event["sender"]], content=event["message"],
        created_at=parse_datetime(event["at"]), metadata={"gateway": known},
    )  # fmt: skip


def save(messages):
    """Several rows in one statement; where the site listens to a row's signals, each by itself, so that it hears them."""
    if pre_save.has_listeners(ChatMessage) or post_save.has_listeners(ChatMessage):
        for message in messages:
            message.save(using=database(), force_insert=True)
    else:
        ChatMessage.objects.using(database()).bulk_create(messages)


def park(refused):
    """Keeps events that have no row, the newest PARKED_MAX of them."""
    parked = ParkedEvent.objects.using(database())
    parked.bulk_create(
        [
            ParkedEvent(reader=setting("READER"), cursor=event["cursor"], room=event["room"], reason=reason, event=json.dumps(event))
            for event, reason in refused
        ]
    )
    if refused and (oldest := parked.order_by("-id").values_list("id", flat=True)[setting("PARKED_MAX") :].first()):
        parked.filter(id__lte=oldest).delete()


def store_parked():
    """Tries parked events again, such as after their session was made. Returns how many have a row now."""
    with transaction.atomic(using=database()):
        parked = ParkedEvent.objects.using(database()).select_for_update().order_by("id")
        stored = 0
        for old in parked.iterator():
            written, _ = insert([json.loads(old.event)])
            if written:
                ParkedEvent.objects.using(database()).filter(pk=old.pk).delete()
                stored += 1
        ArchiveCursor.objects.using(database()).filter(reader=setting("READER")).update(rows=F("rows") + stored)
    return stored
