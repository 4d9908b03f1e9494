"""Where a data folder's documents live is kept: nobody starts, or backs up, with an empty store instead."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from control_plane.launcher import documents_place
from control_plane.launcher.backup import backup, restore
from control_plane.launcher.documents_place import ElsewhereError, check, note, noted
from control_plane.launcher.up import up

MONGODB, POSTGRESQL = "mongodb://u:s3cret@db/documents", "postgresql://u:s3cret@db/documents"
FREE = ["--ui-port", "0", "--api-port", "0"]


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(documents_place.VARIABLE, raising=False)


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """A data folder whose control plane has reached its documents."""
    (tmp_path / "control_plane").mkdir()
    (tmp_path / "postgres").mkdir()
    return tmp_path


@pytest.mark.parametrize("url", [None, MONGODB, POSTGRESQL])
def test_a_new_folder_takes_any_place_and_keeps_it(tmp_path: Path, url: str | None) -> None:
    check(tmp_path, url)
    note(tmp_path, url)
    assert noted(tmp_path) is None  # nothing is there until the documents were reached
    (tmp_path / "control_plane").mkdir()
    check(tmp_path, url)
    for other in {None, MONGODB, POSTGRESQL} - {url}:
        with pytest.raises(ElsewhereError) as told:
            check(tmp_path, other)
        assert "s3cret" not in str(told.value)


def test_a_folder_of_an_earlier_release_has_its_documents_in_itself(used: Path) -> None:
    check(used, None)
    with pytest.raises(ElsewhereError, match="nothing moves them"):
        check(used, MONGODB)


def test_the_note_holds_no_secret(tmp_path: Path) -> None:
    note(tmp_path, MONGODB)
    assert (tmp_path / documents_place.FILE).read_text() == "mongodb\n"


def test_a_start_that_forgets_where_the_documents_are_is_refused(used: Path) -> None:
    note(used, MONGODB)
    ended = CliRunner().invoke(up, ["--data", str(used), *FREE])
    assert ended.exit_code == 1
    assert ended.output.splitlines() == [
        f"Error: the documents of {used} live in MongoDB: name it with --documents or in "
        "HELIOGRAPH_CONTROL_DOCUMENTS_DSN"
    ]
    assert not (used / "logs").exists()


@pytest.mark.parametrize("given", ["option", "environment"])
def test_a_url_that_names_no_store_is_said_without_it(tmp_path: Path, given: str) -> None:
    url = "redis://u:s3cret@db/0"
    options = ["--documents", url] if given == "option" else []
    environment = {documents_place.VARIABLE: url} if given == "environment" else {}
    ended = CliRunner().invoke(up, ["--data", str(tmp_path), *FREE, *options], env=environment)
    assert ended.exit_code == 1
    (line,) = ended.output.splitlines()
    assert "--documents (HELIOGRAPH_CONTROL_DOCUMENTS_DSN)" in line
    assert "s3cret" not in line
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("told_by", ["note", "option"])
@pytest.mark.parametrize("verb", [backup, restore])
def test_no_backup_is_made_that_lacks_the_documents(
    used: Path, tmp_path_factory: pytest.TempPathFactory, told_by: str, verb: object
) -> None:
    folder = tmp_path_factory.mktemp("backups")
    target = folder if verb is restore else folder / "monday"
    options = ["--data", str(used if verb is backup else folder / "new")]
    if told_by == "option" or verb is restore:
        options += ["--documents-dsn", MONGODB]
    else:
        note(used, MONGODB)
    ended = CliRunner().invoke(verb, [str(target), *options])  # type: ignore[arg-type]
    assert ended.exit_code == 1
    assert "mongodump" in ended.output
    assert "Nothing was written" in ended.output
    assert "s3cret" not in ended.output
    assert list(folder.iterdir()) == []
    assert not list(used.glob("postgres/*"))


def test_documents_in_another_postgresql_have_to_be_named(
    used: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    note(used, POSTGRESQL)
    folder = tmp_path_factory.mktemp("backups") / "monday"
    ended = CliRunner().invoke(backup, [str(folder), "--data", str(used)])
    assert ended.exit_code == 1
    assert "--documents-dsn" in ended.output
    assert not folder.exists()
