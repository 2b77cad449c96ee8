"""Loads a CSV file by dlt, as its documentation says is fastest: Arrow, CSV files, merge by key.

Runs in the peers' own environment: URI, schema, table, file. Prints the seconds that loading took.
"""

from __future__ import annotations

import sys
import time

import dlt
from dlt.destinations import postgres
from pyarrow import csv


def main(uri: str, schema: str, table: str, path: str) -> None:
    """Load the file."""
    rows = dlt.resource(
        iter(csv.open_csv(path)), name=table, write_disposition="merge", primary_key="id"
    )
    pipeline = dlt.pipeline(
        f"bench_{table}", destination=postgres(uri), dataset_name=schema, progress=None
    )
    begun = time.perf_counter()
    pipeline.run(rows, loader_file_format="csv").raise_on_failed_jobs()
    print(time.perf_counter() - begun)


if __name__ == "__main__":
    main(*sys.argv[1:])
