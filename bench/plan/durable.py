"""Campaigns through the whole engine and its ledger, and what a submit_sm costs there: CPU, log, disk."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from bench.demo import CHUNK_BYTES, TEXT
from bench.measure import InvalidRun
from bench.people import Person
from bench.plan.measured import Durable
from bench.scenarios.recipients_file import write_recipients
from bench.stack import Stack
from control_plane.launcher.postgres import LEDGER, Postgres
from control_plane.launcher.up import DEMO_ACCOUNT, DEMO_PASSWORD
from engine.core_api import schema
from engine.ledger.sql import load

LAST_PART = 60  # characters the last part of a longer text has at least
PART = 153
POLL_S = 0.1
_BIND_S = 30.0
_TABLES = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""


@dataclass(frozen=True, slots=True)
class Account:
    """How the operator's account is set for a campaign."""

    port: int
    tps: int
    binds: int
    window: int


class Whole:
    """`heliograph up` in a folder of its own, two people at its console, and its ledger."""

    def __init__(self, folder: Path, smsc: str) -> None:
        self._folder = folder
        self.stack = Stack(folder / "data", ["--smsc", smsc])
        self._author = Person(self.stack.ready["ui"], *self.stack.login_of("author"))
        self._moderator = Person(self.stack.ready["ui"], *self.stack.login_of("moderator"))
        self._campaigns = 0

    def stop(self) -> None:
        self.stack.stop()

    @property
    def smsc_port(self) -> int:
        return int(self.stack.ready["smpp"])

    def dsn(self, database: str = LEDGER) -> str:
        return Postgres(self.stack.data / "postgres").dsn(database)

    def run(self, account: Account, recipients: int, parts: int, deadline_s: float) -> Durable:
        """One campaign to its last receipt. Raises InvalidRun where it does not settle in time."""
        asyncio.run(self._set(account))
        campaign, rows = self._prepare(recipients, parts)
        wal, tables = asyncio.run(self._log_and_tables())
        cpu = self._cpu_s()
        began = time.monotonic()
        self._author.submit(campaign)
        self._moderator.approve(campaign)
        seen = list(self._follow(campaign, began, deadline_s))
        cpu_after = self._cpu_s()
        wal_after, tables_after = asyncio.run(self._log_and_tables())
        counts: dict[str, int] = seen[-1][1]
        submits = counts["submissions"]
        if not submits:
            raise InvalidRun("the campaign sent nothing")
        return Durable(
            tps=account.tps,
            held_per_s=steady_rate([(at, each["submissions"]) for at, each in seen]),
            messages=rows,
            submits=submits,
            throttled=counts["throttled"],
            seconds=seen[-1][0],
            cpu_us={name: (cpu_after[name] - cpu[name]) * 1e6 / submits for name in cpu},
            wal_bytes=(wal_after - wal) / submits,
            table_bytes=(tables_after - tables) / submits,
            rss_bytes=self.stack.peak_rss_bytes(),
        )

    def closed_bytes(self, submits: int) -> float:
        """More octets a submit_sm once its partition is closed: the indexes a closed partition gets, made on
        the hot one. The folder is of no use to an engine after that."""
        return asyncio.run(self._index_hot()) / submits

    async def _set(self, account: Account) -> None:
        async with self.stack.core() as core:
            await core.put_account(
                schema.AccountSpec(
                    name=DEMO_ACCOUNT,
                    host="127.0.0.1",
                    port=account.port,
                    system_id="heliograph",
                    password=DEMO_PASSWORD,
                    tps=account.tps,
                    binds=account.binds,
                    window_size=account.window,
                )
            )
            deadline = time.monotonic() + _BIND_S
            while True:
                [channel] = await core.channels()
                bound = [bind for bind in channel.binds if bind.state == "bound"]
                if len(bound) == account.binds and all(b.window_size == account.window for b in bound):
                    return
                if time.monotonic() > deadline:
                    raise InvalidRun(f"{len(bound)} of {account.binds} binds bound within {_BIND_S:.0f} s")
                await asyncio.sleep(POLL_S)

    def _prepare(self, recipients: int, parts: int) -> tuple[str, int]:
        file = self._folder / "recipients.csv"
        self._campaigns += 1
        expected = write_recipients(
            file, rows=recipients, seed=self._campaigns, bad_share=0.0, duplicate_share=0.0
        )
        campaign = self._author.create_campaign(f"Plan {self._campaigns}", text_of(parts))
        with file.open("rb") as source:
            blocks = iter(lambda: source.read(CHUNK_BYTES), b"")
            self._author.upload(campaign, file.name, file.stat().st_size, blocks)
        return campaign, expected.accepted

    def _follow(
        self, campaign: str, began: float, deadline_s: float
    ) -> Iterator[tuple[float, dict[str, Any]]]:
        """(seconds, counts) until it is settled."""
        while True:
            status = self._author.status(campaign)
            seconds = time.monotonic() - began
            yield seconds, status["counts"]
            if status["state"] == "Done" and status["settled"]:
                return
            if (status["final"] and status["state"] != "Done") or seconds > deadline_s:
                raise InvalidRun(f"campaign {status['state']}: {status['reason']} {status['counts']}")
            time.sleep(POLL_S)

    def _cpu_s(self) -> dict[str, float]:
        return {name: cpu_s(pid) for name, pid in self.stack.pids.items()}

    async def _log_and_tables(self) -> tuple[int, int]:
        """Octets of write-ahead log so far, and of all tables of the ledger with their indexes."""
        connection = await asyncpg.connect(self.dsn())
        try:
            log = await connection.fetchval("SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint")
            return int(log), int(await connection.fetchval(_TABLES))
        finally:
            await connection.close()

    async def _index_hot(self) -> int:
        connection = await asyncpg.connect(self.dsn())
        try:
            before = int(await connection.fetchval(_TABLES))
            queries = load("partitions")
            for row in await connection.fetch(
                "SELECT DISTINCT tableoid::regclass::text AS name FROM submissions"
            ):
                for statement in ("index_smsc_id", "index_msisdn"):
                    await connection.execute(queries[statement].format(name=row["name"]))
            return int(await connection.fetchval(_TABLES)) - before
        finally:
            await connection.close()


def text_of(parts: int) -> str:
    """A text of so many parts in GSM; longer ones name nobody, for a name may need UCS-2 and more parts."""
    if parts == 1:
        return TEXT
    return TEXT.replace("{{name}}", "all") + " " + "x" * ((parts - 1) * PART + LAST_PART - len(TEXT))


def steady_rate(seen: list[tuple[float, int]]) -> float:
    """Submissions a second between the first look at a tenth of them and the last at nine tenths; from begin
    to end where too few looks lie between."""
    total = seen[-1][1]
    inner = [(at, count) for at, count in seen if 0.1 * total <= count <= 0.9 * total]
    if len(inner) >= 3 and inner[-1][0] > inner[0][0] and inner[-1][1] > inner[0][1]:
        (first_at, first), (last_at, last) = inner[0], inner[-1]
        return (last - first) / (last_at - first_at)
    done_at = next(at for at, count in seen if count == total)
    return total / max(done_at, 1e-6)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, its children and what they left behind."""
    process = psutil.Process(pid)
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
        if each.pid == pid:
            total += times.children_user + times.children_system
    return total
