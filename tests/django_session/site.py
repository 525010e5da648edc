"""A Django site whose sessions are in signed cookies or in a Redis cache, for the tests.

    python tests/django_session/site.py ENGINE SECRET_KEY [REDIS_URL]

Each line of standard input is a JSON object whose `do` names a function below; each is answered by a line.
"""

import json
import sys
import types

import django
from django.conf import settings

engine, secret_key, *redis = sys.argv[1:]
cache = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
if redis:
    cache = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": redis[0], "KEY_PREFIX": "site"}

settings.configure(
    ALLOWED_HOSTS=["site.example"],
    CACHES={"default": cache},
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    LOGGING_CONFIG=None,
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ROOT_URLCONF="site_urls",
    SECRET_KEY=secret_key,
    SESSION_ENGINE=f"django.contrib.sessions.backends.{engine}",
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.contrib.auth.views import LoginView, LogoutView  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path  # noqa: E402


def put(request):
    """A visitor's cart: a session of nobody."""
    request.session["cart"] = [1, 2]
    return HttpResponse()


urls = types.ModuleType("site_urls")
urls.urlpatterns = [path("login/", LoginView.as_view(next_page="/")), path("logout/", LogoutView.as_view(next_page="/")), path("put/", put)]
sys.modules["site_urls"] = urls

browsers = {}


def cookie(browser):
    return browser.cookies["sessionid"].value


def login(user):
    """Logs somebody in by the site's own form; the session's cookie and the user's primary key."""
    known = User.objects.filter(username=user).first() or User.objects.create_user(user, password="a password")
    browser = browsers[user] = Client(SERVER_NAME="site.example")
    response = browser.post("/login/", {"username": user, "password": "a password"})
    assert response.status_code == 302, response
    return [cookie(browser), str(known.pk)]


def logout(user):
    assert browsers[user].post("/logout/").status_code == 302
    return cookie(browsers[user])


def visit():
    browser = Client(SERVER_NAME="site.example")
    assert browser.get("/put/").status_code == 200
    return cookie(browser)


def main():
    call_command("migrate", verbosity=0)
    orders = {order.__name__: order for order in [login, logout, visit]}
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(orders[order.pop("do")](**order)), flush=True)


main()
