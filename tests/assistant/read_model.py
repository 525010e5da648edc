"""Reads what a stand-in for a model server says, by OpenAI's own client, and prints the words as JSON.

read_model.py BASE_URL QUESTION...
"""

import json
import sys

from openai import OpenAI

client = OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0, timeout=20)
model = next(iter(client.models.list())).id
for question in sys.argv[2:]:
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        stream=True,
    )
    words = ""
    for chunk in stream:
        for choice in chunk.choices:
            if choice.index == 0:
                words += choice.delta.content or ""
    print(json.dumps({"model": model, "question": question, "words": words}))
