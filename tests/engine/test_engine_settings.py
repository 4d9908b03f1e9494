"""The engine's settings: file and environment, and what is wrong with them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.settings import CONFIG_VARIABLE, EngineSettings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in EngineSettings.model_fields:
        monkeypatch.delenv(f"HELIOGRAPH_ENGINE_{name.upper()}", raising=False)
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    monkeypatch.setenv("HELIOGRAPH_ENGINE_LEDGER_DSN", "postgresql://ledger")


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "engine.toml"
    file.write_text("max_claimed = 500\nlease_s = 30\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(file))
    monkeypatch.setenv("HELIOGRAPH_ENGINE_MAX_CLAIMED", "700")
    settings = EngineSettings()
    assert (settings.max_claimed, settings.lease_s) == (700, 30)


def test_a_missing_file_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "no.toml"))
    with pytest.raises(FileNotFoundError, match=CONFIG_VARIABLE):
        EngineSettings()


def test_an_unknown_name_in_the_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "engine.toml"
    file.write_text("max_claimd = 500\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(file))
    with pytest.raises(ValidationError, match="max_claimd"):
        EngineSettings()


def test_the_margin_leaves_half_of_the_lease() -> None:
    with pytest.raises(ValidationError, match="lease_margin_s"):
        EngineSettings(lease_s=5, lease_margin_s=4)


def test_the_dsn_with_its_password_is_not_shown() -> None:
    assert "ledger" not in repr(EngineSettings().ledger_dsn)


def test_every_setting_has_a_description() -> None:
    assert [name for name, field in EngineSettings.model_fields.items() if not field.description] == []


def test_the_key_file_is_in_the_data_folder_by_default() -> None:
    assert EngineSettings(data_dir=Path("/d")).secrets_key_file == Path("/d/secrets.key")
