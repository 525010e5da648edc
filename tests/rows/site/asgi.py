"""The guide's asgi.py, with the worker's channel beside."""

import django
from channels.routing import ChannelNameRouter, ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

django.setup()

from django_supportal.websocket.ws_routes import websocket_urlpatterns  # noqa: E402
from supportal_gateway.worker import AnswerConsumer  # noqa: E402

application = ProtocolTypeRouter({
    "http": get_asgi_application(),
    "websocket": URLRouter(websocket_urlpatterns),
    "channel": ChannelNameRouter({"supportal": AnswerConsumer.as_asgi()}),
})
