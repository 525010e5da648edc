"""Answers with the package's own services, until it is ended."""

from channels.layers import InMemoryChannelLayer, get_channel_layer
from channels.routing import ChannelNameRouter
from django.core.management.base import BaseCommand, CommandError
from supportal_gateway.worker import AnswerConsumer, PatientWorker


class Command(BaseCommand):
    help = "Answers what users say with the package's AIService, as runworker would, and is there again when Redis is."

    def add_arguments(self, parser):
        parser.add_argument("channel", nargs="?", default="supportal", help="the node's channels.send_to (supportal)")

    def handle(self, *, channel, **_):
        layer = get_channel_layer()
        if layer is None or isinstance(layer, InMemoryChannelLayer):
            raise CommandError("CHANNEL_LAYERS ends with this process, no node can be in it: set channels_redis.core.RedisChannelLayer")
        if type(layer).__module__ == "channels_redis.pubsub":
            raise CommandError("the layer pubsub has no channels for workers: set channels_redis.core.RedisChannelLayer")
        PatientWorker(ChannelNameRouter({channel: AnswerConsumer.as_asgi()}), [channel], layer).run()
