"""`heliograph config check` reads the settings as the program would, and explains every fault in its line."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from control_plane.launcher.config import PROGRAMS, config


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for _, prefix in PROGRAMS.values():
        monkeypatch.setenv(f"{prefix}CONFIG", "")  # set, so that what the command puts there is undone


def check(program: str, file: Path, text: str) -> Result:
    file.write_text(text)
    return CliRunner().invoke(config, ["check", program, "--file", str(file)])


@pytest.mark.parametrize(("program", "dsn"), [("engine", "ledger_dsn"), ("control-plane", "documents_dsn")])
def test_good_settings_are_shown_without_their_secrets(program: str, dsn: str, tmp_path: Path) -> None:
    done = check(program, tmp_path / "it.toml", f'{dsn} = "postgresql://u:s3cret@db/x"\ndata_dir = "/d"\n')
    assert done.exit_code == 0, done.output
    assert "data_dir = /d" in done.stdout.splitlines()
    assert "s3cret" not in done.output


@pytest.mark.parametrize("url", ["mongodb://u:s3cret@db/x", "mongodb+srv://u:s3cret@db.example/x"])
def test_documents_may_be_in_mongodb(url: str, tmp_path: Path) -> None:
    done = check("control-plane", tmp_path / "it.toml", f'documents_dsn = "{url}"\n')
    assert done.exit_code == 0, done.output
    assert "s3cret" not in done.output


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://u:s3cret@db/x", "begins with neither postgresql:// nor mongodb://"),
        ("mongodb://u:s3cret@db", "names no database"),
    ],
)
def test_a_url_of_no_document_store_is_explained(url: str, said: str, tmp_path: Path) -> None:
    done = check("control-plane", tmp_path / "it.toml", f'documents_dsn = "{url}"\n')
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("HELIOGRAPH_CONTROL_DOCUMENTS_DSN: ")
    assert said in line
    assert "s3cret" not in line


def test_every_fault_has_its_line(tmp_path: Path) -> None:
    done = check("engine", tmp_path / "it.toml", 'core_api_port = 70000\nlog_level = "loud"\nno_such = 1\n')
    assert done.exit_code == 1
    lines = done.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "HELIOGRAPH_ENGINE_LEDGER_DSN",
        "HELIOGRAPH_ENGINE_CORE_API_PORT",
        "HELIOGRAPH_ENGINE_LOG_LEVEL",
        "HELIOGRAPH_ENGINE_NO_SUCH",
    ]
    assert "70000" in lines[1]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_file_that_is_no_toml_is_said(program: str, tmp_path: Path) -> None:
    done = check(program, tmp_path / "it.toml", "this is not TOML\n")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_file_the_environment_names_must_be_there(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PROGRAMS[program][1]}CONFIG", "/nowhere/it.toml")
    done = CliRunner().invoke(config, ["check", program])
    assert done.exit_code == 1
    assert "/nowhere/it.toml" in done.stderr
