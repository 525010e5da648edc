"""The site's settings: where its database, its Redis and its gateway are, the environment says."""

import json
import os

SECRET_KEY = "for tests"
ALLOWED_HOSTS = ["*"]
USE_TZ = "SITE_WITHOUT_TZ" not in os.environ
LANGUAGE_CODE = "en-us"
ROOT_URLCONF = "urls"
ASGI_APPLICATION = "asgi.application"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.admin",
    "channels",
    "rest_framework",
    "django_supportal",
    "supportal_gateway",
    *json.loads(os.environ.get("SITE_APPS", "[]")),
]
INSTALLED_APPS = [app for app in INSTALLED_APPS if app != os.environ.get("SITE_WITHOUT")]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]},
}]
DATABASES = {"default": json.loads(os.environ["SITE_DATABASE"])}
if "SITE_CHATS" in os.environ:  # all of the site's tables are in this database
    DATABASES["chats"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SITE_CHATS"]}
    DATABASE_ROUTERS = ["chats.Router"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CHANNEL_LAYERS = {"default": json.loads(os.environ.get("SITE_LAYER", '{"BACKEND": "channels.layers.InMemoryChannelLayer"}'))}
SUPPORTAL_GATEWAY = json.loads(os.environ.get("SITE_GATEWAY", "{}"))
LOGGING = {"version": 1, "disable_existing_loggers": False, "loggers": {"django_supportal": {"level": "ERROR"}}}
