"""The control plane's settings: a TOML file (HELIOGRAPH_CONTROL_CONFIG) and HELIOGRAPH_CONTROL_* over it."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from control_plane.documents.choice import kind

PREFIX = "HELIOGRAPH_CONTROL_"
CONFIG_VARIABLE = f"{PREFIX}CONFIG"


class ControlPlaneSettings(BaseSettings):
    """One typed object; every field is documented by its description (docs/settings.md is made from them).

    Raises pydantic.ValidationError with every fault at once.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    documents_dsn: SecretStr = Field(
        description="Where the documents live: `postgresql://...` or `mongodb://host:port/database` "
        "(`mongodb+srv://`), a database of their own (not the engine's ledger)."
    )
    core_api_url: str = Field(
        default="https://127.0.0.1:8443", description="Base URL of the engine's Core API, without a path."
    )
    certs_dir: Path = Field(
        default=Path("data/certs"), description="Folder of the client certificate (`heliograph certs`)."
    )
    data_dir: Path = Field(
        default=Path("data/control_plane"),
        description="Folder of the key file that encrypts secrets at rest. Keep a copy of it.",
    )
    ui_host: str = Field(default="127.0.0.1", description="Address the pages listen on.")
    ui_port: int = Field(default=8088, ge=0, le=65535, description="Port of the pages; 0 takes a free one.")
    api_host: str = Field(default="127.0.0.1", description="Address the API, health and metrics listen on.")
    api_port: int = Field(
        default=8081, ge=0, le=65535, description="Port of the API, health and metrics; 0 takes a free one."
    )
    secure_cookies: bool = Field(
        default=False, description="Mark the session cookie Secure: for pages served over HTTPS."
    )
    forwarded_allow_ips: str = Field(
        default="", description="Addresses of proxies whose X-Forwarded-* are believed, with commas."
    )
    session_idle_s: int = Field(
        default=12 * 3600, ge=60, description="A session ends after this long without a request."
    )
    session_absolute_s: int = Field(
        default=7 * 24 * 3600, ge=60, description="A session ends this long after the login."
    )
    lockout_failures: int = Field(
        default=3, ge=1, description="Failed logins of an account or an address until it locks."
    )
    lockout_s: int = Field(default=60, ge=1, description="How long a lockout lasts.")
    invitation_s: int = Field(
        default=7 * 24 * 3600, ge=60, description="How long the link of an invitation counts."
    )
    password_reset_s: int = Field(
        default=3600, ge=60, description="How long the link to set a forgotten password counts."
    )
    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s/?#]+(/[^\s?#]*)?)?$",
        description="Base URL of the pages as people reach them, for links in e-mails; without it, `ui_host` "
        "and `ui_port` over HTTP.",
    )
    smtp_host: str = Field(
        default="", description="SMTP server for invitations and password resets; without it none are sent."
    )
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Port of the SMTP server.")
    smtp_tls: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="`starttls` after connecting, `tls` from the first byte, or `none` (this host's server).",
    )
    smtp_user: str = Field(default="", description="User at the SMTP server; without one, no login.")
    smtp_password: SecretStr = Field(default=SecretStr(""), description="Password at the SMTP server.")
    smtp_from: str = Field(default="heliograph@localhost", description="Sender of the e-mails.")
    smtp_timeout_s: float = Field(
        default=10.0, gt=0, description="How long the SMTP server may take, all in all, for one step."
    )
    stop_session_s: int = Field(
        default=900,
        ge=60,
        description="With the documents away, a session that was confirmed within this time may still stop "
        "the sending, pause and cancel campaigns; nothing else.",
    )
    argon2_time_cost: int = Field(default=3, ge=1, description="argon2id: passes over the memory.")
    argon2_memory_kib: int = Field(default=64 * 1024, ge=8, description="argon2id: KiB of memory.")
    argon2_parallelism: int = Field(default=2, ge=1, description="argon2id: lanes.")
    documents_pool: int = Field(default=10, ge=1, le=200, description="Most connections to the documents.")
    reconcile_interval_s: float = Field(
        default=2.0, gt=0, description="How often orders the engine has not acknowledged are sent again."
    )
    sweep_interval_s: float = Field(
        default=1.0, gt=0, description="How often audit events are moved from their documents to the audit."
    )
    exports_keep_s: int = Field(
        default=24 * 3600,
        ge=60,
        le=30 * 24 * 3600,
        description="How long a file of delivery records is kept to be downloaded.",
    )
    audit_retention_days: int = Field(
        default=90,
        ge=1,
        le=3660,
        description="How long the audit of what belongs to no workspace (logins, people) is kept; of a "
        "workspace, its own setting says it.",
    )
    audit_fallback_bytes: int = Field(
        default=200_000_000,
        ge=10_000,
        description="Cap of the file that takes audit events while the documents do not answer. Beyond it "
        "changes are refused; stopping, pausing, cancelling and logging out still work.",
    )
    demo_workspace: bool = Field(
        default=True, description="Make a demo workspace with an author, a moderator and a sender."
    )

    @field_validator("documents_dsn")
    @classmethod
    def _names_a_store(cls, value: SecretStr) -> SecretStr:
        kind(value.get_secret_value())
        return value

    @property
    def base_url(self) -> str:
        """Of links that leave the console, without a slash at the end."""
        return self.public_url.rstrip("/") or f"http://{self.ui_host}:{self.ui_port}"

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
