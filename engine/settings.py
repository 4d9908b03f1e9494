"""The engine's settings: one typed object, read from a TOML file and the environment.

The environment (`HELIOGRAPH_ENGINE_<NAME>`) wins over the file that `HELIOGRAPH_ENGINE_CONFIG` names.
"""

import os
from pathlib import Path

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

CONFIG_VARIABLE = "HELIOGRAPH_ENGINE_CONFIG"


class EngineSettings(BaseSettings):
    """Settings of one engine process. Raises pydantic.ValidationError with every fault at once."""

    model_config = SettingsConfigDict(
        env_prefix="HELIOGRAPH_ENGINE_", extra="forbid", frozen=True, validate_default=True
    )

    ledger_dsn: SecretStr = Field(description="URI of the ledger's PostgreSQL database.")
    data_dir: Path = Field(
        Path("data/engine"),
        description="Folder of the worker's identity and the key file. One engine process a folder.",
    )
    certs_dir: Path = Field(
        Path("data/certs"), description="Folder of the Core API's certificates (`heliograph certs`)."
    )
    key_file: Path | None = Field(
        None, description="Key for secrets at rest. Default: `secrets.key` in the data folder."
    )
    core_api_host: str = Field("127.0.0.1", description="Address the Core API listens on.")
    core_api_port: int = Field(8443, ge=0, le=65535, description="Port of the Core API; 0 takes a free one.")
    outbind_host: str = Field("127.0.0.1", description="Address the engine listens on for outbinds.")
    outbind_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port for outbinds of SMSCs; empty: none. Accounts must allow them too.",
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Least level logged.")

    max_claimed: int = Field(
        20_000,
        ge=100,
        le=1_000_000,
        description="Most claimed rows without a committed result: the bound of rows in doubt after a crash.",
    )
    claim_ahead_ms: int = Field(
        50,
        ge=1,
        le=1000,
        description="A bind is fed claims for this long at its measured rate, at least twice its window.",
    )
    plan_ahead_ms: int = Field(
        2000, ge=100, le=2000, description="How far ahead of a channel's TPS slices are released."
    )
    slice_rows: int = Field(16_384, ge=16, le=65_536, description="Most rows of a slice.")
    retry_temporary_s: float = Field(
        30.0, gt=0, le=3600, description="Wait after a message's second temporary error, before its last try."
    )
    retry_queue_full_s: float = Field(
        300.0,
        gt=0,
        le=3600,
        description="Least wait after a subscriber's full queue (ESME_RMSGQFUL); up to three times this.",
    )
    poll_interval_ms: int = Field(
        1000, ge=50, le=60_000, description="How often the database is looked at when no notification comes."
    )
    lease_s: float = Field(15.0, ge=2, le=300, description="How long a worker may write without renewing.")
    lease_margin_s: float = Field(
        3.0, gt=0, le=60, description="Safety between the end of writing and the end of the lease."
    )
    stop_timeout_s: float = Field(
        3.0, ge=0.1, le=60, description="How long a stopping engine waits for responses in flight."
    )

    chunk_cache: int = Field(8, ge=2, le=256, description="Decoded recipient chunks kept in memory.")
    response_timeout_s: float = Field(
        30.0, gt=0, le=600, description="A submit_sm without a response for this long is in doubt."
    )
    enquire_link_s: float = Field(
        30.0, gt=0, le=3600, description="Idle time on a bind after which enquire_link is sent."
    )
    receipt_horizon_s: int = Field(
        259_200, ge=60, description="A message without a receipt for this long ends as no_receipt."
    )
    recent_ids: int = Field(
        2_000_000,
        ge=1000,
        description="SMSC message ids kept in memory for matching receipts; about 90 octets each.",
    )
    journal_max_bytes: int = Field(
        1 << 30,
        ge=1 << 20,
        description="Most octets of the local journal that keeps receipts while the database is away; above, "
        "the SMSC is asked to send them again later. A receipt takes about 120 octets.",
    )
    verify_at: str = Field(
        "03:30",
        pattern=r"^(([01]\d|2[0-3]):[0-5]\d)?$",
        description="When the ledger is verified every day, HH:MM in UTC; empty: never.",
    )
    retention_at: str = Field(
        "04:15",
        pattern=r"^(([01]\d|2[0-3]):[0-5]\d)?$",
        description="When closed partitions are folded and what is over is dropped, every day, HH:MM in UTC; "
        "empty: never.",
    )
    retention_days: int = Field(
        400,
        ge=7,
        description="Days after which messages, submissions and receipts are dropped behind a seal.",
    )
    daily_look_s: float = Field(
        60.0, ge=1, description="How often the engine looks whether a daily verification or round is due."
    )
    uploads_keep_days: int = Field(
        30, ge=1, description="Days after its campaigns' end for which a recipient file is kept."
    )
    commit_interval_ms: int = Field(
        20, ge=1, le=250, description="Least time between two commits of the ledger writer under load."
    )

    @model_validator(mode="after")
    def _lease_outlasts_margin(self) -> "EngineSettings":
        if self.lease_margin_s * 2 > self.lease_s:
            raise ValueError("lease_margin_s must be at most half of lease_s")
        return self

    @property
    def secrets_key_file(self) -> Path:
        return self.key_file or self.data_dir / "secrets.key"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = os.environ.get(CONFIG_VARIABLE)
        if not file:
            return init_settings, env_settings
        if not Path(file).is_file():
            raise FileNotFoundError(f"{CONFIG_VARIABLE} names {file}, which is not a file")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(file))
