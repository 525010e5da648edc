"""A Django site for the tests: real users and sessions, and the manual's own view, under Django's WSGI server.

    python tests/forward/django_site.py FOLDER [https]

FOLDER holds the view (chat_view.py) and takes the database; with `https` whatever comes without TLS is redirected. The first line of output is the port. Each line of
standard input is a JSON object whose `do` names a function below; each is answered by a line.
"""

import json
import sys
import threading
import types

import django
from django.conf import settings

folder = sys.argv[1]
sys.path.insert(0, folder)

# The package's models, so far as the view knows them.
package = types.ModuleType("django_supportal")
package.__path__ = []
package.__file__ = folder + "/django_supportal/__init__.py"
sys.modules["django_supportal"] = package

settings.configure(
    ALLOWED_HOSTS=["site.example"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": folder + "/site.db"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    LOGGING_CONFIG=None,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ROOT_URLCONF="site_urls",
    SECRET_KEY="for tests",
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
    SECURE_SSL_REDIRECT="https" in sys.argv[2:],
    USE_TZ=True,
)
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path  # noqa: E402


class ChatSession(models.Model):
    business_id = models.IntegerField()
    session_id = models.CharField(max_length=64)
    is_active = models.BooleanField(default=True)

    class Meta:
        app_label = "django_supportal"


models_of_package = types.ModuleType("django_supportal.models")
models_of_package.ChatSession = ChatSession
sys.modules["django_supportal.models"] = models_of_package

import chat_view  # noqa: E402

urls = types.ModuleType("site_urls")
urls.urlpatterns = [path("supportal/who/", chat_view.who)]
sys.modules["site_urls"] = urls

browsers = {}


def login(user, is_staff=False):
    """Logs somebody in as a browser does; the session's cookie."""
    known, _ = get_user_model().objects.get_or_create(username=user, defaults={"is_staff": is_staff})
    browser = Client(SERVER_NAME="site.example")
    browser.force_login(known)
    browsers[user] = browser
    return browser.cookies["sessionid"].value


def logout(user):
    browsers[user].logout()


def deactivate(user):
    get_user_model().objects.filter(username=user).update(is_active=False)


def open_session(session):
    ChatSession.objects.create(business_id=1, session_id=session)


def delete_session(session):
    ChatSession.objects.filter(session_id=session).delete()


class Quiet(WSGIRequestHandler):
    def log_message(self, format, *args):
        pass


ORDERS = [login, logout, deactivate, open_session, delete_session]


def main():
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(ChatSession)
    server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
    server.daemon_threads = True
    server.set_app(get_wsgi_application())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    orders = {order.__name__: order for order in ORDERS}
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(orders[order.pop("do")](**order)), flush=True)


main()
