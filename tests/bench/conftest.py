"""What the tests measure is nobody's history."""

from pathlib import Path

import pytest

from bench.history import ENVIRONMENT


@pytest.fixture(autouse=True)
def history_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "history" / "runs.jsonl"
    monkeypatch.setenv(ENVIRONMENT, str(file))
    return file
