"""SMPP accounts and the channels over them. Secrets are stored encrypted and come back only for a bind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import msgspec
from msgspec import UNSET

from engine.core_api import schema
from engine.ledger.errors import Changed, Duplicate, NotFound
from engine.ledger.password_use import keep_password
from engine.ledger.pool import Connection
from engine.ledger.secrets import SecretBox
from engine.ledger.sql import load
from engine.smpp.limits import field_warnings


@dataclass(frozen=True, slots=True)
class Account:
    """A system_id at an SMSC, ready to bind. `version` moves with every change of it."""

    account_id: int
    name: str
    host: str
    port: int
    system_id: str
    password: str = field(repr=False)
    system_type: str
    bind_mode: str
    interface_version: int
    tps: int
    binds: int
    window_size: int
    settings: dict[str, Any]
    enabled: bool
    version: int
    drained: bool = False
    secrets: dict[str, str] = field(default_factory=dict, repr=False)


_PLAIN = [
    name for name in Account.__slots__ if name not in ("password", "settings", "secrets", "drained")
]  # columns taken as they are


@dataclass(frozen=True, slots=True)
class Channel:
    channel_id: int
    name: str
    kind: str
    account_id: int | None
    settings: dict[str, Any]
    enabled: bool
    version: int


async def upsert_account(connection: Connection, spec: schema.AccountSpec, box: SecretBox) -> int:
    """Insert or change an account by name; returns its id. Without a change its version stays. An empty
    password keeps the stored one; secrets not named stay. Raises PasswordNeeded."""
    queries = load("accounts")
    async with connection.transaction():
        row = await connection.fetchrow(queries["account_for_update"], spec.name)
        if row is None:
            row = await connection.fetchrow(queries["insert_account"], *_columns(spec, box, enabled=True))
        else:
            stored = _spec(row, box)
            wanted = with_secrets(spec, stored)
            if wanted != stored:
                columns = _columns(wanted, box, enabled=row["enabled"])
                row = await connection.fetchrow(queries["update_account"], *columns)
    assert row is not None
    return int(row["account_id"])


async def create_account(
    connection: Connection, spec: schema.AccountSpec, box: SecretBox, *, enabled: bool = True
) -> None:
    """In the caller's transaction. Raises Duplicate."""
    columns = _columns(spec, box, enabled=enabled)
    if await connection.fetchrow(load("accounts")["insert_account"], *columns) is None:
        raise Duplicate(f"there is an account {spec.name!r} already")


async def changed_account(
    connection: Connection, name: str, change: schema.AccountChange, box: SecretBox
) -> tuple[schema.AccountSpec, bool]:
    """The account as the change would leave it, and whether it is enabled then; its row is locked.

    In the caller's transaction. Raises NotFound, PasswordNeeded, and Changed where the version moved.
    """
    row = await connection.fetchrow(load("accounts")["account_for_update"], name)
    if row is None:
        raise NotFound(f"no account {name!r}")
    _same_version(row, change.version, f"account {name!r}")
    stored = _spec(row, box)
    given = {
        field: value
        for field in schema.AccountSpec.__struct_fields__
        if (value := getattr(change, field, UNSET)) is not UNSET
    }
    wanted = msgspec.structs.replace(stored, **({"secrets": {}, "password": ""} | given))
    spec = with_secrets(wanted, stored)
    return spec, row["enabled"] if change.enabled is UNSET else bool(change.enabled)


async def write_account(
    connection: Connection, spec: schema.AccountSpec, box: SecretBox, *, enabled: bool
) -> None:
    """What `changed_account` gave, once it was found good; in the same transaction."""
    await connection.fetchrow(load("accounts")["update_account"], *_columns(spec, box, enabled=enabled))


async def account_spec(connection: Connection, name: str, box: SecretBox) -> schema.AccountSpec:
    """An account with its secrets, to clone or to test it. Raises NotFound, WrongKey."""
    row = await connection.fetchrow(load("accounts")["account"], name)
    if row is None:
        raise NotFound(f"no account {name!r}")
    return _spec(row, box)


async def accounts(connection: Connection, box: SecretBox) -> list[Account]:
    """All accounts, by id. Raises WrongKey."""
    return [
        Account(
            **{name: row[name] for name in _PLAIN},
            password=box.decrypt(row["password_encrypted"]),
            settings=msgspec.json.decode(row["settings"]),
            drained=row.get("drained", False),
            secrets=_secrets(row, box),
        )
        for row in await connection.fetch(load("accounts")["accounts"])
    ]


async def published_accounts(
    connection: Connection, box: SecretBox, name: str | None = None
) -> list[schema.Account]:
    """All accounts, or the one of that name, without their secrets. Raises NotFound."""
    queries = load("accounts")
    rows = await connection.fetch(queries["accounts"])
    if name is not None:
        rows = [row for row in rows if row["name"] == name]
        if not rows:
            raise NotFound(f"no account {name!r}")
    live = await published_binds(connection)
    over: dict[int, list[str]] = {}
    for each in await connection.fetch(queries["channels"]):
        over.setdefault(each["account_id"], []).append(each["name"])
    return [
        _published(row, box, live.get(row["account_id"], []), over.get(row["account_id"], [])) for row in rows
    ]


async def published_binds(connection: Connection) -> dict[int, list[schema.Bind]]:
    """By account, as the workers last wrote them."""
    binds: dict[int, list[schema.Bind]] = {}
    for row in await connection.fetch(load("accounts")["binds"]):
        binds.setdefault(row["account_id"], []).append(
            schema.Bind(
                account=row["account"],
                number=row["number"],
                state=row["state"],
                reason=row["reason"],
                in_flight=row.get("in_flight") or 0,
                window_size=row["window_size"],
                changed_at=row["changed_at"],
                mode=row.get("mode") or bind_mode(row["bind_mode"], row["number"], row["binds"]),
                interface_version=row.get("interface_version") or 0,
                worker_id=row["worker_id"],
                worker=row["worker"] or "",
                drained=bool(row.get("drained")),
                tps_now=row.get("tps_now") or 0.0,
                tps_limit=row.get("tps_limit") or 0.0,
                tps_set=row.get("tps_set") or 0.0,
                slowed_by=row.get("slowed_by") or "",
                response_ms=row.get("response_ms"),
                last_error=row.get("last_error") or "",
                last_error_at=row.get("last_error_at"),
            )
        )
    return binds


def bind_mode(mode: str, number: int, binds: int) -> str:
    """The mode of a numbered bind: in pairs transmitters are 1..binds, their receivers come after them."""
    if mode != "pair":
        return mode
    return "receiver" if number > binds else "transmitter"


async def upsert_channel(connection: Connection, spec: schema.ChannelSpec) -> int:
    """Insert or change a channel by name; returns its id. Raises NotFound for an unknown account."""
    channel_id = await connection.fetchval(
        load("accounts")["upsert_channel"], spec.name, spec.account, _json(spec.settings)
    )
    if channel_id is None:
        raise NotFound(f"no account {spec.account!r}")
    await connection.execute(load("legs")["fit_again"], channel_id)
    return int(channel_id)


async def create_channel(connection: Connection, spec: schema.ChannelSpec, *, enabled: bool = True) -> None:
    """In the caller's transaction. Raises NotFound for an unknown account, Duplicate."""
    queries = load("accounts")
    if await connection.fetchrow(queries["account"], spec.account) is None:
        raise NotFound(f"no account {spec.account!r}")
    settings = _json(spec.settings)
    created = await connection.fetchval(queries["insert_channel"], spec.name, spec.account, settings, enabled)
    if created is None:
        raise Duplicate(f"there is a channel {spec.name!r} already")


async def change_channel(connection: Connection, name: str, change: schema.ChannelChange) -> None:
    """In the caller's transaction. Raises NotFound, and Changed where the version moved."""
    queries = load("accounts")
    row = await connection.fetchrow(queries["channel_for_update"], name)
    if row is None:
        raise NotFound(f"no channel {name!r}")
    _same_version(row, change.version, f"channel {name!r}")
    account = row["account"] if change.account is UNSET else change.account
    settings = row["settings"] if change.settings is UNSET else _json(change.settings)
    enabled = row["enabled"] if change.enabled is UNSET else change.enabled
    channel_id = await connection.fetchval(queries["update_channel"], name, account, settings, enabled)
    if channel_id is None:
        raise NotFound(f"no account {account!r}")
    await connection.execute(load("legs")["fit_again"], channel_id)


async def channels(connection: Connection) -> list[Channel]:
    """All channels, by id."""
    return [
        Channel(
            **{name: row[name] for name in Channel.__slots__ if name != "settings"},
            settings=msgspec.json.decode(row["settings"]),
        )
        for row in await connection.fetch(load("accounts")["channels"])
    ]


async def published_channels(connection: Connection, name: str | None = None) -> list[schema.Channel]:
    """All channels, or the one of that name, with their binds. Raises NotFound."""
    binds = await published_binds(connection)
    found = [
        schema.Channel(
            channel_id=row["channel_id"],
            name=row["name"],
            kind=row["kind"],
            account=row["account"] or "",
            tps=row["tps"] or 0,
            binds=binds.get(row["account_id"], []),
            settings=msgspec.json.decode(row["settings"]),
            enabled=row["enabled"],
            account_enabled=bool(row["account_enabled"]),
            version=row["version"],
        )
        for row in await connection.fetch(load("accounts")["channels"])
        if name is None or row["name"] == name
    ]
    if name is not None and not found:
        raise NotFound(f"no channel {name!r}")
    return found


def _same_version(row: asyncpg.Record, version: int, what: str) -> None:
    if row["version"] != version:
        raise Changed(f"{what} has version {row['version']}, not {version}: somebody changed it meanwhile")


def _columns(spec: schema.AccountSpec, box: SecretBox, *, enabled: bool) -> tuple[Any, ...]:
    """In the order of insert_account and update_account."""
    secrets = {name: value for name, value in spec.secrets.items() if value}
    return (
        spec.name,
        spec.host,
        spec.port,
        spec.system_id,
        box.encrypt(spec.password),
        spec.system_type,
        spec.bind_mode,
        spec.interface_version,
        spec.tps,
        spec.binds,
        spec.window_size,
        _json(spec.settings),
        box.encrypt(_json(secrets)) if secrets else None,
        enabled,
    )


def _json(values: Mapping[str, Any]) -> str:
    return msgspec.json.encode(values, order="sorted").decode()


def _secrets(row: asyncpg.Record, box: SecretBox) -> dict[str, str]:
    encrypted = row["secrets_encrypted"]
    return msgspec.json.decode(box.decrypt(encrypted), type=dict[str, str]) if encrypted else {}


def _spec(row: asyncpg.Record, box: SecretBox) -> schema.AccountSpec:
    return schema.AccountSpec(
        name=row["name"],
        host=row["host"],
        port=row["port"],
        system_id=row["system_id"],
        password=box.decrypt(row["password_encrypted"]),
        system_type=row["system_type"],
        bind_mode=row["bind_mode"],
        interface_version=row["interface_version"],
        tps=row["tps"],
        binds=row["binds"],
        window_size=row["window_size"],
        settings=msgspec.json.decode(row["settings"]),
        secrets=_secrets(row, box),
    )


def with_secrets(spec: schema.AccountSpec, stored: schema.AccountSpec) -> schema.AccountSpec:
    """`spec` with the secrets of `stored` that it does not give. Raises PasswordNeeded."""
    secrets = {name: value for name, value in (stored.secrets | spec.secrets).items() if value}
    spec = msgspec.structs.replace(spec, secrets=secrets)
    if spec.password:
        return spec
    keep_password(stored, spec)
    return msgspec.structs.replace(spec, password=stored.password)


def _published(
    row: asyncpg.Record, box: SecretBox, live: list[schema.Bind], over: list[str]
) -> schema.Account:
    spec = _spec(row, box)
    return schema.Account(
        **{
            name: getattr(spec, name)
            for name in schema.Account.__struct_fields__
            if hasattr(spec, name)
        },
        account_id=row["account_id"],
        password_set=bool(spec.password),
        secrets_set=sorted(spec.secrets),
        enabled=row["enabled"],
        drained=row.get("drained", False),
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        warnings=field_warnings(
            system_id=spec.system_id, password=spec.password, system_type=spec.system_type
        ),
        learned=msgspec.json.decode(row["learned"]),
        live=live,
        channels=over,
    )  # fmt: skip
