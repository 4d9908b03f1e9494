"""Which store a URL names: `postgresql://` or `mongodb://`."""

from control_plane.documents.migrate import Migratable

KINDS = {
    "postgresql": "PostgreSQL",
    "postgres": "PostgreSQL",
    "mongodb": "MongoDB",
    "mongodb+srv": "MongoDB",
}


def kind(url: str) -> str:
    """`PostgreSQL` or `MongoDB`. ValueError, without the URL, where it names neither or no database."""
    scheme, separator, rest = url.partition("://")
    found = KINDS.get(scheme) if separator else None
    if found is None:
        raise ValueError("begins with neither postgresql:// nor mongodb:// (or mongodb+srv://)")
    database = rest.partition("?")[0].rpartition("@")[2].partition("/")[2]  # parsers quote what they refuse
    if found == "MongoDB" and not database:
        raise ValueError("names no database: it is mongodb://host:port/database")
    return found


async def open_store(url: str, *, connections: int = 10) -> Migratable:
    """The store, connected. ValueError of `kind`; StoreUnavailable where it cannot be reached."""
    if kind(url) == "MongoDB":
        from control_plane.documents.mongo import MongoStore

        return await MongoStore.open(url, connections=connections)
    from control_plane.documents.postgres import PostgresStore

    return await PostgresStore.open(url, connections=connections)
