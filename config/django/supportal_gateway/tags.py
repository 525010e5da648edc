"""Rooms in the log: by a tag each, as in the node's own log."""

import hashlib
import secrets

KEY = secrets.token_bytes(16)


def tag(name):
    """Eight digits that stand for a room's name in this process' log: the same until it ends, and no way back to the name."""
    return hashlib.blake2b(str(name).encode(errors="replace"), digest_size=4, key=KEY).hexdigest()


def without_names(error, group, session=None):
    """An error as the log has it: some quote the group that they were about, or the row's session."""
    text = repr(error)
    for name in filter(None, (group, session)):
        text = text.replace(str(name), tag(group))
    return text
