"""A site with the package: `manage.py` of any Django project, and what the tests ask of it."""

import json
import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[3] / "config/django")]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")


def seed():
    """Tables, a business, and the sessions that are named."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django_supportal.models import Business, ChatSession

    call_command("migrate", verbosity=0)
    owner, _ = User.objects.get_or_create(username="owner")
    business, _ = Business.objects.get_or_create(id=1, defaults={"name": "One", "owner": owner})
    for name in sys.argv[2:]:
        ChatSession.objects.get_or_create(session_id=name, defaults={"business": business})


def dump():
    """Every row in the order of its time, one line of JSON for each."""
    from django_supportal.models import ChatMessage

    for row in ChatMessage.objects.select_related("session").order_by("created_at", "id").iterator():
        at = row.created_at.isoformat(timespec="microseconds")
        print(json.dumps([row.session.session_id, row.message_type, row.content, at, row.metadata]))


def judge():
    """What the system checks say of each `SUPPORTAL_GATEWAY` in a list, a line for each."""
    from django.conf import settings
    from django.core.checks import run_checks

    for settings.SUPPORTAL_GATEWAY in json.loads(sys.argv[2]):
        found = [message for message in run_checks() if str(message.id).startswith("supportal_gateway.")]
        print("; ".join(f"{message.id.rpartition('.')[2]} {words(message)}" for message in found))


def words(message):
    return message.hint if message.id.endswith("W001") else f"{message.msg}: {message.hint}"


if __name__ == "__main__":
    orders = {"seed": seed, "dump": dump, "judge": judge}
    if sys.argv[1] in orders:
        import django

        django.setup()
        orders[sys.argv[1]]()
    else:
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)
