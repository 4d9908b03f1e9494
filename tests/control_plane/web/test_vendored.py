"""Vendored files are what their list says, and nothing else is there."""

import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = [ROOT / "ui/static/vendor", ROOT / "tests/system/vendor"]
ROW = re.compile(r"^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$", re.MULTILINE)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_vendored_files_have_the_listed_hashes(folder: Path) -> None:
    listed = dict(ROW.findall((folder / "VENDORED.md").read_text()))
    assert listed
    present = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
        if file.suffix in (".js", ".css")
    }
    assert present == listed


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_every_vendored_file_has_its_licence_beside_it(folder: Path) -> None:
    text = (folder / "VENDORED.md").read_text()
    named = set(re.findall(r"\((\S+\.LICENSE)\)", text))
    assert named == {file.name for file in folder.glob("*.LICENSE")}
    assert all((folder / name).stat().st_size > 100 for name in named)
