"""A Django site with one of the guide's asgi.py, under uvicorn.

    python tests/asgi/site.py FOLDER

FOLDER holds the manual's `asgi.py` (what it says of `application`), its `chat_view.py`, its `site_settings.py`, and takes
the database. The first line of output is JSON: the port, and the session of a user who is logged in.
"""

import asyncio
import json
import os
import socket
import sys
import types

import django
from django.conf import settings

folder = sys.argv[1]
sys.path.insert(0, folder)

given = {}
with open(os.path.join(folder, "site_settings.py")) as file:
    exec(file.read(), given)
given = {name: value for name, value in given.items() if name.isupper()}

# Of the guide: what the site has in any case. What a variant says about a list comes in front of it.
settings.configure(
    **{
        "ALLOWED_HOSTS": ["example.com", "127.0.0.1"],
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(folder, "site.db")}},
        "INSTALLED_APPS": ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "corsheaders"],
        "LOGGING_CONFIG": None,
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
        "ROOT_URLCONF": "site_urls",
        "SECRET_KEY": "for tests",
        **given,
        "MIDDLEWARE": given.get("MIDDLEWARE", [])
        + [
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
    }
)
django.setup()

import uvicorn  # noqa: E402
from asgiref.sync import sync_to_async  # noqa: E402
from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import path, re_path  # noqa: E402


class ChatConsumer(AsyncWebsocketConsumer):
    """As the package's: lets everybody in whom the middleware lets through; says who it takes them for."""

    async def connect(self):
        await self.accept()
        await self.send(text_data=await sync_to_async(lambda: str(self.scope["user"].pk))())


class YourCustomConsumer(ChatConsumer):
    """The guide's own consumer beside the package's."""


routes = types.ModuleType("django_supportal.websocket.ws_routes")
routes.websocket_urlpatterns = [
    re_path(r"ws/chat/(?P<business_id>\d+)/(?P<session_id>[^/]+)/$", ChatConsumer.as_asgi())
]
consumers = types.ModuleType("your_app.consumers")
consumers.YourCustomConsumer = YourCustomConsumer
for name in ["django_supportal", "django_supportal.websocket", "your_app"]:
    sys.modules[name] = types.ModuleType(name)
sys.modules["django_supportal.websocket.ws_routes"] = routes
sys.modules["your_app.consumers"] = consumers

import chat_view  # noqa: E402

urls = types.ModuleType("site_urls")
urls.urlpatterns = [
    path("supportal/who/", chat_view.who),
    path("page/", lambda request: HttpResponse("secure" if request.is_secure() else "plain")),
]
sys.modules["site_urls"] = urls

call_command("migrate", verbosity=0)
browser = Client(SERVER_NAME="example.com")
browser.force_login(get_user_model().objects.create(pk=7, username="ann"))

scope = {"django_asgi_app": get_asgi_application()}
with open(os.path.join(folder, "asgi.py")) as file:
    exec(file.read(), scope)

listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(
    json.dumps({"port": listener.getsockname()[1], "session": browser.cookies["sessionid"].value}),
    flush=True,
)
config = uvicorn.Config(scope["application"], log_level="critical", proxy_headers=False)
asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
