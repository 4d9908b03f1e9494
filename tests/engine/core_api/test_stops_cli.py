"""`heliograph stop` and the routes behind it, against a Core API of its own with certificates."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner

from engine.core_api import schema
from engine.core_api.certs import make
from engine.core_api.client import CoreClient, CoreError
from engine.core_api.server.app import CoreServer
from engine.core_api.server.state import EngineState
from engine.core_api.stops_cli import stop
from engine.dispatch.dispatcher import Dispatcher
from engine.dispatch.worker import Worker
from engine.ledger import accounts
from engine.ledger.migrate import latest, migrate
from engine.ledger.pool import Pool, open_pool
from engine.ledger.secrets import SecretBox
from engine.ledger.writer import LedgerWriter
from engine.settings import EngineSettings

pytestmark = pytest.mark.system


@dataclass
class Face:
    """A Core API without a control plane."""

    pool: Pool
    url: str
    certs: Path
    client: CoreClient

    async def run(self, *words: str) -> Any:
        """The verb, in a thread: it has a loop of its own."""
        given = [*words, "--core-url", self.url, "--certs", str(self.certs)]
        return await asyncio.to_thread(CliRunner().invoke, stop, given)


@pytest.fixture
async def face(ledger_dsn: str, tmp_path: Path) -> AsyncIterator[Face]:
    await migrate(ledger_dsn)
    pool = await open_pool(ledger_dsn)
    certs = tmp_path / "certs"
    settings = EngineSettings(ledger_dsn=ledger_dsn, data_dir=tmp_path, certs_dir=certs)
    make(certs)
    secrets = SecretBox(settings.secrets_key_file)
    worker = await Worker.register(pool, settings)
    writer = LedgerWriter(pool, worker.worker_id)
    dispatcher = Dispatcher(pool, settings, worker, writer, secrets)
    state = EngineState(settings, pool, secrets, dispatcher, worker.name, latest())
    async with pool.acquire() as connection:
        spec = schema.AccountSpec(
            name="One", host="127.0.0.1", port=1, system_id="esme", password="secret", binds=2
        )
        await accounts.upsert_account(connection, spec, secrets)
        await accounts.upsert_channel(connection, schema.ChannelSpec(name="First", account="One"))
    listener = socket.create_server(("127.0.0.1", 0))
    server = CoreServer(state)
    serving = asyncio.create_task(server.run_on(listener))
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    client = CoreClient(url, certs)
    yield Face(pool, url, certs, client)
    await client.close()
    server.should_exit = True
    await serving
    await worker.leave()
    await pool.close()


async def test_everything_is_stopped_listed_and_let_go_on(face: Face) -> None:
    assert (await face.run()).output == "nothing is stopped\n"
    done = await face.run("everything", "--reason", "wrong text")
    assert done.exit_code == 0
    assert done.output.startswith("stopped: everything, wrong text (since ")
    (listed,) = json.loads((await face.run("--json")).output)
    assert (listed["scope"], listed["reason"], listed["lifted_at"]) == ("everything", "wrong text", None)
    assert (await face.run("--lift")).output.startswith("lifted: everything")
    assert (await face.run()).output == "nothing is stopped\n"
    (old,) = (await face.client.stops()).stops
    assert old.made_by == "installation", "no workspace lifts it"
    assert old.lifted_at is not None


async def test_a_lift_with_words_ends_only_what_they_name(face: Face) -> None:
    workspace = uuid4()
    await face.run("workspace", str(workspace))
    await face.run("channel", "First")
    lifted = await face.run("channel", "first", "--lift")
    assert lifted.output.startswith("lifted: channel First")
    (left,) = [one for one in (await face.client.stops()).stops if one.lifted_at is None]
    assert (left.scope, left.workspace_id) == ("workspace", workspace)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["workspace"], "name a workspace by its id"),
        (["everything", "x"], "everything takes no name"),
        (["workspace", "x"], "is no workspace id"),
        (["channel", "None such"], "no channel 'None such'"),
    ],
)
async def test_what_cannot_be_stopped_is_said_in_a_line(face: Face, words: list[str], says: str) -> None:
    done = await face.run(*words)
    assert done.exit_code
    assert says in done.output
    assert (await face.client.stops()).stops == []


async def test_accounts_and_binds_take_orders_and_unknown_ones_are_refused(face: Face) -> None:
    def spec() -> schema.ControlSpec:
        return schema.ControlSpec(decision_id=uuid4())

    await face.client.drain("One", spec())
    assert await face.pool.fetchval("SELECT drained FROM accounts")
    await face.client.drain("One", spec(), drained=False)
    assert not await face.pool.fetchval("SELECT drained FROM accounts")
    again = spec()
    for _ in range(2):  # the second is the same decision
        await face.client.control_bind("One", 2, "rebind", again)
    await face.client.control_bind("One", 2, "drain", spec())
    (row,) = await face.pool.fetch("SELECT number, drained, rebind_seq FROM bind_controls")
    assert tuple(row) == (2, True, 1)
    for name, number in (("One", 3), ("Two", 1)):
        with pytest.raises(CoreError) as refused:
            await face.client.control_bind(name, number, "drain", spec())
        assert refused.value.problem.status == 404


async def test_a_weight_is_kept_within_its_limits(face: Face) -> None:
    workspace = UUID(int=7)
    await face.client.set_weight(workspace, schema.WeightSpec(decision_id=uuid4(), weight=2.5))
    assert await face.pool.fetchval("SELECT weight FROM workspace_weights") == 2.5
    for weight in (0.0, -1.0, 1e9):
        with pytest.raises(CoreError) as refused:
            await face.client.set_weight(workspace, schema.WeightSpec(decision_id=uuid4(), weight=weight))
        assert refused.value.problem.status == 422


async def test_the_next_engine_is_asked_where_the_first_is_not_there(face: Face) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()[1]
    client = CoreClient(f"https://127.0.0.1:{nobody} {face.url}", face.certs)
    try:
        assert (await client.health()).worker
        assert (await client.stops()).stops == []
    finally:
        await client.close()
