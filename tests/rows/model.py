"""A model server with OpenAI's endpoints that says always the same and logs what it is asked.

    python tests/rows/model.py        prints its address, then each request as a line of JSON

With MODEL_WAITS in its environment each answer waits for a line of standard input.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "canned",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Canned answer."}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
EMBEDDING = {
    "object": "list", "model": "canned", "usage": {"prompt_tokens": 1, "total_tokens": 1},
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5] * 1536}],
}


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.say({"object": "list", "data": [{"id": "canned", "object": "model"}]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print(json.dumps({"path": self.path, "asked": asked}), flush=True)
        if os.environ.get("MODEL_WAITS") and self.path.endswith("/chat/completions"):
            sys.stdin.readline()
        self.say(EMBEDDING if self.path.endswith("/embeddings") else ANSWER)

    def say(self, answer):
        answer = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}/v1"}), flush=True)
server.serve_forever()
