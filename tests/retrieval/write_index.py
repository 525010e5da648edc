"""Writes an index as the Django package does, and what FAISS finds in it.

Reads a JSON object from standard input: path, metadata, dimension, vectors, queries, k. Writes a JSON list of
[distances, rows] for each query.
"""

import json
import sys

import faiss
import numpy as np


def main():
    job = json.load(sys.stdin)
    # One thread, as a site's process has it; the result does not depend on it.
    faiss.omp_set_num_threads(1)
    random = np.random.default_rng(job["seed"])
    index = faiss.IndexFlatL2(job["dimension"])
    vectors = random.standard_normal((job["vectors"], job["dimension"])).astype(np.float32)
    # Some stand twice: of one distance, the lower row comes first.
    for row in job["twins"]:
        vectors[row] = vectors[row // 2]
    index.add(vectors)
    faiss.write_index(index, job["path"])
    metadata = {
        row: {
            "document_id": 100 + row // 10,
            "chunk_index": row % 10,
            "content": f"chunk {row} – über",
            "document_title": f"document {row // 10}",
        }
        for row in range(job["vectors"])
    }
    with open(job["metadata"], "w") as file:
        json.dump(metadata, file)
    queries = random.standard_normal((job["queries"], job["dimension"])).astype(np.float32)
    for at, row in enumerate(job["twins"]):
        queries[at] = vectors[row]
    found = []
    # One by one, as the package asks: many at once are compared by another formula.
    for query in queries:
        distances, rows = index.search(query.reshape(1, -1), job["k"])
        found.append(
            {
                "query": query.tolist(),
                "rows": rows[0].tolist(),
                "distances": distances[0].tolist(),
            }
        )
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
