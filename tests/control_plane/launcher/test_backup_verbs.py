"""`heliograph backup` and `restore` as a person runs them: what is wrong is said, nothing is left behind."""

from pathlib import Path

from click.testing import CliRunner

from control_plane.launcher.backup import backup, restore


def test_a_folder_without_databases_is_not_backed_up_as_an_empty_one(tmp_path: Path) -> None:
    data, folder = tmp_path / "typo", tmp_path / "backup"
    ran = CliRunner().invoke(backup, [str(folder), "--data", str(data)])
    assert ran.exit_code == 1
    assert "has no databases" in ran.output
    assert not data.exists()
    assert not folder.exists()


def test_a_restore_that_fails_leaves_no_databases_that_stop_the_next(tmp_path: Path) -> None:
    data, folder = tmp_path / "restored", tmp_path / "nothing"
    folder.mkdir()
    for _ in range(2):
        ran = CliRunner().invoke(restore, [str(folder), "--data", str(data)])
        assert ran.exit_code == 1
        assert "no whole backup" in ran.output
        assert not data.exists()
