"""Reads the node's archive into ChatMessage, until it is ended."""

import random
import signal
import sys
import threading
import time

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, connections
from supportal_gateway import feed, rows
from supportal_gateway.checks import check_settings
from supportal_gateway.models import ArchiveCursor, ParkedEvent

WAIT_SECONDS = 30  # how long the node may keep a question for what there is next
PAUSE_SECONDS_MAX = 30  # between attempts, while the node is away


class Command(BaseCommand):
    help = "Writes every message of the node's archive as a row of ChatMessage: each once, whatever dies in between."

    def add_arguments(self, parser):
        parser.add_argument("--once", action="store_true", help="end when there is nothing more, instead of waiting")
        parser.add_argument("--restart", action="store_true", help="forget the cursor: begin at the archive's oldest event")
        parser.add_argument("--parked", action="store_true", help="list the events that have no row, and end")
        parser.add_argument("--retry", action="store_true", help="try these again, and end")
        parser.add_argument("--url", help="the node, in the place of SUPPORTAL_GATEWAY['URL']")
        parser.add_argument("--reader", help="this command's name, in the place of SUPPORTAL_GATEWAY['READER']")

    def handle(self, **options):
        given = {name.upper(): options[name] for name in ("url", "reader") if options[name] is not None}
        settings.SUPPORTAL_GATEWAY = {**getattr(settings, "SUPPORTAL_GATEWAY", {}), **given}
        for fault in check_settings():
            if fault.is_serious():
                raise CommandError(f"{fault.msg}: {fault.hint}")
        rows.keep_times()
        self.look_for_tables()
        if options["parked"]:
            for event in ParkedEvent.objects.using(rows.database()).iterator():
                self.stdout.write(f"{event.parked_at:%Y-%m-%d %H:%M:%S} {event.room} {event.reason}")
        elif options["retry"]:
            self.stdout.write(f"{rows.store_parked()} rows")
        else:
            if options["restart"]:
                ArchiveCursor.objects.using(rows.database()).update_or_create(reader=feed.setting("READER"), defaults={"cursor": ""})
            self.follow(0 if options["once"] else WAIT_SECONDS)

    def look_for_tables(self):
        try:
            missing = rows.missing_tables()
        except (OperationalError, InterfaceError):
            return  # the database is away, which is dealt with where it is needed
        if missing:
            where = f"database '{rows.database()}', in which ChatMessage is, has no {', '.join(missing)}"
            raise CommandError(f"{where}: run manage.py migrate --database {rows.database()}, and let DATABASE_ROUTERS allow it")

    def follow(self, wait):
        """Reads and writes, page by page; whatever is away, the node or the database, is asked again after a pause."""
        pause, is_once, stored = 0, not wait, 0
        if threading.current_thread() is threading.main_thread():  # Python lets no other set it
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # a page half written is taken back, and read again
        if not is_once:
            self.stderr.write(f"reads the archive of {feed.setting('URL')} as {feed.setting('READER')}")
        while True:
            begun = time.monotonic()
            try:
                cursor = rows.cursor()
                page = feed.read_page(cursor, 0 if pause else wait)  # after an outage at once, to say that it is over
                if page:
                    stored += self.store(cursor, page)
                elif is_once:
                    self.stdout.write(f"{stored} rows")
                    return
                elif time.monotonic() - begun < wait / 2:  # an empty answer that did not wait: not again at once
                    time.sleep(1)
                if pause:
                    self.stderr.write("goes on again")
                pause = 0
            except (feed.FeedRefused, ImproperlyConfigured) as error:
                if getattr(error, "field", None) == "wait" and wait > 1:  # a node with a short server.http_timeout
                    wait //= 2
                    continue
                raise CommandError(str(error)) from error
            except (feed.FeedAway, OperationalError, InterfaceError) as error:
                if is_once:
                    raise CommandError(f"cannot go on: {error}") from error
                if not pause:
                    self.stderr.write(f"cannot go on, and will try again: {error}")
                pause = min(pause * 2 or 1, PAUSE_SECONDS_MAX)
                connections.close_all()
                time.sleep(random.uniform(0, pause))

    def store(self, cursor, page):
        """Writes a page and says what is missing of it. Returns how many rows it became."""
        try:
            written, parked = rows.store_page(cursor, page)
        except rows.MovedOn:
            self.stderr.write(f"another command reads as {feed.setting('READER')}: end one of them; nothing is written twice")
            return 0
        if any("gap" in line for line in page):
            self.stderr.write(f"{rows.gaps(page) or 'nobody knows how many'} messages had been removed before they were read")
        if parked:
            self.stderr.write(f"{written} rows; {parked} messages have none: see --parked")
        return written
