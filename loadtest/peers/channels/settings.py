"""The least Django that Channels runs under. CHANNELS_LAYER names the channel layer, CHANNELS_REDIS its Redis."""

import os

SECRET_KEY = "not a secret: nothing is signed"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
INSTALLED_APPS = ["channels"]
ASGI_APPLICATION = "asgi.application"
ROOT_URLCONF = "urls"

# A full channel drops messages without a word, and the default is 100. redis-py's pool of 100 connections
# raises when more sends than that are under way.
_CAPACITY = 100_000
_HOSTS = [os.environ.get("CHANNELS_REDIS", "") + "?max_connections=4000"]
_LAYERS = {
    "memory": {
        "BACKEND": "channels.layers.InMemoryChannelLayer",
        "CONFIG": {"capacity": _CAPACITY},
    },
    "redis": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": _HOSTS, "capacity": _CAPACITY},
    },
    "pubsub": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": _HOSTS},
    },
}
CHANNEL_LAYERS = {"default": _LAYERS[os.environ["CHANNELS_LAYER"]]}
