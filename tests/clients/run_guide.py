"""Runs the guide's Python example (guide.py, word for word) against a port of our choice.

    python run_guide.py PORT

The example names `localhost:8000` and then reads until it is stopped. Its text stays untouched: a
child process runs it with a `websockets.connect` that leads to PORT, and this process reads what it
prints, then stops it.
"""

import os
import re
import runpy
import subprocess
import sys
import threading
from pathlib import Path

WAIT_SECONDS = 20
EXAMPLE = Path(__file__).with_name("guide.py")
ECHO = re.compile(r"^Received: Hello, I need help with my order from user$", re.MULTILINE)
ANSWER = re.compile(r"^Received: \S.* from assistant$", re.MULTILINE | re.DOTALL)


def run_example(port):
    """In the child: the example as it stands, led to `port`."""
    import websockets

    connect = websockets.connect

    def redirected(uri, *args, **kwargs):
        assert uri == "ws://localhost:8000/ws/chat/1/session-123/", uri
        return connect(uri.replace("localhost:8000", f"127.0.0.1:{port}"), *args, **kwargs)

    websockets.connect = redirected
    runpy.run_path(str(EXAMPLE), run_name="__main__")


def main(port):
    child = subprocess.Popen(
        [sys.executable, "-u", __file__, port, "example"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    timer = threading.Timer(WAIT_SECONDS, child.kill)
    timer.start()
    printed = ""
    while not (ECHO.search(printed) and ANSWER.search(printed)):
        line = child.stdout.readline()
        if line == "":
            break
        printed += line
    else:
        # Both came; the example must still be listening, not dead of a KeyError.
        timer.cancel()
        alive = child.poll() is None
        child.kill()
        if alive:
            print('{"check": "the guide\'s Python example", "ok": true}')
            return
    timer.cancel()
    child.kill()
    sys.exit(f"FAILED: the guide's Python example printed:\n{printed}{child.stderr.read()}")


if __name__ == "__main__":
    if sys.argv[2:] == ["example"]:
        run_example(sys.argv[1])
    else:
        main(sys.argv[1])
