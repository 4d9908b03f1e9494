"""Bind, submit, response, throttle, drop, early and double receipt, crash, pause, takeover, in every order
that Hypothesis can think of, on the sans-IO core in virtual time: session, window, sender, book of claims and
tally are the product's, the SMSC and the ledger are models. After every step the books balance.
"""

import importlib
from array import array
from itertools import pairwise
from types import SimpleNamespace
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from model_ledger import Ledger, State, Writer
from model_smsc import Connection, Smsc

from engine._fast.columns import FAILED, RETRY, STATUS_LOST
from engine.dispatch import book as book_module
from engine.dispatch import sender as sender_module
from engine.dispatch.book import Budget, ClaimBook
from engine.dispatch.campaign import Again, CampaignRun, OpenSlice
from engine.dispatch.claims import Claim
from engine.dispatch.pacer import Pacer
from engine.dispatch.sender import Sender
from engine.ledger.claims import CampaignKey, ClaimInfo
from engine.smpp import session as session_module
from engine.smpp.events import Closed, Receipts, Results
from engine.smpp.session import Session, SessionConfig
from engine.smpp.status import classify

ROWS, WINDOW, MAX_CLAIMED = 24, 5, 12
FIRST_NUMBER = 447_700_900_000
SLICE, RETRY_SLICE = 5, 6
LEASE_S, MARGIN_S = 15.0, 3.0
RESPONSE_TIMEOUT_S = 30.0
THROTTLED, TEMPORARY, PERMANENT = 0x58, 0x08, 0x0B
LONG = "x" * 161  # two parts
KEY = CampaignKey(UUID(int=1), UUID(int=2), 1, "Shop")


class Worker:
    """An engine process: what it holds in memory is gone with it."""

    def __init__(self, world, modules):
        self.world = world
        self.fast = modules
        self.alive = True
        self.fence = SimpleNamespace(deadline=world.now + LEASE_S - MARGIN_S)
        config = SessionConfig(
            system_id="esme", password="secret", window_size=WINDOW, response_timeout_s=RESPONSE_TIMEOUT_S
        )
        self.session = Session(config)
        self.connection = None
        self.writer = Writer(world.ledger, self)
        self.budget = Budget(MAX_CLAIMED, self.writer)
        self.book = ClaimBook(1, self.writer, self.budget, classify, lambda run: None)
        shared = SimpleNamespace(
            pacer=Pacer(1000.0), retries=self.book.retries, fence=self.lease(), claims=self.book.claims
        )
        self.sender = Sender(self, WINDOW, shared, self.book.written)
        self.run = CampaignRun(KEY.campaign_id, KEY, UUID(int=3), (ROWS,), (), None, 0, 0)

    def lease(self):
        """The fence as the sender sees it."""
        return self.fence

    # the bind's face, for Sender

    number = 1
    submits = True

    @property
    def bound(self):
        return self.connection is not None and self.session.state is session_module.State.BOUND

    @property
    def free(self):
        return self.session.window.free if self.bound else 0

    @property
    def writable(self):
        return self.bound

    def reserve_sequences(self, count):
        return self.session.reserve_sequences(count)

    def submit(self, batch, start, stop, slice_id, attempt, claim, index=None):
        assert self.world.now < self.fence.deadline, "written after the lease's end"
        stored = self.world.ledger.claims[self.book.claims[claim].info.claim_id]
        assert stored.worker is self, "written under a claim of another"
        assert not stored.closed, "written under a claim that is closed"
        rows = stored.rows or range(stored.start, stored.end)
        assert set(batch.row[start:stop]) <= set(rows), "written outside the committed claim"
        octets = self.session.submit(batch, start, stop, slice_id, attempt, claim, self.world.now_us, index)
        self.connection.up += octets

    # what happens to it

    def connect(self):
        self.connection = Connection()
        self.world.connections.append(self.connection)
        self.session.open(self.world.now)
        self.flush()

    def flush(self):
        if self.connection is not None:
            self.connection.up += self.session.take_output()

    def take(self, events):
        for event in events:
            if isinstance(event, Results):
                self.book.results(1, event.batch, self.world.now)
            elif isinstance(event, Receipts):
                self.writer.receipts(event.batch, lambda batch=event.batch: self.answer(batch))
            elif isinstance(event, Closed):
                self.disconnect()
                return
        self.flush()

    def answer(self, batch):
        self.session.acknowledge(batch)
        self.flush()

    def disconnect(self):
        if self.connection is None:
            return
        self.world.smsc.lost(self.connection)
        self.connection = None
        self.session.take_output()
        self.take(self.session.connection_lost(self.world.now_us))
        dropped = self.sender.drop()
        self.world.return_claims(self, dropped)

    def encode(self, rows):
        numbers = array("q", [FIRST_NUMBER + row for row in rows])
        texts = ["hello" if self.world.ledger.parts[row] == 1 else LONG for row in rows]
        data = "".join(texts).encode()
        ends = [0]
        for text in texts:
            ends.append(ends[-1] + len(text))
        encoder = self.fast["pdu"].SubmitEncoder(
            template=self.fast["text"].Template([0]), source=b"Shop", source_ton=5, source_npi=0
        )
        positions = array("i", range(len(rows)))
        return self.sender.encode(
            lambda first: encoder.encode(
                numbers, [(array("i", ends).tobytes(), data)], positions, rows[0], SLICE, first
            )
        )

    def claim(self, rows, number, *, again=False):
        batch = self.encode(rows)
        slice_ = OpenSlice(SLICE, self.run, 0, 0, ROWS, ROWS)
        info = ClaimInfo(number, SLICE, *KEY, 1, 1)
        wire = None
        if again:
            retry = Again(SLICE, array("i", rows), array("h", [0] * len(rows)), 1, 0, True)
            slice_ = OpenSlice(RETRY_SLICE, self.run, 0, 0, len(rows), len(rows), again=retry)
            info = ClaimInfo(number, RETRY_SLICE, *KEY, 1, 1, origin_slice_id=SLICE, attempt=1, resend=True)
            wire = self.fast["pdu"].take(batch, array("i", range(batch.count)), 1)
            wire.sequence, wire.pdus = batch.sequence, batch.pdus
            places = {rows[0] + at: row for at, row in enumerate(rows)}
            wire.row = array("i", [places[row] for row in batch.row])
            batch.row = array("i", [row - rows[0] for row in batch.row])
        claim = Claim(
            handle=self.book.next_handle(),
            info=info,
            slice=slice_,
            row_start=0 if again else rows[0],
            row_end=len(rows) if again else rows[-1] + 1,
            batch=batch,
            rejected_msisdn=array("q"),
            wire=wire,
        )
        self.book.open(claim)
        self.sender.push(claim)


class NothingLost(RuleBasedStateMachine):
    modules = {}  # noqa: RUF012 - of the machine's build

    @initialize(
        parts=st.lists(st.integers(1, 2), min_size=ROWS, max_size=ROWS),
        policy=st.sampled_from(["hold", "resend"]),
    )
    def begin(self, parts, policy):
        self.now, self.now_us = 1000.0, 1_790_000_000_000_000
        self.ledger = Ledger(parts)
        self.smsc = Smsc(WINDOW)
        self.connections = []
        self.policy = policy
        self.running = True
        self.bound_of_duplicates = 0
        self.tempered = set()
        self.worker = Worker(self, self.modules)
        self.zombies = []

    # -- the campaign -------------------------------------------------------

    @precondition(lambda self: self.running and self.worker.bound)
    @rule(count=st.integers(1, 8))
    def claim(self, count):
        count = min(count, self.worker.budget.room, ROWS - self.ledger.claimed_to)
        if count > 0 and self.now < self.worker.fence.deadline:
            number, start = self.ledger.claim(self.worker, count)
            self.worker.claim(list(range(start, start + count)), number)

    @precondition(lambda self: self.worker.book.claims)
    @rule()
    def pause(self):
        self.running = False
        self.return_claims(self.worker, self.worker.sender.drop())

    @precondition(lambda self: not self.running)
    @rule()
    def resume(self):
        self.running = True

    def return_claims(self, worker, dropped):
        """What was not begun goes back to the slice, the last claim first."""
        for claim in sorted(dropped, key=lambda claim: claim.info.claim_id, reverse=True):
            if claim.slice.again:
                rows = list(claim.slice.again.rows)
                from_row = worker.book.release(claim, self.now)
                stored = self.ledger.claims[claim.info.claim_id]
                stored.rows = tuple(rows[:from_row])
                stored.end = from_row
                stored.closed = stored.closed or not from_row
                worker.book.given_back(claim)
                continue
            stored = self.ledger.claims[claim.info.claim_id]
            from_row = worker.book.release(claim, self.now)
            if stored.worker is worker and not stored.closed and self.ledger.claimed_to == stored.end:
                self.ledger.give_back(claim.info.claim_id, from_row)
            else:
                assert from_row == stored.end or stored.closed, (
                    "an earlier claim is given back before a later one"
                )
            worker.book.given_back(claim)

    @precondition(lambda self: self.policy == "resend" and self.running and self.worker.bound)
    @rule(most=st.integers(1, 4))
    def resend_what_is_in_doubt(self, most):
        if self.now >= self.worker.fence.deadline or any(zombie.alive for zombie in self.zombies):
            return
        open_again = {
            row
            for claim in self.ledger.claims.values()
            if claim.rows and not claim.closed
            for row in claim.rows
        }
        rows = [
            row
            for row in range(ROWS)
            if self.ledger.state(row) is State.IN_DOUBT
            and row not in open_again
            and row not in self.ledger.resent
            and not any(
                (row, part) in self.ledger.results for part in (1, 2)
            )  # whole messages, for simplicity
        ][: min(most, max(0, self.worker.budget.room))]
        rows = [row for at, row in enumerate(rows) if row == rows[0] + at]  # the model encodes neighbours
        if rows:
            self.bound_of_duplicates += sum(self.ledger.parts[row] for row in rows)
            self.worker.claim(rows, self.ledger.claim_again(self.worker, rows), again=True)

    # -- the worker ---------------------------------------------------------

    @precondition(lambda self: self.worker.connection is None)
    @rule(at_once=st.sampled_from([True, True, True, False]))
    def connect(self, at_once):
        self.worker.connect()
        if at_once:
            self._carry_all()

    @precondition(lambda self: self.running and self.worker.bound)
    @rule(count=st.integers(1, 8), answers=st.integers(0, 5), down=st.booleans())
    def work(self, count, answers, down):
        """The usual course: claimed, written, answered, heard."""
        self.renew()
        self.claim(count)
        self.pump()
        self.smsc.carry(self.worker.connection, 1 << 20)
        for _ in range(min(answers, len(self.worker.connection.waiting))):
            self.smsc.answer(self.worker.connection, 0, 0)
        if down:
            self._carry_all()

    def _carry_all(self):
        worker = self.worker
        self.smsc.carry(worker.connection, 1 << 20)
        data = bytes(worker.connection.down)
        worker.connection.down.clear()
        if data:
            worker.take(worker.session.receive(data, self.now, self.now_us))

    @rule()
    def pump(self):
        self.worker.sender.pump(self.now)

    @rule()
    def renew(self):
        self.worker.fence.deadline = self.now + LEASE_S - MARGIN_S

    @rule()
    def commit(self):
        self.worker.writer.commit()

    @rule()
    def a_zombie_wakes_up(self):
        """SIGSTOP past the lease and back: it may not write, but what it learns still counts."""
        for zombie in self.zombies:
            if zombie.alive:
                assert zombie.sender.pump(self.now) == 0, "written after the lease's end"
                zombie.writer.commit()

    @precondition(lambda self: self.worker.book.claims)
    @rule()
    def crash(self):
        """kill -9: memory is gone, the socket closes, a new worker takes over what was claimed."""
        dead = self.worker
        dead.alive = False
        if dead.connection is not None:
            self.smsc.lost(dead.connection)
            dead.connection = None
        self._take_over(dead)

    @precondition(lambda self: self.worker.book.claims)
    @rule()
    def freeze(self):
        """It hangs until its lease is over; another takes over, and both live."""
        self.now += LEASE_S + MARGIN_S
        self.now_us += int((LEASE_S + MARGIN_S) * 1e6)
        self.zombies.append(self.worker)
        self.worker.writer.fenced = True
        self._take_over(self.worker)

    def _take_over(self, dead):
        doubted = self.ledger.take_over(dead)
        assert len(doubted) <= MAX_CLAIMED, "more in doubt than may be claimed"
        self.worker = Worker(self, self.modules)

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.5, 3.0, 31.0]))
    def time_passes(self, seconds):
        """In steps that a living loop would make."""
        until = self.now + seconds
        while self.now < until:
            step = min(1.0, until - self.now)
            self.now += step
            self.now_us += int(step * 1e6)
            for worker in (self.worker, *self.zombies):
                if worker.alive and worker.connection is not None:
                    worker.take(worker.session.tick(self.now, self.now_us))

    # -- the network and the SMSC ------------------------------------------

    @precondition(lambda self: self._open())
    @rule(pick=st.integers(0, 3), octets=st.sampled_from([1, 7, 60, 10_000]), up=st.booleans())
    def carry(self, pick, octets, up):
        worker = self._pick(pick)
        if up:
            self.smsc.carry(worker.connection, octets)
            return
        data = bytes(worker.connection.down[:octets])
        del worker.connection.down[:octets]
        if data:
            worker.take(worker.session.receive(data, self.now, self.now_us))

    @precondition(lambda self: self._waiting())
    @rule(
        pick=st.integers(0, 30),
        status=st.sampled_from([0, 0, 0, 0, THROTTLED, TEMPORARY, PERMANENT]),
        silent=st.booleans(),
        receipt_first=st.booleans(),
        delivered=st.booleans(),
    )
    def answer(self, pick, status, silent, receipt_first, delivered):
        waiting = self._waiting()
        connection = waiting[pick % len(waiting)]
        sequence = sorted(connection.waiting)[pick % len(connection.waiting)]
        key = connection.waiting[sequence]
        if status == TEMPORARY:  # a second one would go into a retry slice, which is the ledger's
            status = 0 if key in self.tempered else status
            self.tempered.add(key)
        self.smsc.answer(
            connection,
            pick,
            status,
            silent=silent and not status,
            receipt_first=receipt_first,
            delivered=delivered,
        )

    @precondition(lambda self: self.smsc.owed and [one for one in self.connections if one.open and one.bound])
    @rule(pick=st.integers(0, 30), twice=st.booleans(), at_once=st.booleans())
    def receipt(self, pick, twice, at_once):
        bound = [one for one in self.connections if one.open and one.bound]
        self.smsc.send_receipt(bound[pick % len(bound)], pick, twice=twice)
        if at_once and self.worker.connection is not None:
            self._carry_all()
            self._carry_all()

    @precondition(lambda self: any(one.open and one.answered for one in self.connections))
    @rule(pick=st.integers(0, 30))
    def answer_again(self, pick):
        """A response to what was answered already; its number may be in use on another connection."""
        connection = next(one for one in self.connections if one.open and one.answered)
        again = connection.answered[pick % len(connection.answered)]
        if again not in connection.waiting:
            connection.down += b"\0\0\0\x11\x80\0\0\x04\0\0\0\0" + again.to_bytes(4, "big") + b"\0"

    @precondition(lambda self: self._open() and self.worker.book.claims)
    @rule(pick=st.integers(0, 3))
    def drop(self, pick):
        self._pick(pick).disconnect()

    @precondition(lambda self: self.worker.connection is not None and self.worker.connection.waiting)
    @rule(back=st.booleans())
    def drop_when_all_was_accepted_and_nothing_answered(self, back):
        connection = self.worker.connection
        for pick in range(len(connection.waiting)):
            self.smsc.answer(connection, pick, 0, silent=True)
        self.worker.disconnect()
        if back:
            self.connect(True)
            self.time_passes(3.0)
            self.renew()
            self.worker.sender.pump(self.now)

    def _open(self):
        return [one for one in (self.worker, *self.zombies) if one.alive and one.connection is not None]

    def _pick(self, pick):
        return self._open()[pick % len(self._open())]

    def _waiting(self):
        return [one for one in self.connections if one.open and one.waiting]

    # -- what always holds --------------------------------------------------

    @invariant()
    def the_window_is_never_exceeded(self):
        for connection in self.connections:
            assert connection.most_waiting <= WINDOW
        for worker in (self.worker, *self.zombies):
            assert 0 <= worker.session.window.in_flight <= WINDOW

    @invariant()
    def claims_lie_side_by_side_and_within_their_bound(self):
        claims = [
            claim for claim in self.ledger.claims.values() if not claim.rows and claim.end > claim.start
        ]
        claims.sort(key=lambda claim: claim.start)
        assert all(one.end == following.start for one, following in pairwise(claims))
        assert (claims[-1].end if claims else 0) == self.ledger.claimed_to
        assert 0 <= self.worker.budget.unsettled <= MAX_CLAIMED

    @invariant()
    def the_equation_holds(self):
        counted = self.ledger.recount()
        assert sum(counted.values()) == ROWS
        del counted[State.WAITING.value]
        assert +counted == +self.ledger.statistics

    @invariant()
    def no_part_is_accepted_twice_but_what_was_sent_again_by_decision(self):
        duplicates = sum(times - 1 for times in self.smsc.witness.values())
        assert duplicates <= self.bound_of_duplicates

    @invariant()
    def a_receipt_is_acknowledged_only_when_it_is_kept(self):
        kept = {smsc_id for smsc_id, _ in self.ledger.orphans.items()} | {
            smsc_id for smsc_id, key in self.ledger.ids.items() if key in self.ledger.verdicts
        }
        assert {receipt.smsc_id for receipt in self.smsc.acknowledged} <= kept

    def teardown(self):
        """Whatever happened, let it come to an end: nothing the operator accepted is lost."""
        if not hasattr(self, "ledger"):
            return
        self.running = False
        self.return_claims(self.worker, self.worker.sender.drop())
        for _ in range(400):
            workers = [one for one in (self.worker, *self.zombies) if one.alive]
            self.renew()
            if self.worker.connection is None:
                self.worker.connect()
            for worker in workers:
                worker.sender.pump(self.now)
                if worker.connection is None:
                    continue
                self.smsc.carry(worker.connection, 1 << 20)
                for sequence in sorted(set(worker.connection.waiting) - set(worker.connection.silent)):
                    self.smsc.answer(worker.connection, sorted(worker.connection.waiting).index(sequence), 0)
                while self.smsc.owed and worker.connection.bound:
                    self.smsc.send_receipt(worker.connection, 0)
                data = bytes(worker.connection.down)
                worker.connection.down.clear()
                worker.take(worker.session.receive(data, self.now, self.now_us) if data else [])
                worker.writer.commit()
            self.time_passes(1.0)
            if not any(worker.book.claims for worker in workers) and not self.smsc.owed:
                break
        for worker in (self.worker, *self.zombies):
            if worker.alive:
                worker.writer.commit()
        assert not self.worker.book.claims, "a claim without an end"
        assert all(claim.closed for claim in self.ledger.claims.values()), "a claim that nobody closes"
        self.the_equation_holds()
        for row in range(self.ledger.claimed_to):
            assert self.ledger.state(row) is not State.WAITING, "claimed, and nobody knows what became of it"
        for (number, part), _ in self.smsc.witness.items():
            row = number - FIRST_NUMBER
            known = self.ledger.results.get((row, part), set())
            assert (
                0 in known
                or self.ledger.state(row) is State.IN_DOUBT
                or self.ledger.doubts
                & {
                    (row, 0),
                    (row, part),
                }
            ), "accepted by the operator and lost"
        self.the_window_is_never_exceeded()
        self.no_part_is_accepted_twice_but_what_was_sent_again_by_decision()


def run(modules, *, examples, phases=tuple(Phase)):
    machine = type("NothingLost", (NothingLost,), {"modules": modules})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=60,
            deadline=None,
            phases=phases,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


def built(build, monkeypatch):
    """The core on one build of `_fast`."""
    names = ("pdu", "window", "receipts", "text", "tally")
    modules = {name: importlib.import_module(f"{build}.{name}") for name in names}
    for name in ("pdu", "window", "receipts"):
        monkeypatch.setattr(session_module, name, modules[name])
    monkeypatch.setattr(sender_module, "pdu", modules["pdu"])
    monkeypatch.setattr(book_module, "tally", modules["tally"])
    return modules


@pytest.mark.parametrize("build", ["engine._fast", "engine._fast.pure"], ids=["c", "pure"])
def test_nothing_is_lost_or_doubled_in_any_order_of_events(build, monkeypatch):
    run(built(build, monkeypatch), examples=80)


def _acknowledge_at_once(self, events, take=Worker.take):
    for event in events:
        if isinstance(event, Receipts):
            self.session.acknowledge(event.batch)
    take(self, events)


def _lost_is_failed(batch, judge, outcomes=book_module.outcomes):
    found = outcomes(batch, judge)
    for i in range(batch.count):
        if batch.status[i] == STATUS_LOST:
            found[i] = FAILED
    return found


def _lost_goes_again(batch, judge, outcomes=book_module.outcomes):
    found = outcomes(batch, judge)
    for i in range(batch.count):
        if batch.status[i] == STATUS_LOST and not batch.late[i]:
            found[i] = RETRY
    return found


DEFECTS = {
    "receipts are acknowledged before they are committed": (Worker, "take", _acknowledge_at_once),
    "a part lost with its connection counts as failed": (book_module, "outcomes", _lost_is_failed),
    "a part lost with its connection is sent again": (book_module, "outcomes", _lost_goes_again),
    "the fence is not looked at": (Worker, "lease", lambda worker: SimpleNamespace(deadline=float("inf"))),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_model_finds_a_planted_defect(defect, monkeypatch):
    monkeypatch.setattr(*DEFECTS[defect])
    with pytest.raises(AssertionError):
        run(built("engine._fast", monkeypatch), examples=1500, phases=(Phase.generate,))
