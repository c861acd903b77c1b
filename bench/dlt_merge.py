"""The baseline of backfill: dlt merges customers from JSONL files into its own schema, as its documentation shows.

    python -m bench.dlt_merge FILE LATER_FILE DIRECTORY [FORMAT]

It connects to DATABASE_URL. ``FORMAT`` replaces the loader file format that dlt chooses for Postgres; with ``csv`` dlt
uses COPY. It prints ``{"seconds": [first file, later file]}``, the time that ``pipeline.run`` takes. A small load comes
first, so that imports, connections and tables exist before the clock starts, as they do for the worker.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

PAGE = 500
_WARM_UP = 500


def load(paths: tuple[Path, Path], directory: Path, file_format: str | None) -> list[float]:
    """Load one file after the other; return the seconds of each."""
    os.environ.update(RUNTIME__DLTHUB_TELEMETRY="false", RUNTIME__LOG_LEVEL="ERROR", DLT_DATA_DIR=str(directory))
    import dlt  # noqa: PLC0415 - reads the environment when it is imported

    name = f"theirs_{uuid4().hex[:12]}"
    url = os.environ["DATABASE_URL"].replace("postgresql+psycopg://", "postgresql://")
    pipeline = dlt.pipeline(
        name, destination=dlt.destinations.postgres(url), dataset_name=name, pipelines_dir=str(directory)
    )

    def customers(source: Path) -> Any:
        return dlt.resource(pages(source), name="customers", primary_key="id", write_disposition="merge")

    options = {} if file_format is None else {"loader_file_format": file_format}
    first = paths[0]
    sample = first.with_name(f"{name}.jsonl")
    with first.open("rb") as lines:
        sample.write_bytes(b"".join(islice(lines, _WARM_UP)))
    pipeline.run(customers(sample), **options).raise_on_failed_jobs()
    seconds = []
    for path in paths:
        began = time.perf_counter()
        pipeline.run(customers(path), **options).raise_on_failed_jobs()
        seconds.append(time.perf_counter() - began)
    with pipeline.sql_client() as client:
        rows = client.execute_sql("SELECT count(*) FROM customers")
        client.drop_dataset()
    with first.open("rb") as lines:
        expected = sum(1 for _ in lines)
    if rows != [(expected,)]:
        raise SystemExit(f"dlt loaded {rows} of {expected} customers")
    return seconds


def pages(path: Path) -> Iterator[list[Any]]:
    """Yield the customers of a file page by page, because dlt is faster with pages than with single customers."""
    with path.open("rb") as lines:
        while page := [orjson.loads(line) for line in islice(lines, PAGE)]:
            yield page


if __name__ == "__main__":
    file, later, scratch, *format_ = sys.argv[1:]
    print(json.dumps({"seconds": load((Path(file), Path(later)), Path(scratch), format_[0] if format_ else None)}))
