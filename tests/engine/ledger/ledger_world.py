"""A ledger with one campaign whose rows are sliced and claimed, and a driver that plays dispatch."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID, uuid4

import pyarrow as pa

from engine._fast import tally as fast_tally
from engine._fast.columns import DEFERRED, EncodedBatch, ReceiptBatch, ResultBatch
from engine.core_api import schema
from engine.ledger import accounts, campaigns, equation, partitions, retries
from engine.ledger.claims import BindKey, CampaignKey, ClaimInfo
from engine.ledger.pool import Pool
from engine.ledger.retries import Deferral
from engine.ledger.secrets import SecretBox
from engine.ledger.writer import LedgerWriter

FIRST_MSISDN = 4915100000000


def chunk_data(rows: int, first: int = FIRST_MSISDN) -> bytes:
    batch = pa.record_batch({"msisdn": pa.array(range(first, first + rows), pa.int64())})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return sink.getvalue().to_pybytes()


async def make_channel(pool: Pool, box: SecretBox) -> int:
    async with pool.acquire() as connection:
        account = schema.AccountSpec(
            name="a", host="127.0.0.1", port=2775, system_id="esme", password="secret"
        )
        account_id = await accounts.upsert_account(connection, account, box)
        await accounts.upsert_channel(connection, schema.ChannelSpec(name="bulk", account="a"))
    return account_id


async def make_upload(pool: Pool, rows: int, *, state: str = "complete", workspace_id: UUID | None = None):
    upload_id, workspace_id = uuid4(), workspace_id or uuid4()
    async with pool.acquire() as connection:
        await connection.execute(
            "INSERT INTO uploads (upload_id, workspace_id, file_name, state, rows, accepted, digest)"
            " VALUES ($1, $2, 'people.csv', $3, $4, $4, $5)",
            upload_id,
            workspace_id,
            state,
            rows,
            sha256(str(upload_id).encode()).digest(),
        )
        if rows:
            data = chunk_data(rows)
            await connection.execute(
                "INSERT INTO recipient_chunks VALUES ($1, 0, $2, 100, $3, $4)",
                upload_id,
                rows,
                sha256(data).digest(),
                data,
            )
    return upload_id, workspace_id


def campaign_spec(upload_id: UUID, workspace_id: UUID, **changed) -> schema.CampaignSpec:
    fields = {
        "decision_id": uuid4(),
        "campaign_id": uuid4(),
        "workspace_id": workspace_id,
        "name": "Spring",
        "channel": "bulk",
        "sender": "ACME",
        "sender_revision_id": uuid4(),
        "text": "Hello",
        "upload_id": upload_id,
    }
    return schema.CampaignSpec(**{**fields, **changed})


async def make_worker(pool: Pool, name: str = "w") -> int:
    async with pool.acquire() as connection:
        return await connection.fetchval(
            "INSERT INTO workers (name, epoch, lease_until) VALUES ($1, 1, now() + interval '1 hour')"
            " RETURNING worker_id",
            name,
        )


@dataclass
class Driver:
    """Claims rows of one slice and gives the writer outcomes and receipts as dispatch would."""

    pool: Pool
    writer: LedgerWriter
    account_id: int
    campaign: CampaignKey
    slice_id: int
    tally: fast_tally.Tally = field(default_factory=fast_tally.Tally)
    claims: dict[int, ClaimInfo] = field(default_factory=dict)
    index: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)  # (row, part) -> claim, index
    parts: dict[int, int] = field(default_factory=dict)  # by row
    acknowledged: int = 0
    refused: int = 0
    now_us: int = 1_790_000_000_000_000

    async def claim(self, parts_of_rows: list[int]) -> ClaimInfo:
        async with self.pool.acquire() as connection, connection.transaction():
            start = await connection.fetchval(
                "SELECT claimed_to FROM slices WHERE slice_id = $1", self.slice_id
            )
            end = start + len(parts_of_rows)
            await connection.execute(
                "UPDATE slices SET claimed_to = $2 WHERE slice_id = $1", self.slice_id, end
            )
            claim_id = await connection.fetchval(
                "INSERT INTO claims (slice_id, row_start, row_end, worker_id, epoch)"
                " VALUES ($1, $2, $3, $4, 1) RETURNING claim_id",
                self.slice_id,
                start,
                end,
                self.writer.worker_id,
            )
        info = ClaimInfo(
            claim_id=claim_id,
            slice_id=self.slice_id,
            campaign_id=self.campaign.campaign_id,
            workspace_id=self.campaign.workspace_id,
            channel_id=self.campaign.channel_id,
            sender=self.campaign.sender,
            campaign_handle=self.writer.handle(self.campaign),
            account_id=self.account_id,
        )
        handle = len(self.claims) + 1
        self.claims[handle] = info
        batch = EncodedBatch()
        for row, parts in enumerate(parts_of_rows, start):
            self.parts[row] = parts
            for part in range(1, parts + 1):
                self.index[row, part] = (handle, batch.count)
                batch.row.append(row)
                batch.part.append(part)
                batch.parts.append(parts)
                batch.msisdn.append(FIRST_MSISDN + row)
                batch.count += 1
        self.tally.open(handle, batch)
        return info

    async def claim_again(self) -> list[tuple[int, int, int]]:
        """Claims every pair of the open retry slices; returns (row, part, attempt) of each."""
        claimed = []
        async with self.pool.acquire() as connection, connection.transaction():
            slices = await connection.fetch(
                "SELECT * FROM slices WHERE campaign_id = $1 AND origin_slice_id = $2 AND state = 'open'"
                " AND claimed_to < row_count ORDER BY slice_id FOR UPDATE",
                self.campaign.campaign_id,
                self.slice_id,
            )
            for each in slices:
                start, end = each["claimed_to"], each["row_count"]
                await connection.execute(
                    "UPDATE slices SET claimed_to = row_count WHERE slice_id = $1", each["slice_id"]
                )
                claim_id = await connection.fetchval(
                    "INSERT INTO claims (slice_id, row_start, row_end, worker_id, epoch)"
                    " VALUES ($1, $2, $3, $4, 1) RETURNING claim_id",
                    each["slice_id"],
                    start,
                    end,
                    self.writer.worker_id,
                )
                handle = len(self.claims) + 1
                self.claims[handle] = ClaimInfo(
                    claim_id=claim_id,
                    slice_id=each["slice_id"],
                    campaign_id=self.campaign.campaign_id,
                    workspace_id=self.campaign.workspace_id,
                    channel_id=self.campaign.channel_id,
                    sender=self.campaign.sender,
                    campaign_handle=self.writer.handle(self.campaign),
                    account_id=self.account_id,
                    origin_slice_id=self.slice_id,
                    attempt=each["attempt"],
                    resend=each["resend"],
                )
                batch = EncodedBatch()
                rows = retries.unpack("i", each["explicit_rows"])
                parts = retries.unpack("h", each["explicit_parts"])
                for position in range(start, end):
                    self.index[rows[position], parts[position]] = (handle, batch.count)
                    batch.row.append(position)
                    batch.count += 1
                    claimed.append((rows[position], parts[position], each["attempt"]))
                self.tally.open(handle, batch)
        return claimed

    def results(self, outcomes: Iterable[tuple[int, int, int, int, int, str, bool]]) -> None:
        """(row, part, attempt, outcome, status, SMSC id, late). A DEFERRED part is due at once."""
        batch, outcome = ResultBatch(), array("b")
        deferrals = []
        for row, part, attempt, code, status, smsc_id, late in outcomes:
            handle, index = self.index[row, part]
            self.now_us += 1000
            batch.claim.append(handle)
            batch.index.append(index)
            batch.slice_id.append(self.slice_id)
            batch.row.append(row)
            batch.part.append(part)
            batch.parts.append(self.parts[row])
            batch.attempt.append(attempt)
            batch.msisdn.append(FIRST_MSISDN + row)
            batch.status.append(status)
            batch.sent_us.append(self.now_us - 500)
            batch.done_us.append(self.now_us)
            batch.late.append(1 if late else 0)
            batch.ids += smsc_id.encode()
            batch.id_end.append(len(batch.ids))
            batch.count += 1
            outcome.append(code)
            if code == DEFERRED and not late:
                claim, pair = self.claims[handle], (array("i", [row]), array("h", [part]))
                deferrals.append(Deferral(claim, attempt + 1, attempt + 1, 0.0, claim.channel_id, 0, *pair))
        updates = self.tally.apply(batch, outcome)
        self.writer.results(BindKey(self.account_id, 0), batch, outcome, updates, self.claims, deferrals)

    def accept(self, *rows: int) -> None:
        """Every part of these rows accepted; ids are `row.part`."""
        self.results(
            (row, part, 0, 0, 0, f"{row}.{part}", False)
            for row in rows
            for part in range(1, self.parts[row] + 1)
        )

    def receipts(self, receipts: Iterable[tuple[str, int, int, str]]) -> None:
        """(SMSC id, verdict, stat, err)"""
        batch = ReceiptBatch()
        for smsc_id, verdict, stat, error in receipts:
            batch.sequence.append(batch.count + 1)
            batch.command.append(5)
            batch.kind.append(0)
            batch.ids += smsc_id.encode()
            batch.id_end.append(len(batch.ids))
            batch.msisdn.append(FIRST_MSISDN)
            batch.verdict.append(verdict)
            batch.stat.append(stat)
            batch.errors += error.encode()
            batch.error_end.append(len(batch.errors))
            batch.done_s.append(-1)
            batch.count += 1
        self.writer.receipts(self.account_id, batch, self._acknowledge)

    def _acknowledge(self, status: int) -> None:
        if status == 0:
            self.acknowledged += 1
        else:
            self.refused += 1

    def delivered(self, *ids: str) -> None:
        self.receipts((id_, 2, 2, "000") for id_ in ids)

    def undelivered(self, *ids: str) -> None:
        self.receipts((id_, 1, 5, "045") for id_ in ids)

    async def counts(self) -> schema.Counts:
        async with self.pool.acquire() as connection:
            return await campaigns.counts(connection, self.campaign.campaign_id)

    async def equation(self) -> schema.Equation:
        return await equation.recount(self.pool, self.campaign.campaign_id)

    async def state(self) -> str:
        return (await campaigns.get(self.pool, self.campaign.campaign_id)).state

    async def fetch(self, statement: str, *values):
        async with self.pool.acquire() as connection:
            return await connection.fetch(statement, *values)


async def start_campaign(pool: Pool, rows: int) -> tuple[CampaignKey, int]:
    """A started campaign with all its rows in one slice."""
    upload_id, workspace_id = await make_upload(pool, rows)
    sealed = await campaigns.create(pool, campaign_spec(upload_id, workspace_id))
    start = schema.CampaignCommand(decision_id=uuid4(), command="start", manifest_hash=sealed.manifest_hash)
    await campaigns.command(pool, sealed.campaign_id, start)
    async with pool.acquire() as connection, connection.transaction():
        (slice_id,) = await partitions.allot(connection, [rows])
        channel_id = await connection.fetchval("SELECT channel_id FROM channels WHERE name = 'bulk'")
        await connection.execute(
            "INSERT INTO slices (slice_id, campaign_id, chunk_no, channel_id, row_start, row_count)"
            " VALUES ($1, $2, 0, $3, 0, $4)",
            slice_id,
            sealed.campaign_id,
            channel_id,
            rows,
        )
        await connection.execute("UPDATE legs SET next_chunk = 1 WHERE campaign_id = $1", sealed.campaign_id)
    key = CampaignKey(sealed.campaign_id, workspace_id, channel_id, "ACME")
    return key, slice_id


async def make_driver(
    pool: Pool, box: SecretBox, rows: int = 100, *, worker: str = "w", **writer_options
) -> Driver:
    account_id = await make_channel(pool, box)
    campaign, slice_id = await start_campaign(pool, rows)
    writer_options.setdefault("hold_s", 0.0)
    writer_options.setdefault("orphan_interval_s", 0.0)
    writer = LedgerWriter(pool, await make_worker(pool, worker), recent_capacity=10_000, **writer_options)
    return Driver(pool, writer, account_id, campaign, slice_id)


async def second_campaign(driver: Driver, rows: int = 10) -> Driver:
    """Another campaign over the same writer; claims of both may stand in one batch."""
    campaign, slice_id = await start_campaign(driver.pool, rows)
    return Driver(driver.pool, driver.writer, driver.account_id, campaign, slice_id)
