"""The document store on PostgreSQL: one table a collection, documents as jsonb, a database of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import msgspec
import orjson
import structlog

from control_plane.documents.paging import cursor, field_name, index_name, read_cursor
from control_plane.documents.records import Collection, Index, Page, R, Raw, Record, Sort, time_text, to_json
from control_plane.documents.store import PAGE_LIMIT, DuplicateKey, VersionConflict
from control_plane.errors import NotFound, StoreUnavailable

T = TypeVar("T")

READ_PAUSES_S = (0.05, 0.25)  # a read is tried again after each
ACQUIRE_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 10.0
SCHEMA_LOCK = 0x48656C69  # advisory lock: two processes may start at once

log = structlog.get_logger(__name__)

# A lost connection, a server that is starting, stopping or full: not the caller's fault, and it may pass.
AWAY = (
    OSError,
    TimeoutError,
    asyncio.TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ObjectNotInPrerequisiteStateError,
)


class PostgresStore:
    """See DocumentStore. Open it with `PostgresStore.open`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, dsn: str, *, connections: int = 10) -> "PostgresStore":
        """StoreUnavailable where the server cannot be reached or refuses."""
        try:
            pool = await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=connections,
                command_timeout=COMMAND_TIMEOUT_S,
                timeout=ACQUIRE_TIMEOUT_S,
                server_settings={"application_name": "heliograph-control-plane"},
            )
        except ValueError:  # it quotes the part of the URL it does not like: maybe the password
            raise StoreUnavailable(
                "The document store cannot be opened: its URL is not one; "
                "are user name and password percent-encoded?"
            ) from None
        except (*AWAY, asyncpg.InvalidAuthorizationSpecificationError) as error:
            raise StoreUnavailable(f"The document store cannot be opened: {_why(error)}") from error
        return cls(pool)

    async def close(self) -> None:
        try:
            await asyncio.wait_for(self._pool.close(), 2.0)
        except TimeoutError:
            self._pool.terminate()

    async def ensure(self, collections: Iterable[Collection[Any]]) -> None:
        async with self._connection() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", SCHEMA_LOCK)
            for collection in collections:
                for statement in _definition(collection):
                    await connection.execute(statement)

    async def get(self, collection: Collection[R], record_id: UUID) -> R:
        sql = f"SELECT id, version, body FROM {_table(collection)} WHERE id = $1"  # noqa: S608
        row = await self._read(lambda connection: connection.fetchrow(sql, record_id))
        if row is None:
            raise NotFound(collection.noun)
        return _record(collection, row)

    async def insert(self, collection: Collection[R], record: R) -> R:
        sql = f"INSERT INTO {_table(collection)} (id, version, body) VALUES ($1, 1, $2::jsonb)"  # noqa: S608
        with _duplicates(collection):
            async with self._connection() as connection:
                await connection.execute(sql, record.id, _body(record))
        return msgspec.structs.replace(record, version=1)

    async def replace(self, collection: Collection[R], record: R, expected_version: int) -> R:
        sql = (
            f"UPDATE {_table(collection)} SET version = version + 1, body = $3::jsonb"  # noqa: S608
            " WHERE id = $1 AND version = $2"
        )
        with _duplicates(collection):
            async with self._connection() as connection:
                done = await connection.execute(sql, record.id, expected_version, _body(record))
                if done != "UPDATE 1":
                    await self._conflict(connection, collection, record.id)
        return msgspec.structs.replace(record, version=expected_version + 1)

    async def delete(
        self, collection: Collection[R], record_id: UUID, expected_version: int | None = None
    ) -> None:
        sql = (
            f"DELETE FROM {_table(collection)}"  # noqa: S608
            " WHERE id = $1 AND ($2::bigint IS NULL OR version = $2)"
        )
        async with self._connection() as connection:
            if await connection.execute(sql, record_id, expected_version) != "DELETE 1":
                await self._conflict(connection, collection, record_id)

    async def find(
        self,
        collection: Collection[R],
        where: Mapping[str, Any],
        *,
        sort: Sort | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[R]:
        assert 1 <= limit <= PAGE_LIMIT, limit
        condition, arguments = _where(collection, where)
        direction, comparison = ("DESC", "<") if sort and sort.descending else ("ASC", ">")
        key = f"(body->'{field_name(collection, sort.field)}'), id" if sort else "id"
        for sign, bound in _bounds(sort):
            arguments.append(orjson.dumps(to_json(bound)).decode())
            condition += f" AND {key.partition(',')[0]} {sign} ${len(arguments)}::jsonb"
        if after is not None:
            value, last_id = read_cursor(after, sort)
            if sort:
                arguments += [orjson.dumps(value).decode(), last_id]
                condition += (
                    f" AND ({key}) {comparison} (${len(arguments) - 1}::jsonb, ${len(arguments)}::uuid)"
                )
            else:
                arguments.append(last_id)
                condition += f" AND id > ${len(arguments)}::uuid"
        order = ", ".join(f"{part} {direction}" for part in key.split(", "))
        sql = (
            f"SELECT id, version, body FROM {_table(collection)} WHERE {condition}"  # noqa: S608
            f" ORDER BY {order} LIMIT {limit + 1}"
        )
        rows = await self._read(lambda connection: connection.fetch(sql, *arguments))
        records = [_record(collection, row) for row in rows[:limit]]
        return Page(records, cursor(records[-1], sort) if len(rows) > limit else None)

    async def count(self, collection: Collection[R], where: Mapping[str, Any]) -> int:
        condition, arguments = _where(collection, where)
        sql = f"SELECT count(*) FROM {_table(collection)} WHERE {condition}"  # noqa: S608
        return int(await self._read(lambda connection: connection.fetchval(sql, *arguments)))

    async def purge(self, collection: Collection[R], before: datetime) -> int:
        assert collection.expires, collection.name
        sql = f"DELETE FROM {_table(collection)} WHERE body->'expires_at' <= $1::jsonb"  # noqa: S608
        async with self._connection() as connection:
            done = await connection.execute(sql, orjson.dumps(time_text(before)).decode())
        return int(done.removeprefix("DELETE "))

    async def raw(self, name: str, after: UUID | None, limit: int) -> list[Raw]:
        sql = (
            f"SELECT id, version, body FROM {_named(name)}"  # noqa: S608
            f" WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT {limit:d}"
        )
        try:
            rows = await self._read(lambda connection: connection.fetch(sql, after))
        except asyncpg.UndefinedTableError:
            return []
        return [Raw(row["id"], row["version"], orjson.loads(row["body"])) for row in rows]

    async def replace_raw(self, name: str, document: Raw) -> bool:
        sql = (
            f"UPDATE {_named(name)} SET version = version + 1, body = $3::jsonb"  # noqa: S608
            " WHERE id = $1 AND version = $2"
        )
        body = orjson.dumps(document.body).decode()
        async with self._connection() as connection:
            return bool(await connection.execute(sql, document.id, document.version, body) == "UPDATE 1")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                yield connection
        except AWAY as error:
            raise StoreUnavailable(f"The document store cannot be reached: {_why(error)}") from error

    async def _read(self, query: Callable[[Any], Awaitable[T]]) -> T:
        for pause_s in READ_PAUSES_S:
            try:
                async with self._connection() as connection:
                    return await query(connection)
            except StoreUnavailable as error:
                log.warning("document store away, reading again", reason=str(error), pause_s=pause_s)
                await asyncio.sleep(pause_s)
        async with self._connection() as connection:
            return await query(connection)

    @staticmethod
    async def _conflict(connection: Any, collection: Collection[Any], record_id: UUID) -> None:
        sql = f"SELECT version FROM {_table(collection)} WHERE id = $1"  # noqa: S608
        if await connection.fetchval(sql, record_id) is None:
            raise NotFound(collection.noun)
        raise VersionConflict(f"The {collection.noun} was changed meanwhile.")


class _duplicates:  # noqa: N801
    def __init__(self, collection: Collection[Any]) -> None:
        self._collection = collection

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, asyncpg.UniqueViolationError):
            raise DuplicateKey(f"There is such a {self._collection.noun} already.") from error


def _table(collection: Collection[Any]) -> str:
    return _named(collection.name)


def _named(name: str) -> str:
    assert name.replace("_", "").isalnum(), name  # as Collection checks it
    return f'"documents_{name}"'


def _definition(collection: Collection[Any]) -> list[str]:
    table = _table(collection)
    statements = [
        f"CREATE TABLE IF NOT EXISTS {table}"
        " (id uuid PRIMARY KEY, version bigint NOT NULL, body jsonb NOT NULL)"
    ]
    statements += [_index(collection, index) for index in collection.indexes]
    return statements


def _index(collection: Collection[Any], index: Index) -> str:
    unique = "UNIQUE " if index.unique else ""
    name = index_name(collection, index.fields, unique=index.unique)
    keys = ", ".join(f"(body->'{field_name(collection, field)}')" for field in index.fields)
    # A missing field is NULL, and NULLs are distinct: unique binds documents that have all the fields.
    return f'CREATE {unique}INDEX IF NOT EXISTS "{name}" ON {_table(collection)} ({keys})'


def _where(collection: Collection[Any], where: Mapping[str, Any]) -> tuple[str, list[Any]]:
    conditions, arguments = ["true"], []
    for name, value in where.items():
        key = f"body->'{field_name(collection, name)}'"
        if value is None:
            conditions.append(f"{key} IS NULL")
        else:
            arguments.append(orjson.dumps(to_json(value)).decode())
            conditions.append(f"{key} = ${len(arguments)}::jsonb")
    return " AND ".join(conditions), arguments


def _bounds(sort: Sort | None) -> list[tuple[str, Any]]:
    bounds = [(">=", sort.least), ("<=", sort.most)] if sort is not None else []
    return [(sign, bound) for sign, bound in bounds if bound is not None]


def _body(record: Record) -> str:
    body = to_json(record)
    del body["id"], body["version"]
    return orjson.dumps(body).decode()


def _record(collection: Collection[R], row: Mapping[str, Any]) -> R:
    body = orjson.loads(row["body"])
    body |= {"id": str(row["id"]), "version": row["version"]}
    return msgspec.convert(body, collection.type, str_keys=True)


def _why(error: BaseException) -> str:
    """One line, and never the DSN."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no answer'}"
