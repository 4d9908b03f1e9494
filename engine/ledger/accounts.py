"""SMPP accounts and the channels over them. A password is stored encrypted and comes back only for a bind."""

from dataclasses import dataclass, field
from typing import Any

import asyncpg
import msgspec

from engine.core_api import schema
from engine.ledger.errors import NotFound
from engine.ledger.pool import Connection
from engine.ledger.secrets import SecretBox
from engine.ledger.sql import load


@dataclass(frozen=True, slots=True)
class Account:
    """A system_id at an SMSC, ready to bind. `version` moves with every change."""

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
    """Insert or change an account by name; returns its id. Without a change its version stays."""
    queries = load("accounts")
    async with connection.transaction():
        stored = await connection.fetchrow(queries["account_for_update"], spec.name)
        if stored is not None and _same(stored, spec, box):
            return int(stored["account_id"])
        return int(
            await connection.fetchval(
                queries["upsert_account"],
                spec.name,
                spec.host,
                spec.port,
                spec.system_id,
                box.encrypt(spec.password),
                spec.system_type,
                spec.bind_mode,
                spec.tps,
                spec.binds,
                spec.window_size,
            )
        )


def _same(stored: asyncpg.Record, spec: schema.AccountSpec, box: SecretBox) -> bool:
    given = msgspec.structs.asdict(spec)
    password = given.pop("password")
    return all(stored[name] == value for name, value in given.items()) and (
        box.decrypt(stored["password_encrypted"]) == password
    )


async def accounts(connection: Connection, box: SecretBox) -> list[Account]:
    """All accounts, by id. Raises WrongKey."""
    return [
        Account(
            **{
                name: row[name]
                for name in Account.__slots__
                if name not in ("password", "settings")
            },
            password=box.decrypt(row["password_encrypted"]),
            settings=msgspec.json.decode(row["settings"]),
        )
        for row in await connection.fetch(load("accounts")["accounts"])
    ]  # fmt: skip


async def upsert_channel(connection: Connection, spec: schema.ChannelSpec) -> int:
    """Insert or change a channel by name; returns its id. Raises NotFound for an unknown account."""
    queries = load("accounts")
    settings = msgspec.json.encode(spec.settings, order="sorted").decode()
    channel_id = await connection.fetchval(queries["upsert_channel"], spec.name, spec.account, settings)
    if channel_id is None:
        raise NotFound(f"no account {spec.account!r}")
    return int(channel_id)


async def channels(connection: Connection) -> list[Channel]:
    """All channels, by id."""
    return [
        Channel(
            **{name: row[name] for name in Channel.__slots__ if name != "settings"},
            settings=msgspec.json.decode(row["settings"]),
        )
        for row in await connection.fetch(load("accounts")["channels"])
    ]


async def published_channels(connection: Connection) -> list[schema.Channel]:
    """Channels with their binds as the workers last wrote them; `in_flight` is known to the worker only
    (0)."""
    queries = load("accounts")
    binds: dict[int, list[schema.Bind]] = {}
    for row in await connection.fetch(queries["binds"]):
        binds.setdefault(row["account_id"], []).append(
            schema.Bind(
                account=row["account"],
                number=row["number"],
                state=row["state"],
                reason=row["reason"],
                in_flight=0,
                window_size=row["window_size"],
                changed_at=row["changed_at"],
            )
        )
    return [
        schema.Channel(
            channel_id=row["channel_id"],
            name=row["name"],
            kind=row["kind"],
            account=row["account"] or "",
            tps=row["tps"] or 0,
            binds=binds.get(row["account_id"], []),
        )
        for row in await connection.fetch(queries["channels"])
    ]
