"""The site under uvicorn, WebSockets and all: `serve.py PORT`."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[3] / "config/django")]

import os  # noqa: E402

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

import uvicorn  # noqa: E402

uvicorn.run("asgi:application", host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", ws="websockets")
