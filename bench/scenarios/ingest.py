"""A recipient file into committed chunks, against pyarrow.csv only reading one without bad lines.

Two shapes: one column, and eight columns of about 100 bytes a line. Both contenders take every column as
text, in blocks of the same size. pyarrow runs without its thread pool: one thread parses, one reads ahead.
Ours reads in one thread and makes chunks in another, and the database commits in a process of its own. The
files are made once; their pages are in the page cache.
"""

import engine.memory  # noqa: F401, I001 - as the engine does, before anything imports pyarrow

import asyncio
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import uvloop
from pyarrow import csv

from bench.measure import Comparison, InvalidRun, Round, Size, Spread, side_by_side, timed
from bench.report import Result, Target
from bench.scenarios.embedded_ledger import embedded_postgres
from bench.scenarios.ingest_memory import BLOCK_BYTES, Peaks, peaks_of, upload
from bench.scenarios.recipients_file import Expected, write_recipients
from engine.ledger import uploads
from engine.ledger.migrate import migrate
from engine.ledger.pool import Pool, open_pool

SEED = 1
COUNTRY = "FR"
RSS_GROWTH_MIB = 64
TARGETS = {"ingest 1 column": 0.15, "ingest 8 columns": 0.35}  # of pyarrow.csv
PYARROWS_OWN = next(
    getattr(pa, f"{name}_memory_pool")()
    for name in ("mimalloc", "jemalloc", "system")
    if name in pa.supported_memory_backends()
)  # ours is the one the engine sets


class Miscounted(InvalidRun):
    """The upload's counters are not what was written into the file."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of file. `clean` is the same without bad lines, at which pyarrow would give up."""

    name: str
    file: Path
    clean: Path
    expected: Expected

    @classmethod
    def written(cls, folder: Path, columns: int, rows: int) -> "Shape":
        name = "1 column" if columns == 1 else f"{columns} columns"
        file, clean = folder / f"{columns}.csv", folder / f"{columns}-clean.csv"
        shape = {"with_name": columns > 1, "eight_columns": columns > 1}
        write_recipients(clean, rows=rows, seed=SEED, country=COUNTRY, bad_share=0.0, **shape)
        return cls(name, file, clean, write_recipients(file, rows=rows, seed=SEED, country=COUNTRY, **shape))


def run(size: Size) -> Result:
    """`count` is the rows of the file of one column; the file of eight has 100 bytes for each of them."""
    count = size.units(default=10_000_000, quick=40_000)
    folder = Path(tempfile.mkdtemp(prefix="heliograph-bench-"))
    found: dict[str, tuple[Shape, Comparison, Peaks]] = {}
    try:
        with embedded_postgres() as dsn:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(migrate(dsn))
            for columns, rows in ((1, count), (8, count * 19 // 20)):
                shape = Shape.written(folder, columns, rows)
                found[f"ingest {shape.name}"] = (
                    shape,
                    compare(dsn, shape, size.repeats),
                    peaks_of(dsn, shape.file, COUNTRY),
                )
                shape.file.unlink()
                shape.clean.unlink()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _result(count, size.repeats, found)


def compare(dsn: str, shape: Shape, repeats: int) -> Comparison:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        pool = runner.run(open_pool(dsn))
        try:
            return side_by_side(
                {
                    f"ingest {shape.name}": lambda: runner.run(our_round(pool, shape)),
                    f"pyarrow.csv {shape.name}": lambda: timed(lambda: read_with_pyarrow(shape.clean)),
                },
                repeats,
            )
        finally:
            runner.run(pool.close())


async def our_round(pool: Pool, shape: Shape) -> Round:
    """Uploads the file as the Core API feeds it: blocks in order, everything committed at the end."""
    cpu_s, began = time.process_time(), time.perf_counter()
    upload_id = await upload(pool, shape.file, shape.expected.size_bytes, COUNTRY)
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
    found = await uploads.get(pool, upload_id)
    counts = (found.rows, found.accepted, found.duplicates, found.job_errors)
    expected = shape.expected
    wanted = (expected.rows, expected.accepted, expected.duplicates, expected.job_errors)
    if counts != wanted:
        raise Miscounted(f"rows, accepted, duplicates, job errors: {counts}, expected {wanted}")
    await pool.execute("DELETE FROM uploads WHERE upload_id = $1", upload_id)
    await pool.execute(
        "VACUUM recipient_chunks"
    )  # the next round starts with a table as empty as this one had
    return Round(found.rows, seconds, cpu_s)


def read_with_pyarrow(file: Path) -> int:
    """Every column as text, in blocks of the same size; it gives up on a file with bad lines."""
    with file.open("rb") as source:
        fields = source.readline().decode().rstrip("\n").split(",")
    titles = fields if len(fields) > 1 else ["number"]
    reader = csv.open_csv(
        file,
        read_options=csv.ReadOptions(
            block_size=BLOCK_BYTES, use_threads=False, column_names=titles if len(fields) == 1 else None
        ),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(titles, pa.string())),
        memory_pool=PYARROWS_OWN,
    )
    return sum(batch.num_rows for batch in reader)


def _result(count: int, repeats: int, found: dict[str, tuple[Shape, Comparison, Peaks]]) -> Result:
    parameters = {
        "rows": count,
        "file_bytes": {name: shape.expected.size_bytes for name, (shape, _, _) in found.items()},
        "block_bytes": BLOCK_BYTES,
        "pyarrow_use_threads": False,
        "repeats": repeats,
    }
    extra: dict[str, object] = {}
    targets: list[Target] = []
    void = ""
    rates: dict[str, Spread] = {}
    ratios: dict[str, Spread] = {}
    for name, (shape, comparison, peaks) in found.items():
        rates |= comparison.rates
        ratios |= comparison.ratios
        (ratio,) = comparison.ratios.values()
        growth = (peaks.file - peaks.small) / 2**20
        rows = comparison.rates[name].median
        megabytes_per_s = rows / shape.expected.rows * shape.expected.size_bytes / 1e6
        extra |= {
            f"{name} MB/s": round(megabytes_per_s, 1),
            f"{name} peak RSS MiB": round(peaks.file / 2**20, 1),
            f"{name} peak RSS MiB of 1 MB": round(peaks.small / 2**20, 1),
            f"{name} peak RSS growth MiB": round(growth, 1),
        }
        targets += [
            Target(name=f"{name} of pyarrow.csv", ratio=ratio.median, target=TARGETS[name]),
            Target(
                name=f"{name}: {RSS_GROWTH_MIB} MiB to its growth",
                ratio=RSS_GROWTH_MIB / max(growth, 1.0),
                target=1.0,
            ),
        ]
        void = void or comparison.void(f"pyarrow.csv {shape.name}")
    _, first, _ = next(iter(found.values()))
    return Result(
        scenario="ingest",
        unit="row",
        parameters=parameters,
        rate_per_s=next(iter(first.rates.values())),
        cpu_s=first.cpu_s,
        rss_bytes=max(peaks.file for _, _, peaks in found.values()),
        rates=rates,
        ratios=ratios,
        targets=targets,
        void=void,
        extra=extra,
    )
