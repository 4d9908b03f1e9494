"""Peak memory of a process that only takes one recipient file, beside that of one that takes 1 MB of it.

`python -m bench.scenarios.ingest_memory FILE COUNTRY` does it once and prints the bytes; the ledger's URI is
in HELIOGRAPH_BENCH_DSN.
"""

import engine.memory  # noqa: F401, I001 - as the engine does, before anything imports pyarrow

import asyncio
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import structlog
import uvloop

from bench.measure import peak_rss_bytes
from engine.core_api.schema import UploadSpec
from engine.ledger import uploads
from engine.ledger.pool import Pool, open_pool
from engine.recipients.ingest import Ingest

BLOCK_BYTES = 256 * 1024
SMALL_BYTES = 1_000_000
DSN = "HELIOGRAPH_BENCH_DSN"


@dataclass(frozen=True, slots=True)
class Peaks:
    """Peak RSS in bytes: of the whole file's process, and of the one that took its first 1,000,000 bytes."""

    file: int
    small: int


def peaks_of(dsn: str, file: Path, country: str) -> Peaks:
    with tempfile.NamedTemporaryFile(suffix=".csv") as small, file.open("rb") as source:
        small.write(source.read(SMALL_BYTES))
        small.flush()
        return Peaks(_peak(dsn, file, country), _peak(dsn, Path(small.name), country))


def _peak(dsn: str, file: Path, country: str) -> int:
    command = [sys.executable, "-m", "bench.scenarios.ingest_memory", str(file), country]
    done = subprocess.run(
        command, env={**os.environ, DSN: dsn}, stdout=subprocess.PIPE, text=True, check=True
    )
    return int(done.stdout)


async def upload(pool: Pool, file: Path, size_bytes: int, country: str) -> UUID:
    """Uploads the file as the Core API feeds it: blocks in order, everything committed at the end."""
    upload_id = uuid4()
    await uploads.create(
        pool,
        UploadSpec(
            upload_id=upload_id,
            workspace_id=uuid4(),
            file_name=file.name,
            size_bytes=size_bytes,
            default_country=country,
        ),
    )
    ingest = await Ingest.open(pool, upload_id)
    with file.open("rb") as source:
        while block := source.read(BLOCK_BYTES):
            await ingest.feed(block)
    await ingest.finish()
    return upload_id


async def _main(dsn: str, file: Path, size_bytes: int, country: str) -> None:
    pool = await open_pool(dsn)
    upload_id = await upload(pool, file, size_bytes, country)
    print(peak_rss_bytes(os.getpid()))
    await pool.execute("DELETE FROM uploads WHERE upload_id = $1", upload_id)
    await pool.close()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        path = Path(sys.argv[1])
        runner.run(_main(os.environ[DSN], path, path.stat().st_size, sys.argv[2]))
