"""settings.SUPPORTAL_GATEWAY, each key with its default."""

import os
import re

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

DEFAULTS = {
    "URL": "http://127.0.0.1:8000",  # the node, or its api.listen
    "TOKEN": None,  # its api.token; without one here, of the environment: SUPPORTAL_API__TOKEN
    "READER": "django",  # this site's name as a reader; for several nodes, one command and one name for each
    "SKIP": ["django"],  # origins whose rows the site has stored itself
    "PARKED_MAX": 10_000,  # most events that are kept because they have no row; the oldest go
    "PARKED_MAX_PER_ROOM": 100,  # of one room, so that nobody alone pushes out the others
    "CONTEXT_TURNS": 10,  # what the context view gives, as many rows as the package reads
    "ARCHIVE_WAIT": 5,  # seconds a question waits for the rows of what was said before it; 0 for not at all
}


def setting(key):
    """A key's value. A key that nobody knows is an error: misspelt, it would be silently the default."""
    own = getattr(settings, "SUPPORTAL_GATEWAY", {})
    unknown = sorted(set(own) - set(DEFAULTS))
    if unknown:
        raise ImproperlyConfigured(f"SUPPORTAL_GATEWAY has no {', '.join(unknown)}; it has {', '.join(DEFAULTS)}")
    return own.get(key, DEFAULTS[key])


TOKEN_MISSING = "set SUPPORTAL_GATEWAY['TOKEN'], or SUPPORTAL_API__TOKEN, to the node's api.token"


def token():
    """The node's token; None without one, which is enough for an api.listen on loopback."""
    found = setting("TOKEN") or os.environ.get("SUPPORTAL_API__TOKEN")
    if not found:
        return None
    if not re.fullmatch(r"[!-~]+", found):  # an error of http.client's would show it
        raise ImproperlyConfigured("the token has a space, a line's end or what is no ASCII: write the node's api.token")
    return found
