"""Records sessions as real Django writes them, for src/auth/django_session.

    python3 -m venv target/venv && target/venv/bin/pip install django==5.2.19 django-redis==6.0.0
    target/venv/bin/python tests/auth/record_sessions.py
    target/venv/bin/pip install django==4.2.30 && target/venv/bin/python tests/auth/record_sessions.py

Each run writes what its version of Django says into sessions.json beside itself.
"""

import base64
import json
import pathlib
from unittest import mock

import django
from django.conf import settings

FILE = pathlib.Path(__file__).with_name("sessions.json")
KEY = "django-insecure-#k3y!with%odd&characters=(and)$length"
OLD_KEY = "an-earlier-key-of-the-same-site-of-fifty-characters"
NOW = 1_900_000_000

settings.configure(
    SECRET_KEY=KEY,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.ModelBackend"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    CACHES={"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1/", "KEY_PREFIX": "site", "VERSION": 3}},
    USE_TZ=True,
)
django.setup()

from django.contrib.auth import login
from django.contrib.auth.models import User
from django.contrib.sessions.backends import cache, signed_cookies
from django.core.cache import cache as site_cache
from django.core.cache.backends.redis import RedisSerializer
from django.core.management import call_command
from django.http import HttpRequest
from django.test import override_settings
from django_redis.serializers.json import JSONSerializer
from django_redis.serializers.pickle import PickleSerializer


def session(user, more):
    """What Django itself puts into the session of somebody who logs in."""
    request = HttpRequest()
    request.session = signed_cookies.SessionStore()
    if user is not None:
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    for name, value in more.items():
        request.session[name] = value
    return request.session


def recorded():
    call_command("migrate", verbosity=0)
    ann = User.objects.create_user("ann", password="a password")
    cases = [
        ("a login", ann, {}),
        ("nobody", None, {"cart": [1, 2, 3]}),
        ("a long session", ann, {"words": "words " * 200, "seen": list(range(40))}),
        ("every kind of JSON", ann, {"a": None, "b": True, "c": False, "d": 1.5, "e": -7, "f": 2**40, "g": {"h": ["ä中", {}]}, "i": [], "j": "\"\\"}),
        ("a name that is empty", ann, {"": 1}),
    ]
    signed, cached = [], []
    with mock.patch("time.time", return_value=NOW + 0.5):
        for name, user, more in cases:
            store = session(user, more)
            store.save()
            known = None if user is None else str(user.pk)
            signed.append({"name": name, "cookie": store.session_key, "user": known})
            data = store._session
            for serializer, dumps in [
                ("django", RedisSerializer().dumps),
                ("django-redis pickle", PickleSerializer({}).dumps),
                ("django-redis JSON", JSONSerializer({}).dumps),
            ]:
                value = base64.b64encode(dumps(data)).decode()
                cached.append({"name": f"{name}, {serializer}", "value": value, "user": known})
        with override_settings(SECRET_KEY=OLD_KEY):
            store = session(ann, {})
            store.save()
            old = store.session_key
    key = cache.SessionStore.cache_key_prefix + "k" * 32
    return {
        "version": django.__version__,
        "signed": signed,
        "by_the_old_key": old,
        "cached": cached,
        "cache_key": site_cache.make_and_validate_key(key),
    }


def main():
    known = json.loads(FILE.read_text()) if FILE.exists() else {"versions": []}
    record = recorded()
    others = [other for other in known["versions"] if other["version"] != record["version"]]
    versions = sorted([*others, record], key=lambda one: one["version"])
    whole = {"key": KEY, "old_key": OLD_KEY, "now": NOW, "versions": versions}
    FILE.write_text(json.dumps(whole, indent=1, ensure_ascii=True) + "\n")


main()
