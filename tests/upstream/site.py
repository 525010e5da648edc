"""A Django site under uvicorn, as the guide has it: pages, an upload, a stream, and a WebSocket of its own.

    python tests/upstream/site.py FOLDER

FOLDER holds its database. The first line of standard output is the port.
"""

import asyncio
import os
import socket
import sys
import zlib

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(sys.argv[1], "site.db")}},
    FILE_UPLOAD_TEMP_DIR=sys.argv[1],
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "channels",
    ],
    LOGGING_CONFIG=None,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests",
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
)
django.setup()

import uvicorn  # noqa: E402
from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.contrib import admin  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import JsonResponse, StreamingHttpResponse  # noqa: E402
from django.urls import path, re_path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402


@csrf_exempt
def upload(request):
    """Says how long a file is, and its checksum."""
    file = request.FILES["file"]
    checksum = 0
    for chunk in file.chunks():
        checksum = zlib.crc32(chunk, checksum)
    return JsonResponse({"bytes": file.size, "crc32": checksum})


async def stream(request):
    """Server-sent events, until the client goes."""

    async def events():
        number = 0
        while True:
            yield f"data: {number}\n\n"
            number += 1
            await asyncio.sleep(0.02)

    return StreamingHttpResponse(events(), content_type="text/event-stream")


def whoami(request):
    """What the site knows of who asks."""
    return JsonResponse(
        {
            "address": request.META["REMOTE_ADDR"],
            "url": request.build_absolute_uri(),
            "secure": request.is_secure(),
            "user": str(request.user),
        }
    )


urlpatterns = [
    path("admin/", admin.site.urls),
    path("upload/", upload),
    path("stream/", stream),
    path("whoami/", whoami),
]


class YourCustomConsumer(AsyncWebsocketConsumer):
    """The guide's custom consumer: says who has come, and what it hears."""

    async def connect(self):
        await self.accept()
        await self.send(text_data=f"hello {self.scope['user']}")

    async def receive(self, text_data=None, bytes_data=None):
        if text_data == "close":
            await self.close(code=4001, reason="as asked")
        else:
            await self.send(text_data=text_data, bytes_data=bytes_data)


application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": AuthMiddlewareStack(URLRouter([re_path(r"ws/custom/$", YourCustomConsumer.as_asgi())])),
    }
)

if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    User.objects.create_superuser("admin", "admin@a.example", "secret")
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(application, log_level="error")
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
