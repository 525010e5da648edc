import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
http = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import re_path  # noqa: E402

from consumers import ChatConsumer  # noqa: E402

ROUTE = r"^ws/chat/(?P<business>0|[1-9][0-9]{0,17})/(?P<session>[A-Za-z0-9._-]{1,64})/$"

application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": URLRouter([re_path(ROUTE, ChatConsumer.as_asgi())]),
    }
)
