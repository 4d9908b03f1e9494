"""`heliograph audit verify` on a real database: OK with counts, or which entry, and the exit code."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from click.testing import CliRunner, Result

from control_plane.app import COLLECTIONS
from control_plane.audit.audit import Audit
from control_plane.audit.head import INSTALLATION_CHAIN
from control_plane.audit.outbox import AUDIT, event
from control_plane.documents.postgres import PostgresStore
from control_plane.launcher.cli import main
from control_plane.workspaces.model import WORKSPACES, Workspace

HERE = uuid4()
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def on(dsn: str, act: Callable[[PostgresStore], Awaitable[None]]) -> None:
    async def run() -> None:
        store = await PostgresStore.open(dsn)
        try:
            await act(store)
        finally:
            await store.close()

    asyncio.run(run())


async def fill(store: PostgresStore) -> None:
    await store.ensure(COLLECTIONS)
    await store.insert(WORKSPACES, Workspace(id=HERE, name="Shop", sealed_ctn_key="x", created_at=NOW))
    await Audit(store, ()).append([event(f"thing.act{n}", NOW, workspace_id=HERE) for n in range(1, 6)])
    await Audit(store, ()).append([event("login.failed", NOW)])


async def take_one_out(store: PostgresStore) -> None:
    entry = (await store.find(AUDIT, {"chain": HERE, "seq": 3})).records[0]
    await store.delete(AUDIT, entry.id)


@pytest.fixture
def filled(fresh_database: str) -> str:
    on(fresh_database, fill)
    return fresh_database


def verify(dsn: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["audit", "verify", "--documents-dsn", dsn, *arguments])


def test_it_says_ok_with_counts(filled: str) -> None:
    result = verify(filled)
    assert result.exit_code == 0
    assert "Shop: OK, 5 entries (1 to 5)" in result.output
    assert "the installation: OK, 1 entries (1 to 1)" in result.output
    assert "OK: 2 chains, 6 entries, nothing missing, nothing changed." in result.output


def test_it_says_which_entry_and_exits_1(filled: str) -> None:
    on(filled, take_one_out)
    result = verify(filled)
    assert result.exit_code == 1
    assert "Shop: NOT OK" in result.output
    assert "  3: is missing" in result.output
    assert verify(filled, "--workspace", "installation").exit_code == 0
    for name in ("Shop", str(HERE)):
        assert verify(filled, "--workspace", name).exit_code == 1
    answer = json.loads(verify(filled, "--json").output)
    assert answer["holds"] is False
    assert [one["faults"] for one in answer["chains"] if one["faults"]] == [["3: is missing"]]


def test_a_kept_file_shows_what_the_database_alone_cannot(filled: str, tmp_path: Path) -> None:
    kept = tmp_path / "heads.json"
    assert verify(filled, "--save", str(kept)).exit_code == 0
    heads = json.loads(kept.read_text())["heads"]
    assert heads[str(HERE)][0] == 5
    assert str(INSTALLATION_CHAIN) in heads
    assert verify(filled, "--against", str(kept)).exit_code == 0
    assert verify(filled, "--save", str(kept)).exit_code == 1  # overwrites nothing

    async def anew(store: PostgresStore) -> None:
        """Somebody with the database's password writes the whole chain again."""
        from control_plane.audit.head import CHAINS

        for entry in (await store.find(AUDIT, {"chain": HERE})).records:
            await store.delete(AUDIT, entry.id)
        await store.delete(CHAINS, HERE)
        forged = [event("thing.nothing", NOW, workspace_id=HERE) for _ in range(5)]
        await Audit(store, ()).append([msgspec.structs.replace(one, actor="x") for one in forged])

    on(filled, anew)
    assert verify(filled).exit_code == 0
    result = verify(filled, "--against", str(kept))
    assert result.exit_code == 1
    assert "5: is another entry than the one that was written" in result.output


def test_what_cannot_be_reached_or_named_is_said_in_one_line(
    filled: str, tmp_path: Path, unused_tcp_port: int
) -> None:
    for arguments in (
        ["--documents-dsn", f"postgresql://u:s3cret@127.0.0.1:{unused_tcp_port}/x"],
        ["--documents-dsn", filled, "--workspace", "Nowhere"],
        ["--data", str(tmp_path)],
    ):
        result = CliRunner().invoke(main, ["audit", "verify", *arguments])
        assert result.exit_code == 1
        assert result.output.startswith("Error: ")
        assert "s3cret" not in result.output
