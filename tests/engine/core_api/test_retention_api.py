"""Retention by workspace and erasures over the Core API, and what `heliograph erase` says."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from click.testing import CliRunner

from engine.core_api import erase_cli, schema
from engine.core_api.certs import make
from engine.core_api.client import CoreClient, CoreError
from engine.core_api.server.app import application
from engine.core_api.server.state import EngineState
from engine.ledger.migrate import migrate
from engine.ledger.pool import Pool, open_pool
from engine.ledger.secrets import SecretBox
from engine.settings import EngineSettings

NUMBER = "4915100000061"


@pytest.fixture
async def pool(ledger_dsn: str) -> AsyncIterator[Pool]:
    await migrate(ledger_dsn)
    opened = await open_pool(ledger_dsn, min_size=1, max_size=2)
    yield opened
    await opened.close()


@pytest.fixture
async def client(pool: Pool, ledger_dsn: str, tmp_path: Path) -> AsyncIterator[CoreClient]:
    make(tmp_path / "certs")
    settings = EngineSettings(ledger_dsn=ledger_dsn, data_dir=tmp_path)
    box = SecretBox(tmp_path / "secrets.key")
    state = EngineState(settings, pool, box, None, "worker", 10)  # type: ignore[arg-type]
    made = CoreClient("https://engine", tmp_path / "certs")
    made._http = httpx.AsyncClient(transport=httpx.ASGITransport(application(state)))
    yield made
    await made.close()


async def test_a_workspaces_days_are_set_changed_and_taken_back(client: CoreClient, pool: Pool) -> None:
    workspace_id = uuid4()
    for days in (30, 7):
        spec = schema.WorkspaceRetention(decision_id=uuid4(), days=days)
        await client.set_retention(workspace_id, spec)
        await client.set_retention(workspace_id, spec)
        assert await pool.fetchval("SELECT days FROM workspace_retention") == days
    await client.set_retention(workspace_id, schema.WorkspaceRetention(decision_id=uuid4(), days=None))
    assert await pool.fetchval("SELECT count(*) FROM workspace_retention") == 0


@pytest.mark.parametrize("days", [0, -1, 100_000])
async def test_days_that_do_not_fit_are_refused(client: CoreClient, days: int) -> None:
    with pytest.raises(CoreError) as refused:
        await client.set_retention(uuid4(), schema.WorkspaceRetention(decision_id=uuid4(), days=days))
    assert refused.value.problem.status == 422


async def test_an_erasure_is_answered_recorded_and_repeatable(client: CoreClient, pool: Pool) -> None:
    await pool.execute(
        "INSERT INTO doubts (slice_id, row_no, part, attempt, reason, msisdn) VALUES (1, 0, 0, 0, 'x', $1)",
        int(NUMBER),
    )
    spec = schema.ErasureSpec(decision_id=uuid4(), msisdn="+" + NUMBER, reason="asked for")
    done = await client.erase(spec)
    assert done.erased == {"doubts": 1}
    assert await client.erase(spec) == done
    again = await client.erase(schema.ErasureSpec(decision_id=uuid4(), msisdn=NUMBER))
    assert (again.erased, again.number_hash) == ({}, done.number_hash)
    assert {one.erasure_id for one in (await client.erasures()).erasures} == {
        done.erasure_id,
        again.erasure_id,
    }
    stored = await pool.fetch(
        "SELECT decisions::text FROM decisions UNION SELECT erasures::text FROM erasures"
    )
    assert not any(NUMBER in row[0] for row in stored)


async def test_what_is_no_number_is_refused(client: CoreClient) -> None:
    with pytest.raises(CoreError) as refused:
        await client.erase(schema.ErasureSpec(decision_id=uuid4(), msisdn="somebody"))
    assert refused.value.problem.status == 422


def test_without_an_engine_one_line_says_what_to_do(tmp_path: Path) -> None:
    ran = CliRunner().invoke(erase_cli.erase, ["--data", str(tmp_path), NUMBER])
    assert ran.exit_code == 1
    assert "heliograph up" in ran.output
    assert NUMBER not in ran.output


async def test_the_report_says_what_is_kept_and_what_went(client: CoreClient, pool: Pool) -> None:
    workspace_id = uuid4()
    empty = await client.retention(workspace_id)
    assert (empty.numbers_days, empty.oldest_day, empty.runs, empty.dropped) == (None, None, [], [])
    assert (empty.messages_days, empty.files_days) == (400, 30)
    await client.set_retention(workspace_id, schema.WorkspaceRetention(decision_id=uuid4(), days=7))
    await pool.execute(
        "INSERT INTO retention_runs (started_at, took_s, body) VALUES (now(), 2, $1::text::jsonb)",
        '{"folded": ["a", "b"], "dropped": ["c"], "uploads": [], "slices": 5}',
    )
    report = await client.retention(workspace_id)
    assert report.numbers_days == 7
    (run,) = report.runs
    assert (run.folded, run.dropped, run.uploads, run.slices, run.took_s) == (2, 1, 0, 5, 2.0)


async def test_a_number_is_looked_for_without_standing_in_an_address(client: CoreClient, pool: Pool) -> None:
    await pool.execute(
        "INSERT INTO traces (scope, msisdn, ends_at) VALUES ('number', $1, now())", int(NUMBER)
    )
    found = await client.find_person(schema.PersonQuestion(msisdn="+" + NUMBER))
    assert (found.counts, found.cut) == ({"traces": 1}, False)
    with pytest.raises(CoreError) as refused:
        await client.find_person(schema.PersonQuestion(msisdn="nobody"))
    assert refused.value.problem.status == 422
