"""What a real Django site says: reads JSON {"settings": {...}, "requests": [...]}, writes an answer for each request.

A request is {"method", "path", "fields"}; an answer is {"status", "fields"}, names of fields in lower case. The site is
SecurityMiddleware and CorsMiddleware in front of a view that says 200.
"""

import json
import sys

import django
from django.conf import settings

asked = json.load(sys.stdin)
settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["corsheaders"],
    MIDDLEWARE=["corsheaders.middleware.CorsMiddleware", "django.middleware.security.SecurityMiddleware"],
    ROOT_URLCONF=__name__,
    **asked["settings"],
)
django.setup()

from django.http import HttpResponse  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import re_path  # noqa: E402

urlpatterns = [re_path("", lambda request: HttpResponse())]


def answer(request):
    fields = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in request["fields"].items()}
    response = Client().generic(request["method"], request["path"], **fields)
    return {"status": response.status_code, "fields": {name.lower(): value for name, value in response.items()}}


if "SECURE_PROXY_SSL_HEADER" in asked["settings"]:
    settings.SECURE_PROXY_SSL_HEADER = tuple(settings.SECURE_PROXY_SSL_HEADER)
json.dump([answer(request) for request in asked["requests"]], sys.stdout)
