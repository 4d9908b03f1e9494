"""Test messages and traces of a worker's binds, over a real ledger and a real socket."""

import asyncio
import time
from array import array
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from engine._fast.columns import ReceiptBatch, ResultBatch
from engine.channels.smpp import TEST_CLAIM, SmppBind, SmppChannel
from engine.core_api import schema
from engine.dispatch.link_work import LinkWork
from engine.dispatch.pacer import Pacer
from engine.ledger import accounts, traces, trial_messages
from engine.ledger.message_id import message_id
from engine.ledger.migrate import migrate
from engine.ledger.pool import Pool, open_pool
from engine.ledger.secrets import SecretBox
from engine.smpp import codec
from engine.smpp.tables import PDUS

NUMBER = 447700900123


class Smsc:
    """Answers each request as `answer` says; None holds the answer back."""

    def __init__(self) -> None:
        self.received: list[codec.Pdu] = []
        self.answer: Callable[[codec.Pdu], bytes | None] = self.accept
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    @staticmethod
    def accept(pdu: codec.Pdu) -> bytes | None:
        answer = PDUS[pdu.command_id].answer
        if answer is None:
            return None
        fields = {"message_id": b"id-%d" % pdu.sequence} if pdu.name == "submit_sm" else None
        return codec.encode(answer, pdu.sequence, fields=fields)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self.writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readexactly(4)
                pdu = codec.decode(head + await reader.readexactly(int.from_bytes(head, "big") - 4))
                self.received.append(pdu)
                if answer := self.answer(pdu):
                    writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    @property
    def submits(self) -> list[codec.Pdu]:
        return [pdu for pdu in self.received if pdu.name == "submit_sm"]


@dataclass
class Owner:
    """What the campaigns' side of a bind is told."""

    results: list[int] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)

    def on_bound(self, bind: Any) -> None: ...
    def on_receipts(self, bind: Any, batch: ReceiptBatch) -> None: ...
    def on_down(self, bind: Any, reason: str) -> None: ...
    def on_state(self, bind: Any, state: str, reason: str) -> None: ...

    def on_results(self, bind: Any, batch: ResultBatch) -> None:
        self.results += batch.claim

    def on_congestion(self, bind: Any, level: int) -> None:
        self.levels.append(level)


@dataclass
class Fence:
    worker_id: int
    deadline: float = field(default_factory=lambda: time.monotonic() + 60)


class Bench:
    """A worker with its binds, and verbs on its ledger."""

    def __init__(self, pool: Pool, box: SecretBox, smsc: Smsc) -> None:
        self.pool, self.box, self.smsc = pool, box, smsc
        self.owner = Owner()
        self.channel = SmppChannel()
        self.started: list[SmppBind] = []

    async def worker(self) -> Fence:
        worker_id = await self.pool.fetchval(
            "INSERT INTO workers (name, epoch, lease_until) VALUES ('w', 1, now() + interval '1 minute')"
            " RETURNING worker_id"
        )
        return Fence(worker_id)

    async def account(self, **settings: Any) -> None:
        spec = schema.AccountSpec(
            name="Op", host="127.0.0.1", port=self.smsc.port, system_id="esme", password="secret",
            settings={"reconnect_min_s": 0.01, "reconnect_max_s": 0.02, "response_timeout_s": 0.2} | settings,
        )  # fmt: skip
        async with self.pool.acquire() as connection:
            await accounts.upsert_account(connection, spec, self.box)
            await accounts.upsert_channel(connection, schema.ChannelSpec(name="Test", account="Op"))

    async def bind(self) -> SmppBind:
        async with self.pool.acquire() as connection:
            (account,) = await accounts.accounts(connection, self.box)
        (bind,) = self.channel.binds(account, self.owner)
        bind.start()
        assert isinstance(bind, SmppBind)
        self.started.append(bind)
        await self.until(lambda: bind.bound)
        return bind

    async def queue(self, text: str = "Hello", number: int = NUMBER) -> UUID:
        order = schema.TestMessageSpec(decision_id=uuid4(), msisdn=str(number), sender="Bank", text=text)
        async with self.pool.acquire() as connection, connection.transaction():
            await trial_messages.record(connection, "Test", order, text)
        return order.decision_id

    async def message(self, test_id: UUID) -> schema.TestMessage:
        async with self.pool.acquire() as connection:
            return await trial_messages.one(connection, test_id)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(15):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def reaches(self, work: LinkWork, test_id: UUID, state: str) -> schema.TestMessage:
        async with asyncio.timeout(15):
            while (found := await self.message(test_id)).state != state:
                await work.step()
                await asyncio.sleep(0.01)
        return found


@pytest.fixture
async def bench(ledger_dsn: str, tmp_path: Path) -> AsyncIterator[Bench]:
    await migrate(ledger_dsn)
    pool = await open_pool(ledger_dsn)
    smsc = Smsc()
    await smsc.start()
    made = Bench(pool, SecretBox(tmp_path / "secrets.key"), smsc)
    await made.account()
    yield made
    for bind in made.started:
        await bind.stop(0.2)
    await smsc.stop()
    await pool.close()


async def test_a_test_message_is_sent_and_shows_its_response_and_its_receipt(bench: Bench) -> None:
    await bench.bind()
    work = LinkWork(bench.pool, await bench.worker(), bench.channel)
    test_id = await bench.queue("@£$_{}[]~^|€ñ")
    answered = await bench.reaches(work, test_id, "answered")
    (part,) = answered.parts
    (sent,) = bench.smsc.submits
    assert sent.octets("destination_addr") == str(NUMBER).encode()
    assert (part.status_name, part.smsc_id) == ("ESME_ROK", f"id-{sent.sequence}")
    await bench.pool.execute(
        "INSERT INTO orphan_receipts (account_id, smsc_id, msisdn, verdict, stat, error, received_at)"
        " SELECT account_id, $1, $2, 1, 5, '069', now() FROM accounts",
        part.smsc_id,
        NUMBER,
    )
    await work.step()
    (part,) = (await bench.message(test_id)).parts
    assert (part.stat, part.error) == ("UNDELIV", "069")
    assert await bench.pool.fetchval("SELECT count(*) FROM orphan_receipts WHERE matched_at IS NULL") == 0
    assert bench.owner.results == [], "no campaign's book hears of it"


async def test_every_part_of_a_long_test_message_has_its_result(bench: Bench) -> None:
    await bench.bind()
    work = LinkWork(bench.pool, await bench.worker(), bench.channel)
    answered = await bench.reaches(work, await bench.queue("x" * 400), "answered")
    assert [part.part for part in answered.parts] == [1, 2, 3]
    assert len({part.smsc_id for part in answered.parts}) == 3


async def test_a_test_message_takes_its_tokens_and_waits_for_them(bench: Bench) -> None:
    """Of a busy account: the next token is a second away, and campaigns wait for what it took."""
    await bench.bind()
    pacer = Pacer(10.0)
    work = LinkWork(bench.pool, await bench.worker(), bench.channel, pace=lambda _account: pacer)
    test_id = await bench.queue("x" * 400)
    begin = time.monotonic()
    pacer.take(10, begin)
    due = pacer.next_at()
    await bench.reaches(work, test_id, "answered")
    assert time.monotonic() >= due
    assert pacer.next_at() == pytest.approx(due + 3 / 10.0), "three parts"
    assert pacer.tokens(due + 0.2) == 0


async def test_a_test_message_that_waits_for_its_tokens_is_not_claimed(bench: Bench) -> None:
    """What is stopped meanwhile can still be kept back."""
    await bench.bind()
    pacer = Pacer(10.0)
    work = LinkWork(bench.pool, await bench.worker(), bench.channel, pace=lambda _account: pacer)
    test_id = await bench.queue()
    pacer.take(100, time.monotonic())
    step = asyncio.create_task(work.step())
    done, _ = await asyncio.wait({step}, timeout=0.3)
    assert not done
    assert (await bench.message(test_id)).state == "queued"
    step.cancel()
    await asyncio.wait({step})
    assert bench.smsc.submits == []


async def test_a_worker_without_a_share_of_the_tps_sends_no_test_message(bench: Bench) -> None:
    await bench.bind()
    pacer = Pacer(10.0, closed=True)
    work = LinkWork(bench.pool, await bench.worker(), bench.channel, pace=lambda _account: pacer)
    test_id = await bench.queue()
    await work.step()
    assert (await bench.message(test_id)).state == "queued"
    assert bench.smsc.submits == []
    pacer.closed = False
    assert (await bench.reaches(work, test_id, "answered")).parts


async def test_an_error_of_the_smsc_is_shown_and_nothing_is_sent_again(bench: Bench) -> None:
    def refuse(pdu: codec.Pdu) -> bytes | None:
        if pdu.name == "submit_sm":
            return codec.encode(0x80000004, pdu.sequence, status=0x58)
        return bench.smsc.accept(pdu)

    bench.smsc.answer = refuse
    await bench.bind()
    work = LinkWork(bench.pool, await bench.worker(), bench.channel)
    answered = await bench.reaches(work, await bench.queue(), "answered")
    assert answered.parts[0].status_name == "ESME_RTHROTTLED"
    await work.step()
    assert len(bench.smsc.submits) == 1


async def test_its_record_is_committed_before_its_first_octet(bench: Bench) -> None:
    bind = await bench.bind()

    def crash(*_: Any) -> None:
        raise RuntimeError("killed at the write")

    bind.link.submit = crash  # type: ignore[method-assign]
    work = LinkWork(bench.pool, await bench.worker(), bench.channel)
    test_id = await bench.queue()
    with pytest.raises(RuntimeError):
        await work.step()
    assert (await bench.message(test_id)).state == "claimed"
    await LinkWork(bench.pool, await bench.worker(), bench.channel).step()
    assert (await bench.message(test_id)).state == "claimed"
    assert bench.smsc.submits == []


async def test_a_lost_response_is_in_doubt_and_never_sent_again(bench: Bench) -> None:
    bench.smsc.answer = lambda pdu: None if pdu.name == "submit_sm" else bench.smsc.accept(pdu)
    await bench.bind()
    work = LinkWork(bench.pool, await bench.worker(), bench.channel)
    test_id = await bench.queue()
    doubtful = await bench.reaches(work, test_id, "in_doubt")
    assert "may have been sent" in doubtful.detail
    (sent,) = bench.smsc.submits
    bench.smsc.writers[0].write(codec.encode(0x80000004, sent.sequence, fields={"message_id": b"late"}))
    answered = await bench.reaches(work, test_id, "answered")
    assert (answered.parts[0].smsc_id, len(bench.smsc.submits)) == ("late", 1)


async def test_a_connection_lost_with_a_test_in_flight_leaves_it_in_doubt_once(bench: Bench) -> None:
    bench.smsc.answer = lambda pdu: None if pdu.name == "submit_sm" else bench.smsc.accept(pdu)
    await bench.account(response_timeout_s=60)
    bind = await bench.bind()
    work = LinkWork(bench.pool, await bench.worker(), bench.channel)
    test_id = await bench.queue()
    await work.step()
    await bench.until(lambda: bench.smsc.submits)
    bench.smsc.writers[0].transport.abort()
    doubtful = await bench.reaches(work, test_id, "in_doubt")
    assert doubtful.parts[0].status_name == "connection lost"
    await bench.until(lambda: bind.bound)
    await work.step()
    assert len(bench.smsc.submits) == 1


async def test_a_worker_that_died_after_its_claim_leaves_doubt_and_no_second_send(bench: Bench) -> None:
    await bench.bind()
    dead, alive = await bench.worker(), await bench.worker()
    test_id = await bench.queue()
    async with bench.pool.acquire() as connection, connection.transaction():
        assert await trial_messages.claim(connection, dead.worker_id, 1, 1) is not None
    work = LinkWork(bench.pool, alive, bench.channel)
    await work.step()
    assert (await bench.message(test_id)).state == "claimed"
    await bench.pool.execute("UPDATE workers SET stopped_at = now() WHERE worker_id = $1", dead.worker_id)
    await work.step()
    await work.step()
    assert (await bench.message(test_id)).state == "in_doubt"
    assert bench.smsc.submits == []


async def test_two_workers_send_it_once(bench: Bench) -> None:
    await bench.bind()
    first = LinkWork(bench.pool, await bench.worker(), bench.channel)
    second = LinkWork(bench.pool, await bench.worker(), bench.channel)
    for _ in range(5):
        await bench.queue()
    for _ in range(6):
        await asyncio.gather(first.step(), second.step())
    await bench.until(lambda: len(bench.smsc.submits) >= 5)
    await asyncio.gather(first.step(), second.step())
    assert len(bench.smsc.submits) == 5


async def test_a_worker_whose_lease_has_run_out_writes_nothing_and_gives_it_back(bench: Bench) -> None:
    await bench.bind()
    fenced = await bench.worker()
    fenced.deadline = time.monotonic() - 1
    test_id = await bench.queue()
    await LinkWork(bench.pool, fenced, bench.channel).step()
    given_back = await bench.message(test_id)
    assert (given_back.state, given_back.parts, bench.smsc.submits) == ("queued", [], [])
    work = LinkWork(bench.pool, await bench.worker(), bench.channel)
    await bench.reaches(work, test_id, "answered")


@pytest.mark.parametrize(
    "against",
    [
        "INSERT INTO stops (stop_id, scope, decision_id)"
        " VALUES (gen_random_uuid(), 'everything', gen_random_uuid())",
        "INSERT INTO stops (stop_id, scope, channel_id, decision_id)"
        " SELECT gen_random_uuid(), 'channel', channel_id, gen_random_uuid() FROM channels",
        "UPDATE accounts SET drained = true",
        "UPDATE accounts SET enabled = false",
        "UPDATE channels SET enabled = false",
    ],
    ids=["stop all", "stop channel", "drained", "account disabled", "channel disabled"],
)
async def test_nothing_is_sent_against_a_stop_or_a_drain(bench: Bench, against: str) -> None:
    await bench.bind()
    await bench.pool.execute(against)
    test_id = await bench.queue()
    work = LinkWork(bench.pool, await bench.worker(), bench.channel)
    await work.step()
    assert ((await bench.message(test_id)).state, bench.smsc.submits) == ("queued", [])


async def test_without_a_bind_it_expires_and_is_not_sent_later(bench: Bench) -> None:
    test_id = await bench.queue()
    await bench.pool.execute(
        "UPDATE test_messages SET requested_at = now() - $1::interval", timedelta(seconds=61)
    )
    work = LinkWork(bench.pool, await bench.worker(), bench.channel)
    await work.step()
    await bench.bind()
    await work.step()
    assert ((await bench.message(test_id)).state, bench.smsc.submits) == ("expired", [])


async def test_a_text_that_gives_no_message_is_refused_with_the_reason(bench: Bench) -> None:
    await bench.bind()
    work = LinkWork(bench.pool, await bench.worker(), bench.channel)
    refused = await bench.reaches(work, await bench.queue("x" * 9000), "refused")
    assert "parts" in refused.detail
    assert bench.smsc.submits == []


async def test_a_stopping_worker_writes_the_results_it_has(bench: Bench) -> None:
    await bench.bind()
    work = LinkWork(bench.pool, await bench.worker(), bench.channel)
    test_id = await bench.queue()
    await work.step()
    await bench.until(lambda: bench.started[0].in_flight == 0)
    await work.stop()
    assert (await bench.message(test_id)).state == "answered"


async def test_results_of_campaigns_beside_a_test_reach_their_owner(bench: Bench) -> None:
    bind = await bench.bind()
    work = LinkWork(bench.pool, await bench.worker(), bench.channel)
    held: list[codec.Pdu] = []

    def hold(pdu: codec.Pdu) -> bytes | None:
        if pdu.name == "submit_sm":
            held.append(pdu)
            return None
        return bench.smsc.accept(pdu)

    bench.smsc.answer = hold
    await bench.account(response_timeout_s=60)
    test_id = await bench.queue()
    await work.step()
    encoder = bench.channel.encoder({}, text="Hi", sender="Bank", columns=[])
    batch = encoder.encode(
        array("q", [NUMBER, NUMBER + 1]), [], array("i", [0, 1]), 0, 77, bind.reserve_sequences(2)
    )
    bind.submit(batch, 0, 2, 77, 0, 5)
    await bench.until(lambda: len(held) == 3)
    bench.smsc.writers[0].write(b"".join(filter(None, map(bench.smsc.accept, held))))
    await bench.until(lambda: len(bench.owner.results) == 2)
    assert TEST_CLAIM not in bench.owner.results
    await bench.reaches(work, test_id, "answered")


# traces -----------------------------------------------------------------------------------------------------


async def trace(bench: Bench, **given: Any) -> int:
    spec = schema.TraceSpec(decision_id=uuid4(), **given)
    async with bench.pool.acquire() as connection, connection.transaction():
        return await traces.create(connection, spec)


async def traced(bench: Bench, trace_id: int) -> schema.TracePdus:
    async with bench.pool.acquire() as connection:
        return await traces.pdus(connection, trace_id, 0, 500)


async def test_a_trace_of_a_bind_shows_its_pdus_masked(bench: Bench) -> None:
    bind = await bench.bind()
    work = LinkWork(bench.pool, await bench.worker(), bench.channel)
    trace_id = await trace(bench, scope="bind", account="Op", number=1)
    await work.step()
    await bench.reaches(work, await bench.queue("a secret text"), "answered")
    await work.step()
    found = await traced(bench, trace_id)
    assert [(pdu.direction, pdu.command) for pdu in found.pdus] == [
        ("out", "submit_sm"), ("in", "submit_sm_resp"),
    ]  # fmt: skip
    assert (found.pdus[0].account, found.pdus[0].bind, found.trace.pdus) == ("Op", 1, 2)
    assert str(NUMBER) not in repr(found)
    assert "a secret text" not in repr(found)
    await bench.pool.execute("UPDATE traces SET ended_at = now()")
    await work.step()
    assert bind.tap is None, "a trace that has ended costs nothing"


async def test_a_bind_nobody_traces_has_no_tap(bench: Bench) -> None:
    bind = await bench.bind()
    work = LinkWork(bench.pool, await bench.worker(), bench.channel)
    await trace(bench, scope="bind", account="Op", number=2)
    await work.step()
    assert bind.tap is None


async def test_a_number_and_a_whole_account_are_traced_at_once(bench: Bench) -> None:
    await bench.bind()
    work = LinkWork(bench.pool, await bench.worker(), bench.channel)
    everything = await trace(bench, scope="bind", account="Op")
    number = await trace(bench, scope="number", msisdn=f"+{NUMBER}")
    await work.step()
    await bench.reaches(work, await bench.queue(), "answered")
    await bench.reaches(work, await bench.queue(number=NUMBER + 1), "answered")
    await work.step()
    assert [pdu.command for pdu in (await traced(bench, number)).pdus] == ["submit_sm", "submit_sm_resp"]
    assert len((await traced(bench, everything)).pdus) == 4
    assert (await traced(bench, number)).trace.target == "•••••••••123"


async def test_a_trace_ends_by_itself_and_cannot_be_longer_than_15_minutes(bench: Bench) -> None:
    bind = await bench.bind()
    work = LinkWork(bench.pool, await bench.worker(), bench.channel)
    await trace(bench, scope="bind", account="Op", seconds=900)
    await work.step()
    assert bind.tap is not None
    await bench.pool.execute(
        "UPDATE traces SET started_at = started_at - interval '15 min', ends_at = ends_at - interval '15 min'"
    )
    await work.step()
    assert bind.tap is None


async def test_a_message_of_which_nothing_was_sent_cannot_be_traced_and_says_so(bench: Bench) -> None:
    with pytest.raises(Exception, match="trace its number"):
        await trace(bench, scope="message", message_id=message_id(1 << 40, 5))
