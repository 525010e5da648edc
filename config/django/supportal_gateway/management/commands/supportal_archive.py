"""Reads the node's archive into ChatMessage, until it is ended."""

import random
import time

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from supportal_gateway import feed, rows
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

    def handle(self, **options):
        rows.keep_times()
        if options["parked"]:
            for event in ParkedEvent.objects.using(rows.database()).iterator():
                self.stdout.write(f"{event.parked_at:%Y-%m-%d %H:%M:%S} {event.room} {event.reason}")
        elif options["retry"]:
            self.stdout.write(f"{rows.store_parked()} rows")
        else:
            if options["restart"]:
                ArchiveCursor.objects.using(rows.database()).update_or_create(reader=feed.setting("READER"), defaults={"cursor": ""})
            self.follow(0 if options["once"] else WAIT_SECONDS)

    def follow(self, wait):
        pause = 0
        while True:
            try:
                cursor = rows.cursor()
                page = feed.read_page(cursor, wait)
            except (feed.FeedRefused, ImproperlyConfigured) as error:
                raise CommandError(str(error)) from error
            except feed.FeedAway as error:
                if not wait:
                    raise CommandError(f"the node cannot be read: {error}") from error
                if not pause:
                    self.stderr.write(f"the node cannot be read, and will be asked again: {error}")
                pause = min(pause * 2 or 1, PAUSE_SECONDS_MAX)
                time.sleep(random.uniform(0, pause))
                continue
            pause = 0
            if not page and not wait:
                return
            if page:
                self.store(cursor, page)

    def store(self, cursor, page):
        try:
            written, parked = rows.store_page(cursor, page)
        except rows.MovedOn:
            self.stderr.write("another command reads with this name: give each a READER of its own, or end one")
            return
        if any("gap" in line for line in page):
            self.stderr.write(f"{rows.gaps(page) or 'nobody knows how many'} messages had been removed before they were read")
        if parked:
            self.stderr.write(f"{written} rows; {parked} messages have none: see --parked")
