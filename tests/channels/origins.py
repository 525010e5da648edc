"""What a real OriginValidator says: reads JSON {"entries": [...], "origins": [...]}, writes a verdict for each pair.

An origin that is null stands for a request without the header. A verdict is true, false, or the text of the
ValueError that the validator ends with, as it would in a site: no handshake.
"""

import json
import sys
from urllib.parse import urlparse

from channels.security.websocket import OriginValidator


def verdict(entry, origin):
    validator = OriginValidator(None, [entry])
    try:
        # As OriginValidator.__call__ reads the header.
        return validator.valid_origin(None if origin is None else urlparse(origin))
    except ValueError as error:
        return str(error)


asked = json.load(sys.stdin)
json.dump([[verdict(entry, origin) for origin in asked["origins"]] for entry in asked["entries"]], sys.stdout)
