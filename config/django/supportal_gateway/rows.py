"""The archive's events as rows of ChatMessage."""

import json

from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError, connections, router, transaction
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


def missing_tables():
    """The tables that a migration has not made there."""
    there = set(connections[database()].introspection.table_names())
    return [model._meta.db_table for model in (ArchiveCursor, ParkedEvent, ChatMessage) if model._meta.db_table not in there]


def keep_times():
    """Rows get the time at which the node accepted the message: in this process, `created_at` is what it is given.

    A row that the site itself makes meanwhile, when it hears of one, is given none, and gets the present as ever.
    """
    created_at = ChatMessage._meta.get_field("created_at")
    created_at.auto_now_add, created_at.default = False, timezone.now
    vars(created_at).pop("_get_default", None)  # what Django remembers of a field without


def cursor():
    """Where this reader is; the empty text at the beginning."""
    place, _ = ArchiveCursor.objects.using(database()).get_or_create(reader=setting("READER"))
    return place.cursor


def is_archive_begun():
    """Has supportal_archive ever read for this site? Not where its table is missing either."""
    try:
        return ArchiveCursor.objects.using(database()).filter(reader=setting("READER")).exists()
    except DatabaseError:
        return False


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
        events = [line for line in page if "gap" not in line and line.get("origin") not in setting("SKIP")]
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
        except (NoRow, KeyError) as reason:  # a line without a key: what the node itself could not read
            refused.append((event, str(reason) if isinstance(reason, NoRow) else f"the line has no {reason}"))
    rows = without_stored(rows)
    try:
        with transaction.atomic(using=database()):
            save([message for message, _ in rows])
        return len(rows), refused
    except Exception as error:  # a text that this database does not take, or a receiver's signal: of which of them?
        if is_passing(error):
            raise
    written = 0
    for message, event in rows:
        try:
            message.pk = None
            with transaction.atomic(using=database()):
                save([message])
            written += 1
        except Exception as error:
            if is_passing(error):
                raise
            refused.append((event, f"{type(error).__name__}: {error}"))
    return written, refused


# What a database says of a row itself: PostgreSQL by the class of its SQLSTATE, MySQL by a number.
REFUSING_STATES = ("44", "54", "P0")  # a view's check, a limit such as an index's, a trigger's RAISE
REFUSING_NUMBERS = (1366, 1644)  # a text's letters, a trigger's SIGNAL


def is_passing(error):
    """Would another attempt be of use? Not where the database refuses the row itself: that would hold up all others."""
    if not isinstance(error, DatabaseError) or isinstance(error, (DataError, IntegrityError)):
        return False
    state = getattr(error.__cause__, "sqlstate", None) or getattr(error.__cause__, "pgcode", None) or ""
    is_of_trigger = bool(state) and type(error) is DatabaseError  # a state that PostgreSQL itself has not
    return not (is_of_trigger or state.startswith(REFUSING_STATES) or (error.args and error.args[0] in REFUSING_NUMBERS))


def without_stored(rows):
    """Not those that are there: after --restart the archive begins anew. Times are exact, and rise within a session."""
    times = [message.created_at for message, _ in rows]
    there = ChatMessage.objects.using(database()).filter(session__in={message.session_id for message, _ in rows}, created_at__in=times)
    there = set(there.values_list("session_id", "created_at", "message_type"))
    return [pair for pair in rows if (pair[0].session_id, pair[0].created_at, pair[0].message_type) not in there]


def known_sessions(events):
    names = {event["session_id"] for event in events if event.get("session_id")}
    return {session.session_id: session for session in ChatSession.objects.using(database()).filter(session_id__in=names)}


def row(event, sessions):
    session = sessions.get(event["session_id"])
    if session is None or session.business_id != event["business_id"]:  # a session's name is that of one business alone
        raise NoRow("no such session of this business")
    if event["sender"] not in TYPES:
        raise NoRow(f"no message type for sender {event['sender']}")
    known = {key: event[key] for key in ("epoch", "offset", "id", "author", "meta", "accepted") if event.get(key) is not None}
    return ChatMessage(
        session=session, message_type=TYPES[event["sender"]].value, content=event["message"],
        created_at=accepted_at(event["at"]), metadata={"gateway": known},
    )  # fmt: skip


def accepted_at(text):
    """When the node accepted a message, as this site keeps times."""
    accepted = parse_datetime(text)
    return accepted if settings.USE_TZ else timezone.make_naive(accepted)


def save(messages):
    """Several rows in one statement; where the site listens to a row's signals, each by itself, so that it hears them."""
    if pre_save.has_listeners(ChatMessage) or post_save.has_listeners(ChatMessage):
        for message in messages:
            message.save(using=database(), force_insert=True)
    else:
        ChatMessage.objects.using(database()).bulk_create(messages)


def park(refused):
    """Keeps events that have no row: the newest PARKED_MAX of them, PARKED_MAX_PER_ROOM of one room."""
    parked, reader = ParkedEvent.objects.using(database()), setting("READER")
    events = [
        ParkedEvent(reader=reader, cursor=event["cursor"], room=event.get("room", ""), reason=reason, event=json.dumps(event))
        for event, reason in refused
    ]
    parked.bulk_create(events, ignore_conflicts=True)  # after --restart they may be there
    for room in {event.room for event in events}:
        keep_newest(parked.filter(room=room), setting("PARKED_MAX_PER_ROOM"))
    if events:
        keep_newest(parked, setting("PARKED_MAX"))


def keep_newest(parked, most):
    if oldest := parked.order_by("-id").values_list("id", flat=True)[most:].first():
        parked.filter(id__lte=oldest).delete()


def store_parked():
    """Tries this reader's parked events again, such as after their session was made. Returns how many have a row now."""
    with transaction.atomic(using=database()):
        # The cursor first, as in store_page: two that lock in the same order do not wait for each other.
        place = ArchiveCursor.objects.using(database()).filter(reader=setting("READER"))
        place.update(updated_at=timezone.now())
        parked, stored = ParkedEvent.objects.using(database()).filter(reader=setting("READER")), 0
        for old in list(parked.order_by("id").values_list("pk", flat=True)):
            event = parked.filter(pk=old).first()
            if event is None:  # another reader has made room
                continue
            written, refused = insert([json.loads(event.event)])
            if not refused:
                event.delete()
                stored += written
        place.update(rows=F("rows") + stored)
    return stored
