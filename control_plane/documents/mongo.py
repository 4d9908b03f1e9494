"""The document store on MongoDB: one collection a collection, a document's fields at its top level.

`_id` is a BSON UUID; everything else is the JSON that PostgreSQL has too (references and times as text), so
that order, equality and migrations are the same in both. What is acknowledged is on the disks of a majority,
and only such documents are read. A write whose answer was lost is made again: each carries the name of its
writing, by which the store knows its own work.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import msgspec
import structlog
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, IndexModel, ReadPreference, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)
from pymongo.read_concern import ReadConcern

from control_plane.documents.paging import cursor, field_name, index_name, read_cursor
from control_plane.documents.records import Collection, Index, Page, R, Raw, Record, Sort, time_text, to_json
from control_plane.documents.store import PAGE_LIMIT, DuplicateKey, VersionConflict
from control_plane.errors import NotFound, StoreUnavailable

T = TypeVar("T")
Document = dict[str, Any]

READ_PAUSES_S = (0.05, 0.25)  # a read is tried again after each
SELECTION_TIMEOUT_S = 5.0  # until a primary is found; also for a connection
COMMAND_TIMEOUT_S = 10.0
WRITING = "_writing"  # field of each document: which write made it

# Not the caller's fault, and it may pass: out of disk, a lost cursor, the majority late, rights withdrawn.
PASSING = frozenset({13, 18, 43, 64, 91, 112, 134, 189, 262, 10107, 11600, 11602, 13435, 13436, 14031})

log = structlog.get_logger(__name__)


class MongoStore:
    """See DocumentStore. Open it with `MongoStore.open`."""

    def __init__(self, client: AsyncMongoClient[Document]) -> None:
        self._client = client
        # A majority read sees each acknowledged write, and nothing that a failover takes back.
        self._database = client.get_default_database(
            codec_options=CodecOptions(uuid_representation=UuidRepresentation.STANDARD),
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern(w="majority", j=True, wtimeout=int(COMMAND_TIMEOUT_S * 1000)),
            read_concern=ReadConcern("majority"),
        )

    @classmethod
    async def open(cls, url: str, *, connections: int = 10) -> "MongoStore":
        """StoreUnavailable where the server cannot be reached or refuses."""
        try:
            client: AsyncMongoClient[Document] = AsyncMongoClient(
                url,
                appname="heliograph-control-plane",
                maxPoolSize=connections,
                waitQueueTimeoutMS=SELECTION_TIMEOUT_S * 1000,
                serverSelectionTimeoutMS=SELECTION_TIMEOUT_S * 1000,
                connectTimeoutMS=SELECTION_TIMEOUT_S * 1000,
                socketTimeoutMS=COMMAND_TIMEOUT_S * 1000,
                retryReads=False,  # done here, and bounded
                retryWrites=False,  # done here: also a server without sessions knows our writes again
            )
            store = cls(client)
        except (ConfigurationError, ValueError) as error:
            # The driver quotes the part of the URL that it does not like: it may be the password.
            raise StoreUnavailable(
                f"The document store cannot be opened: its URL is not one ({type(error).__name__}); "
                "is the host's name right, are user name and password percent-encoded?"
            ) from None
        try:
            await store._database["schema"].find_one({"_id": uuid4()})  # logs in, too
        except PyMongoError as error:
            await client.close()
            raise StoreUnavailable(f"The document store cannot be opened: {_why(error)}") from error
        return store

    async def close(self) -> None:
        await self._client.close()

    async def ensure(self, collections: Iterable[Collection[Any]]) -> None:
        with _answering():
            for collection in collections:
                if collection.indexes:
                    models = [_index(collection, index) for index in collection.indexes]
                    await self._of(collection).create_indexes(models)

    async def get(self, collection: Collection[R], record_id: UUID) -> R:
        found = await self._read(lambda: self._of(collection).find_one({"_id": record_id}))
        if found is None:
            raise NotFound(collection.noun)
        return _record(collection, found)

    async def insert(self, collection: Collection[R], record: R) -> R:
        document = _document(record, 1)

        async def insert(again: bool) -> None:
            try:
                await self._of(collection).insert_one(document)
            except DuplicateKeyError as error:
                if not (again and await self._made(collection, document)):
                    raise _duplicate(collection) from error

        await self._write(insert)
        return msgspec.structs.replace(record, version=1)

    async def replace(self, collection: Collection[R], record: R, expected_version: int) -> R:
        document = _document(record, expected_version + 1)

        async def replace(again: bool) -> None:
            try:
                done = await self._of(collection).replace_one(
                    {"_id": record.id, "version": expected_version}, document
                )
            except DuplicateKeyError as error:
                raise _duplicate(collection) from error
            if not done.matched_count and not (again and await self._made(collection, document)):
                raise await self._conflict(collection, record.id)

        await self._write(replace)
        return msgspec.structs.replace(record, version=expected_version + 1)

    async def delete(
        self, collection: Collection[R], record_id: UUID, expected_version: int | None = None
    ) -> None:
        wanted: Document = {"_id": record_id}
        if expected_version is not None:
            wanted["version"] = expected_version

        async def delete(again: bool) -> None:
            done = await self._of(collection).delete_one(wanted)
            if not done.deleted_count:
                refused = await self._conflict(collection, record_id)
                if not (again and isinstance(refused, NotFound)):  # gone is what was wanted
                    raise refused

        await self._write(delete)

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
        conditions = _where(collection, where)
        direction, beyond = (-1, "$lt") if sort and sort.descending else (1, "$gt")
        field = field_name(collection, sort.field) if sort else None
        if sort and field:
            bounds = {"$gte": sort.least, "$lte": sort.most}
            within = {sign: to_json(bound) for sign, bound in bounds.items() if bound is not None}
            conditions += [{field: within}] if within else []
        if after is not None:
            value, last_id = read_cursor(after, sort)
            ahead: Document = {"_id": {beyond: last_id}}
            if field:
                conditions.append({field: {f"{beyond}e": value}})  # the index begins here
                ahead = {"$or": [{field: {beyond: value}}, ahead]}
            conditions.append(ahead)
        order = [(name, direction) for name in (field, "_id") if name]
        query = {"$and": conditions} if conditions else {}

        async def look() -> list[Document]:
            many = limit + 1
            return await self._of(collection).find(query, sort=order, limit=many, batch_size=many).to_list()

        found = await self._read(look)
        records = [_record(collection, document) for document in found[:limit]]
        return Page(records, cursor(records[-1], sort) if len(found) > limit else None)

    async def count(self, collection: Collection[R], where: Mapping[str, Any]) -> int:
        conditions = _where(collection, where)
        query = {"$and": conditions} if conditions else {}
        return await self._read(lambda: self._of(collection).count_documents(query))

    async def purge(self, collection: Collection[R], before: datetime) -> int:
        assert collection.expires, collection.name
        with _answering():
            done = await self._of(collection).delete_many({"expires_at": {"$lte": time_text(before)}})
        return done.deleted_count

    async def raw(self, name: str, after: UUID | None, limit: int) -> list[Raw]:
        query = {"_id": {"$gt": after}} if after else {}
        found = await self._read(
            lambda: self._database[name].find(query, sort=[("_id", 1)], limit=limit).to_list()
        )
        return [Raw(document.pop("_id"), int(document.pop("version")), _body(document)) for document in found]

    async def replace_raw(self, name: str, document: Raw) -> bool:
        raised = {"version": document.version + 1, WRITING: uuid4(), **document.body}
        with _answering():
            done = await self._database[name].replace_one(
                {"_id": document.id, "version": document.version}, raised
            )
        return bool(done.matched_count)

    def _of(self, collection: Collection[Any]) -> AsyncCollection[Document]:
        return self._database[collection.name]

    async def _read(self, query: Callable[[], Awaitable[T]]) -> T:
        with _answering():
            for pause_s in READ_PAUSES_S:
                try:
                    return await query()
                except ConnectionFailure as error:
                    if error.timeout:
                        raise
                    log.warning("document store away, reading again", reason=_why(error), pause_s=pause_s)
                    await asyncio.sleep(pause_s)
            return await query()

    async def _write(self, write: Callable[[bool], Awaitable[None]]) -> None:
        """Once, and once more where the connection was lost: `write` is then told that it may be done.

        A server that is silent is not asked again: StoreUnavailable, and the write may or may not be made.
        """
        with _answering():
            try:
                await write(False)
            except ConnectionFailure as error:
                if error.timeout:
                    raise
                log.warning("document store away, writing again", reason=_why(error))
                await write(True)

    async def _made(self, collection: Collection[Any], document: Document) -> bool:
        """Whether the stored document is of this very write. StoreUnavailable where it cannot be told:
        somebody has changed the document since, and it may have been ours that they changed."""
        found = await self._of(collection).find_one(
            {"_id": document["_id"]}, projection={"version": 1, WRITING: 1}
        )
        if found is None:
            return False
        if found["version"] > document["version"]:
            raise StoreUnavailable("The document store was away, and the document is another by now.")
        return bool(found.get(WRITING) == document[WRITING])

    async def _conflict(self, collection: Collection[Any], record_id: UUID) -> NotFound | VersionConflict:
        # A write that matched nothing has waited for the majority too: who reads now sees who was first.
        if await self._of(collection).find_one({"_id": record_id}, projection={"version": 1}) is None:
            return NotFound(collection.noun)
        return VersionConflict(f"The {collection.noun} was changed meanwhile.")


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (ConnectionFailure, ExecutionTimeout, WriteConcernError) as error:
        raise StoreUnavailable(f"The document store cannot be reached: {_why(error)}") from error
    except OperationFailure as error:
        if error.code not in PASSING:
            raise
        raise StoreUnavailable(f"The document store cannot be used: {_why(error)}") from error


def _duplicate(collection: Collection[Any]) -> DuplicateKey:
    return DuplicateKey(f"There is such a {collection.noun} already.")


def _index(collection: Collection[Any], index: Index) -> IndexModel:
    fields = [field_name(collection, field) for field in index.fields]
    name = index_name(collection, index.fields, unique=index.unique)
    if index.unique:  # binds documents that have all the fields
        present = {field: {"$exists": True} for field in fields}
        return IndexModel(
            [(field, 1) for field in fields], name=name, unique=True, partialFilterExpression=present
        )
    return IndexModel([(field, 1) for field in (*fields, "_id")], name=name)  # ties are ordered by id


def _where(collection: Collection[Any], where: Mapping[str, Any]) -> list[Document]:
    conditions = []
    for name, value in where.items():
        key = field_name(collection, name)
        plain = to_json(value)
        assert not isinstance(plain, list | dict), f"{collection.name}: {name} is compared with one value"
        # A list has elements, and MongoDB would look into them.
        same: Document = {"$eq": plain, "$not": {"$type": "array"}}
        conditions.append({key: {"$exists": False} if plain is None else same})
    return conditions


def _document(record: Record, version: int) -> Document:
    body = to_json(record)
    del body["id"], body["version"]
    return {"_id": record.id, "version": version, WRITING: uuid4(), **body}


def _body(document: Document) -> Document:
    return {name: value for name, value in document.items() if name not in ("_id", "version", WRITING)}


def _record(collection: Collection[R], document: Document) -> R:
    body = _body(document) | {"id": str(document["_id"]), "version": document["version"]}
    return msgspec.convert(body, collection.type, str_keys=True)


def _why(error: PyMongoError) -> str:
    """One line, without the driver's report of its topology, and never the URL."""
    text = str(error).split(", full error")[0].split(" (configured timeouts")[0].split(", Timeout:")[0]
    return f"{type(error).__name__}: {text.splitlines()[0][:300] if text else 'no answer'}"
