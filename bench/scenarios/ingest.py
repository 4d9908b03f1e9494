"""A recipient file into committed chunks, against pyarrow.csv only reading one without bad lines."""

import asyncio
import shutil
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import uvloop
from pyarrow import csv

from bench.measure import InvalidRun, Round, Size, peak_rss_bytes, side_by_side, timed
from bench.report import Result, compared
from bench.scenarios.embedded_ledger import embedded_postgres
from bench.scenarios.recipients_file import Expected, write_recipients
from engine.core_api.schema import UploadSpec
from engine.ledger import uploads
from engine.ledger.migrate import migrate
from engine.ledger.pool import Pool, open_pool
from engine.recipients.ingest import Ingest

BLOCK_BYTES = 256 * 1024
SEED = 1
COUNTRY = "FR"


class Miscounted(InvalidRun):
    """The upload's counters are not what was written into the file."""


def run(size: Size) -> Result:
    count = size.units(default=500_000, quick=20_000)
    folder = Path(tempfile.mkdtemp(prefix="heliograph-bench-"))
    file, clean = folder / "recipients.csv", folder / "clean.csv"
    try:
        expected = write_recipients(file, rows=count, seed=SEED, country=COUNTRY)
        write_recipients(clean, rows=count, seed=SEED, country=COUNTRY, bad_share=0.0)
        file_bytes = file.stat().st_size
        with embedded_postgres() as dsn, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(migrate(dsn))
            pool = runner.run(open_pool(dsn))
            comparison = side_by_side(
                {
                    "ingest": lambda: runner.run(our_round(pool, file, file_bytes, expected)),
                    "pyarrow.csv": lambda: timed(lambda: read_with_pyarrow(clean)),
                },
                size.repeats,
            )
            runner.run(pool.close())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    parameters = {
        "rows": count,
        "file_bytes": file_bytes,
        "block_bytes": BLOCK_BYTES,
        "repeats": size.repeats,
    }
    megabytes_per_s = comparison.rates["ingest"].median / count * file_bytes / 1e6
    return compared(
        "ingest",
        "row",
        parameters,
        comparison,
        peak_rss_bytes(),
        megabytes_per_s=round(megabytes_per_s, 1),
    )


async def our_round(pool: Pool, file: Path, file_bytes: int, expected: Expected) -> Round:
    """Uploads the file as the Core API feeds it: blocks in order, everything committed at the end."""
    upload_id = uuid4()
    await uploads.create(
        pool,
        UploadSpec(
            upload_id=upload_id,
            workspace_id=uuid4(),
            file_name=file.name,
            size_bytes=file_bytes,
            default_country=COUNTRY,
        ),
    )
    cpu_s, began = time.process_time(), time.perf_counter()
    ingest = await Ingest.open(pool, upload_id)
    with file.open("rb") as source:
        while block := source.read(BLOCK_BYTES):
            await ingest.feed(block)
    await ingest.finish()
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
    upload = await uploads.get(pool, upload_id)
    found = (upload.rows, upload.accepted, upload.duplicates, upload.job_errors)
    wanted = (expected.rows, expected.accepted, expected.duplicates, expected.job_errors)
    if found != wanted:
        raise Miscounted(f"rows, accepted, duplicates, job errors: {found}, expected {wanted}")
    await pool.execute("DELETE FROM uploads WHERE upload_id = $1", upload_id)
    return Round(upload.rows, seconds, cpu_s)


def read_with_pyarrow(file: Path) -> int:
    """Every column as text, in blocks of the same size; it gives up on a file with bad lines."""
    names = csv.open_csv(file).schema.names
    reader = csv.open_csv(
        file,
        read_options=csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )
    return sum(batch.num_rows for batch in reader)
