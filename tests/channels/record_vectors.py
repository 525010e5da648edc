"""Records what the real channel layers say, for src/channels/tests.

    python3 -m venv target/venv && target/venv/bin/pip install -r tests/channels/requirements.txt
    target/venv/bin/python tests/channels/record_vectors.py

Writes vectors.json beside itself. Time and randomness are fixed, so running it again changes
nothing unless the packages do. No Redis is needed: the connections only write down what they are told.
"""

import asyncio
import fnmatch
import json
import pathlib
import random
import re
import time
from unittest import mock

import channels
import channels_redis
import cryptography
import msgpack
from channels.layers import BaseChannelLayer
from channels_redis import core, pubsub, serializers, utils
from cryptography import fernet

NOW = 1700000000.25
LAYER = BaseChannelLayer()

MESSAGES = [
    {},
    {"type": "chat.message", "message": "h\u00e9", "n": 1},
    {"type": "x", "i": [0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]},
    {"type": "x", "i": [-1, -32, -33, -128, -129, -(2**15), -(2**15) - 1, -(2**31), -(2**31) - 1, -(2**63)]},
    {"f": [1.5, 0.1, 1e16, 1e-7, -0.0, 5e-324, 1.7976931348623157e308, 123456789.0]},
    {"n": None, "t": True, "u": False, "s": "a" * 31, "l": "a" * 32, "e": ""},
    {"s": "a" * 255, "l": "b" * 256},
    {"a": list(range(15)), "b": list(range(16)), "c": {}, "d": [], "e": [[[[{"k": [None]}]]]]},
    {"m": {str(n): n for n in range(16)}, "o": {"b": 1, "a": 2}},
    {"u": "\u0000\u001f\"\\/\u007f\u0080\u2028\ud7ff\ue000\uffff\U0001f600", "\u00e9 key": 1},
]
LENIENT = ["NaN", "Infinity", "-Infinity", "1e400", "-0", "1E5", str(2**64), str(-(2**63) - 1), "9" * 4300]

GROUPS = [
    "chat_1_session-123", "a", "", "a b", "a:b", "a!b", "a\n", "a\nb", "\n", "a\n\n", "a" * 99, "a" * 100,
    "\u0661" * 99, "\u0661" * 100, "\u00e9", "\u00b2", "\u0967x", "a.b-c_D", "a*", "a[", "a\u0000", "a\r", "a ",
]
CHANNELS = [
    "specific.0123!abc", "specific.!", "!", "!a", "a!b!c", "a!\u00e9", "a!\u4e2d\u6587", "a!\u00b2", "a!\u2167", "a!\u0301",
    "a!\u203f", "a! b", "a!b\n", "a!\n", "\u00e9!a", "a!_-.", "a" * 98 + "!", "a" * 99 + "!", "a!" + "b" * 97,
    "a!" + "b" * 98, "a!\u24d0", "a!$", "general",
]
HASHED = [
    "chat_1_session-123", "asgi__group__chat_1_session-123", "specific." + "0" * 32 + "!", "chat_42_abc", "",
    "\u00e9", *[f"chat_1_{n}" for n in range(40)],
]
GLOBS = [
    "http.request", "http.response!*", "*", "", "?", "a?c", "[ab]*", "[!ab]*", "[a-c]", "[]a]", "[!]a]", "[", "a[", "[a",
    "[!", "[!]", "[]", "[a-]", "[-a]", "[c-a]", "[!c-a]", "[a-c-e]", "[--/]", "[\\]", "[&&~~||]", "[[]", "[^a]", "a.c",
    "**", "*a*b*", "specific.*!*", "(", "+", "a|b", "$", "^a", "\\a", "[a-cx-z!]", "[z-ab]", "chat_\u00e9*",
]
NAMES = [
    "http.request", "http.response!abc", "", "a", "b", "c", "d", "-", "]", "[", "a[", "[a", "^", "&", "|", "~", "\\", "/", ".",
    "abc", "a.c", "axb", "aaabbb", "specific.00!11", "(", "+", "!", "x", "z", "a|b", "$", "^a", "\\a", "a\n", "\n", "e",
    "[!", "[!]", "[]", "chat_\u00e9x",
]
REGEXES = [r"^websocket.send\!.+", "a|bc", "chat", r"\d+", r"\w{3}", "(?i)CHAT"]

POISON = {
    "empty": "", "nil": "c0", "text": "a161", "list": "9101", "truncated map": "81a161", "truncated text": "81a161a5",
    "trailing": "80c0", "reserved": "81a161c1", "integer key": "810101", "nil key": "81c001", "bad utf-8": "81a161a1ff",
    "bad utf-8 key": "81a1ff01", "surrogate": "81a161a3eda080", "array32 of 4G": "81a161ddffffffff",
    "map32 of 4G": "dfffffffff", "text of 4G": "81a161dbffffffff", "bytes of 100 MB": "81a161c606400000",
    "list key": "819001", "deep": "81a161" + "91" * 1100 + "c0",
}
JSON_POISON = ["", "[]", "5", "{", '{"a"', '{"a":1}x', "{'a':1}", '{"a":01}', '{"a":"\\x"}', '{1:2}', '{"a":1,}', "nul", '{"a":\t"\n"}']


def fixed(pattern):
    """`random.getrandbits` that always gives the same byte."""
    return lambda bits: int.from_bytes(bytes([pattern]) * (bits // 8), "big")


class Recorder:
    """A connection of redis-py that answers what it is told to and writes down the rest."""

    def __init__(self, log, host, answers):
        self.log, self.host, self.answers = log, host, answers

    def __getattr__(self, name):
        def call(*args, **kwargs):
            line = [name, *[self.plain(a) for a in args], *[f"{k}={self.plain(v)}" for k, v in kwargs.items()]]
            self.log.append([self.host, *line])
            future = asyncio.get_running_loop().create_future()
            future.set_result(self.answers.get(name))
            return future

        return call

    def pipeline(self):
        return self

    @staticmethod
    def plain(value):
        if isinstance(value, bytes):
            return value.hex()
        if isinstance(value, dict):
            return {k.hex() if isinstance(k, bytes) else k: repr(v) for k, v in value.items()}
        return value if isinstance(value, str) else repr(value)


def validity(check, name):
    try:
        return bool(check(name))
    except TypeError:
        return False


def record_commands():
    """What each operation of the core layer says, on one host and on three."""
    process = "specific." + "0" * 32
    other = "specific." + "1" * 32
    members = [f"{process}!a", f"{other}!b", "general", f"{process}!c", "odd!name"]
    out = {"members": members, "message": {"type": "chat.message", "message": "hi"}}
    for hosts in (1, 3):
        log = []
        layer = core.RedisChannelLayer(
            hosts=["redis://localhost"] * hosts,
            capacity=7,
            expiry=10,
            group_expiry=3600,
            channel_capacity={"general": 3, re.compile("odd"): 2},
        )
        answers = {"zrange": [m.encode() for m in members], "zcount": 0, "eval": 0, "bzpopmin": None}
        layer.connection = lambda index: Recorder(log, index, answers)

        async def run():
            await layer.group_add("chat_1_a", members[0])
            await layer.group_discard("chat_1_a", members[0])
            await layer.send(members[0], dict(out["message"]))
            await layer.send("general", dict(out["message"]))
            await layer.group_send("chat_1_a", dict(out["message"]))
            await layer._brpop_with_clean(0, "asgigeneral", 5)

        with mock.patch.object(time, "time", lambda: NOW), mock.patch.object(random, "getrandbits", fixed(0xAB)):
            asyncio.run(run())
        out[f"hosts_{hosts}"] = log
    return out


def record_pubsub():
    layer = pubsub.RedisPubSubChannelLayer(hosts=["redis://localhost"] * 3, prefix="site")
    seen = []

    async def run():
        inner = layer._get_layer()
        for index, shard in enumerate(inner._shards):
            shard.publish = lambda channel, message, index=index: note(index, channel, message)
        await layer.group_send("chat_1_a", {"type": "x"})
        await layer.send("general", {"type": "x"})

    async def note(index, channel, message):
        seen.append([index, channel, message.hex()])

    asyncio.run(run())
    return seen


def record_messages():
    rows = []
    for message in MESSAGES:
        row = {"dumps": json.dumps(message)}
        for form in ("msgpack", "json"):
            serializer = serializers.registry.get_serializer(form, random_prefix_length=12, expiry=60)
            with mock.patch.object(random, "getrandbits", fixed(0xAB)):
                row[form] = serializer.serialize(message).hex()
        rows.append(row)
    return rows


def record_tokens():
    """Tokens of Fernet at fixed times, and who reads them when."""
    rows = []
    for keys, made, body in [
        (["secret-one"], 1700000000, b"\x81\xa4type\xa1x"),
        (["secret-two", "secret-one"], 1700000000, b""),
        (["\u00e9"], 0, b"x" * 16),
        (["k"], 2**40, b"y" * 1000),
    ]:
        serializer = serializers.MsgPackSerializer(keys, random_prefix_length=12, expiry=60)
        first = serializer.make_fernet(keys[0])
        token = first._encrypt_from_parts(body, made, bytes(range(16)))
        reads = []
        for ttl, now in [(None, 0), (70, made), (70, made + 70), (70, made + 71), (70, made - 60), (70, made - 61)]:
            if now < 0:
                continue
            with mock.patch.object(time, "time", lambda now=now: float(now)):
                for held in (keys, ["another", *keys], ["another"]):
                    crypter = fernet.MultiFernet([serializer.make_fernet(key) for key in held])
                    try:
                        read = crypter.decrypt(token, ttl).hex()
                    except fernet.InvalidToken:
                        read = None
                    reads.append({"keys": held, "ttl": ttl, "now": now, "body": read})
        rows.append({"keys": keys, "made": made, "body": body.hex(), "token": token.decode(), "reads": reads})
    return rows


def refused(read, data):
    try:
        value = read(data)
    except Exception as error:  # every kind of refusal counts
        return type(error).__name__
    return None if isinstance(value, dict) else "not a dict"


def lines(vectors):
    """JSON with a row a line, so that a change shows where it is."""

    def rows(value):
        if not isinstance(value, list):
            return json.dumps(value)
        return "[\n" + ",\n".join(json.dumps(row) for row in value) + "\n]"

    return "{\n" + ",\n".join(f"{json.dumps(key)}: {rows(value)}" for key, value in vectors.items()) + "\n}\n"


def main():
    vectors = {
        "versions": {
            "channels": channels.__version__,
            "channels_redis": channels_redis.__version__,
            "msgpack": ".".join(map(str, msgpack.version)),
            "cryptography": cryptography.__version__,
        },
        "messages": record_messages(),
        "lenient": [[text, json.dumps({"v": json.loads(text)})] for text in LENIENT],
        "groups": [[name, validity(LAYER.require_valid_group_name, name)] for name in GROUPS],
        "channels": [[name, validity(LAYER.require_valid_channel_name, name)] for name in CHANNELS],
        "non_local": [[name, LAYER.non_local_name(name)] for name in CHANNELS],
        "hosts": [[name, [utils._consistent_hash(name, n) for n in range(1, 14)]] for name in HASHED],
        "globs": [
            [glob, [name for name in NAMES if re.compile(fnmatch.translate(glob)).match(name)]] for glob in GLOBS
        ],
        "regexes": [[text, [name for name in NAMES if re.compile(text).match(name)]] for text in REGEXES],
        "names": NAMES,
        "tokens": record_tokens(),
        "poison": [[what, data, refused(msgpack.unpackb, bytes.fromhex(data))] for what, data in POISON.items()],
        "json_poison": [[text, refused(json.loads, text)] for text in JSON_POISON],
        "core": record_commands(),
        "pubsub": record_pubsub(),
    }
    path = pathlib.Path(__file__).with_name("vectors.json")
    path.write_text(lines(vectors), encoding="ascii")
    print(f"{path.name}: {path.stat().st_size} bytes")


main()
