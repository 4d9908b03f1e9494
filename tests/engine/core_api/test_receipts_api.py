"""Orphans, messages of people and the bases of ids over the Core API, through its client."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from engine.core_api import schema
from engine.core_api.certs import make
from engine.core_api.client import CoreClient, CoreError
from engine.core_api.server.app import application
from engine.core_api.server.state import EngineState
from engine.ledger import accounts
from engine.ledger.journal import Journal
from engine.ledger.migrate import migrate
from engine.ledger.pool import Pool, open_pool
from engine.ledger.secrets import SecretBox
from engine.ledger.writer import LedgerWriter
from engine.settings import EngineSettings

ACCOUNT = "north one"


class StillDispatcher:
    """Nothing is sent here."""

    def pulse(self) -> schema.Pulse:
        return schema.Pulse(
            status="ok", in_flight=0, sent_per_s=0, delivered_per_s=0, binds_bound=0, binds_total=0
        )


@pytest.fixture
async def pool(ledger_dsn: str, tmp_path: Path) -> AsyncIterator[Pool]:
    await migrate(ledger_dsn)
    opened = await open_pool(ledger_dsn)
    async with opened.acquire() as connection:
        spec = schema.AccountSpec(name=ACCOUNT, host="127.0.0.1", port=1, system_id="esme", password="secret")
        account_id = await accounts.upsert_account(connection, spec, SecretBox(tmp_path / "secrets.key"))
        await connection.executemany(
            "INSERT INTO orphan_receipts (account_id, smsc_id, msisdn, verdict, stat, error, received_at)"
            " VALUES ($1, $2, 447911123456, 2, 2, '000', now())",
            [(account_id, f"id-{number}") for number in range(3)],
        )
        await connection.execute(
            "INSERT INTO inbound (inbound_id, account_id, kind, source, destination, body, esm_class,"
            " data_coding, pdu, received_at)"
            " VALUES (gen_random_uuid(), $1, 0, '447911123456', 'HELIO', 'STOP', 0, 0, '', now())",
            account_id,
        )
    yield opened
    await opened.close()


@pytest.fixture
async def client(pool: Pool, ledger_dsn: str, tmp_path: Path) -> AsyncIterator[CoreClient]:
    make(tmp_path / "certs")
    settings = EngineSettings(ledger_dsn=ledger_dsn, data_dir=tmp_path)
    writer = LedgerWriter(pool, 1, recent_capacity=10, journal=await Journal.open(tmp_path / "journal", 4096))
    state = EngineState(
        settings, pool, SecretBox(tmp_path / "secrets.key"), StillDispatcher(), "worker", 5, writer=writer,  # type: ignore[arg-type]
    )  # fmt: skip
    made = CoreClient("https://engine", tmp_path / "certs")
    made._http = httpx.AsyncClient(transport=httpx.ASGITransport(application(state)))
    yield made
    await made.close()


async def test_orphans_are_paged_filtered_and_retried_once_a_decision(client: CoreClient) -> None:
    first = await client.orphans(account=ACCOUNT, limit=2)
    assert [each.smsc_id for each in first.orphans] == ["id-2", "id-1"]
    assert (first.waiting, first.aged, first.orphans[0].account) == (3, 0, ACCOUNT)
    second = await client.orphans(account=ACCOUNT, limit=2, cursor=first.next)
    assert ([each.smsc_id for each in second.orphans], second.next) == (["id-0"], None)
    assert (await client.orphans(account="nobody")).orphans == []
    assert [each.smsc_id for each in (await client.orphans(smsc_id="id-1")).orphans] == ["id-1"]
    assert (await client.orphans(age="aged")).orphans == []
    order = schema.OrphanRetry(decision_id=uuid4(), account=ACCOUNT)
    assert (await client.retry_orphans(order)).orphans == 3
    assert (await client.retry_orphans(order)).orphans == 3
    other = schema.OrphanRetry(decision_id=order.decision_id, orphan_ids=[1])
    with pytest.raises(CoreError) as reused:
        await client.retry_orphans(other)
    assert reused.value.problem.type.endswith("decision-reused")
    with pytest.raises(CoreError) as wrong:
        await client.orphans(cursor="x")
    assert wrong.value.problem.type.endswith("bad-cursor")
    with pytest.raises(CoreError) as unknown:
        await client.orphans(age="fresh")  # type: ignore[arg-type]
    assert unknown.value.problem.status == 422


async def test_messages_of_people_are_listed(client: CoreClient) -> None:
    page = await client.inbound(account=ACCOUNT)
    assert [(each.text, each.msisdn, each.kind) for each in page.messages] == [
        ("STOP", "447911123456", "message")
    ]
    assert (await client.inbound(account="nobody")).messages == []


async def test_the_bases_of_an_account_are_shown_and_reset(client: CoreClient, pool: Pool) -> None:
    shown = await client.account_ids(ACCOUNT)
    assert (shown.set_response, shown.response, shown.needed, shown.orphans_waiting) == ("auto", None, 100, 3)
    await pool.execute(
        """UPDATE accounts SET learned = '{"ids": {"evidence": {"hex>dec": 120}, "response": "hex", "receipt":
        "dec", "locked_at": "2026-01-02T03:04:05Z"}, "receipt_tz": {"offset_s": 19800, "median_s": 19790,
        "samples": 7, "at": "2026-01-02T03:04:05Z"}}'"""
    )
    learned = await client.account_ids(ACCOUNT)
    assert (learned.response, learned.receipt, learned.needed) == ("hex", "dec", 0)
    assert learned.zone_proposal is not None
    assert learned.zone_proposal.offset == "+05:30"
    anew = await client.reset_account_ids(ACCOUNT, schema.IdReset(decision_id=uuid4()))
    assert (anew.response, anew.locked_at, anew.evidence) == (None, None, [])
    assert anew.zone_proposal == learned.zone_proposal
    with pytest.raises(CoreError) as missing:
        await client.account_ids("nobody")
    assert missing.value.problem.status == 404


async def test_the_pulse_tells_of_the_journal(client: CoreClient) -> None:
    assert (await client.pulse()).journal == schema.ReceiptJournal(most_bytes=4096)
