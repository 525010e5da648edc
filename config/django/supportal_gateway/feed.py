"""The node's archive, a page at a time."""

import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request

from .conf import TOKEN_MISSING, setting, token

PAGE_EVENTS = 1000
LINE_BYTES = 8 * 1024 * 1024  # of one line, where the node does not say how long its longest one is
LINES_MAX = 3 * PAGE_EVENTS  # each event, a gap in front of it, and what is missing at the end, of each Redis
CURSOR_MAX = 384  # as ArchiveCursor has it


class FeedRefused(Exception):
    """The node answered, and asking again the same would not help. `field` is the parameter that it does not take, if it is one."""

    def __init__(self, text, field=None):
        super().__init__(text)
        self.field = field


class FeedAway(Exception):
    """The node cannot be asked just now."""


REDIRECTED = "a redirect is not followed: correct SUPPORTAL_GATEWAY['URL'], https and all"
ADVICE = {
    301: REDIRECTED,
    302: REDIRECTED,
    307: REDIRECTED,
    308: REDIRECTED,
    401: "SUPPORTAL_GATEWAY['TOKEN'] is not the node's api.token",
    403: "SUPPORTAL_GATEWAY['TOKEN'] is not the node's api.token",
    404: "no API is there: correct SUPPORTAL_GATEWAY['URL'], the node's public listener or its api.listen, without a path, or set its api.token",
    409: "the cursor is of another node, or of an archive that is gone: run with --restart to begin at its oldest event; rows that are there stay single",
}


NO_ARCHIVE = "the node keeps no archive: set its archive.mode"


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """The token goes to the address of the settings and nowhere else."""

    def redirect_request(self, *_):
        return None


def read_page(cursor, wait):
    """What is behind `cursor`, oldest first; an empty page after `wait` seconds without anything."""
    query = {"limit": PAGE_EVENTS, "wait": f"{wait}s", "reader": setting("READER")}
    if cursor:
        query["after"] = cursor
    url = f"{setting('URL').rstrip('/')}/api/archive?{urllib.parse.urlencode(query)}"
    own = token()
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {own}"} if own else {})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect).open(request, timeout=wait + 30) as answer:
            return list(read_lines(answer))
    except urllib.error.HTTPError as error:
        detail, field, kind = reason(error.read(2000))
        if error.code in ADVICE or error.code < 429:
            advice = ADVICE.get(error.code, "the node refuses")
            if field == "after":
                advice = "run with --restart"
            elif kind.endswith(":no-archive"):
                advice = NO_ARCHIVE
            elif error.code in (401, 403) and not own:
                advice = TOKEN_MISSING
            raise FeedRefused(f"{advice} ({error.code}: {detail})", field) from error
        raise FeedAway(f"{setting('URL')} answers {error.code}") from error
    except (OSError, http.client.HTTPException) as error:
        raise FeedAway(f"no answer of {setting('URL')}: {getattr(error, 'reason', error)}") from error
    except ValueError as error:  # half a line, a proxy's page of HTML
        raise FeedAway(f"the answer of {setting('URL')} is no archive: {error}") from error


def reason(body):
    """What the node's problem document says, of which parameter, and its type; or what a proxy's page begins with."""
    try:
        problem = json.loads(body)
        return problem.get("detail") or problem["title"], problem.get("field"), str(problem.get("type"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return body[:100].decode(errors="replace"), None, ""


def line_bytes(answer):
    """The longest line that is read: it is the node's setting how long a message may be, so the node says it."""
    said = answer.headers.get("X-Supportal-Line-Bytes", "")
    return max(LINE_BYTES, int(said)) if re.fullmatch("[0-9]{1,12}", said) else LINE_BYTES


def read_lines(answer):
    most = line_bytes(answer)
    for _ in range(LINES_MAX):
        text = answer.readline(most)
        if not text:
            return
        if not text.endswith(b"\n"):
            raise ValueError("a line of the archive broke off")
        line = json.loads(text)
        cursor = line.get("cursor") if isinstance(line, dict) else None
        if not isinstance(cursor, str) or len(cursor) > CURSOR_MAX:
            raise ValueError("a line has no cursor")
        yield line
    raise ValueError("it does not end")
