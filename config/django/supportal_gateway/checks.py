"""What `manage.py check` says of settings.SUPPORTAL_GATEWAY, before every command of the site."""

import re
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import Error, Warning
from django.core.exceptions import ImproperlyConfigured

from .conf import DEFAULTS, TOKEN_MISSING, token


def check_settings(**_):
    own = getattr(settings, "SUPPORTAL_GATEWAY", {})
    if not isinstance(own, dict):
        return [Error("SUPPORTAL_GATEWAY is no dict", hint='write SUPPORTAL_GATEWAY = {"URL": "…"}', id="supportal_gateway.E001")]
    found = []
    unknown = sorted(set(own) - set(DEFAULTS), key=str)
    if unknown:
        text = f"SUPPORTAL_GATEWAY has no {', '.join(map(str, unknown))}"
        found.append(Error(text, hint=f"it has {', '.join(DEFAULTS)}", id="supportal_gateway.E001"))
    for number, (key, is_right, hint) in enumerate(RULES, 2):
        if key in own and not is_right(own[key]):
            found.append(Error(f"SUPPORTAL_GATEWAY['{key}'] is not right", hint=hint, id=f"supportal_gateway.E{number:03}"))
    return found or list(token_missing())


def token_missing():
    """A warning: only the command may have it in its environment."""
    try:
        hint = None if token() else f"{TOKEN_MISSING}; only an api.listen on loopback may be without"
    except ImproperlyConfigured as error:
        hint = str(error)
    if hint:
        yield Warning("the archive may not be read", hint=hint, id="supportal_gateway.W001")


def is_address(value):
    try:
        parts = isinstance(value, str) and urlsplit(value)
        return bool(parts and parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0))
    except ValueError:  # a port that is no number
        return False


def is_token(value):
    return value is None or (isinstance(value, str) and re.fullmatch(r"[!-~]{16,}", value) is not None)


def is_reader(value):
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value) is not None


def is_list(value):
    return isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(origin, str) for origin in value)


def is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_seconds(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 3600


RULES = [
    ("URL", is_address, "write the node's address, such as \"http://127.0.0.1:8000\""),
    ("TOKEN", is_token, "write the node's api.token: at least 16 characters, no spaces"),
    ("READER", is_reader, "write 1 to 64 letters, digits, '.', '_' and '-'"),
    ("SKIP", is_list, 'write a list of origins, such as ["django"], or []'),
    ("PARKED_MAX", is_count, "write a number above 0"),
    ("PARKED_MAX_PER_ROOM", is_count, "write a number above 0"),
    ("CONTEXT_TURNS", is_count, "write a number above 0"),
    ("ARCHIVE_WAIT", is_seconds, "write seconds, from 0 to 3600"),
]
