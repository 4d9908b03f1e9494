"""What the links of one account share: staggered connections, receivers first, refused passwords counted."""

import asyncio

import pytest

from engine.smpp import codec
from engine.smpp.gate import AccountGate, RefusedTooOften
from engine.smpp.link import LinkState
from engine.smpp.tables import ENQUIRE_LINK, RESPONSE

WRONG = 0x0E


def refuse(pdu: codec.Pdu) -> bytes:
    return codec.encode(pdu.command_id | RESPONSE, pdu.sequence, status=WRONG)


async def test_many_links_with_a_wrong_password_ask_three_times_in_all(smsc, recorder, links) -> None:
    smsc.answers = refuse
    gate = AccountGate(tries=3, stagger_s=0)
    made = [links(smsc.port, gate=gate) for _ in range(10)]
    await recorder.until(lambda: all(link.state is LinkState.REFUSED for link in made))
    assert smsc.names() == ["bind_transceiver"] * 3
    assert "secret" not in repr(recorder.states)


async def test_an_operators_start_gives_three_tries_again(smsc, recorder, links) -> None:
    smsc.answers = refuse
    link = links(smsc.port, gate=AccountGate(tries=3, stagger_s=0))
    await recorder.until(lambda: link.state is LinkState.REFUSED)
    await link.stop()
    smsc.answers = smsc.accept
    link.start()
    await recorder.until(lambda: link.bound)


async def test_a_good_bind_clears_the_count(smsc, recorder, links) -> None:
    gate = AccountGate(tries=3, stagger_s=0)
    answers = iter([refuse, refuse, smsc.accept, refuse, refuse, smsc.accept])
    smsc.answers = lambda pdu: next(answers)(pdu) if pdu.name.startswith("bind") else smsc.accept(pdu)
    link = links(smsc.port, gate=gate, password_tries=10)
    await recorder.until(lambda: link.bound)
    smsc.writers[-1].transport.abort()
    await recorder.until(lambda: recorder.calls.count("bound") == 2)
    assert gate.refusals == 0


async def test_a_receiver_is_bound_before_its_transmitter_connects(smsc, recorder, links) -> None:
    held: list[codec.Pdu] = []

    def hold_receivers(pdu: codec.Pdu) -> bytes | None:
        if pdu.name == "bind_receiver":
            held.append(pdu)
            return None
        return smsc.accept(pdu)

    smsc.answers = hold_receivers
    receiver = links(smsc.port, bind_mode="receiver")
    transmitter = links(smsc.port, bind_mode="transmitter", after=receiver)
    await smsc.until(lambda: held)
    await recorder.until(lambda: transmitter.state is LinkState.WAITING)
    assert smsc.names() == ["bind_receiver"]
    smsc.writers[0].write(smsc.accept(held[0]))
    await recorder.until(lambda: transmitter.bound)
    assert smsc.names() == ["bind_receiver", "bind_transmitter"]


async def test_a_transmitter_stays_while_its_receiver_comes_back(smsc, recorder, links) -> None:
    receiver = links(smsc.port, bind_mode="receiver")
    transmitter = links(smsc.port, bind_mode="transmitter", after=receiver)
    await recorder.until(lambda: transmitter.bound)
    smsc.writers[0].transport.abort()
    await recorder.until(lambda: recorder.calls.count("bound") == 3)
    assert smsc.names() == ["bind_receiver", "bind_transmitter", "bind_receiver"]


async def test_a_transmitter_that_waits_can_be_stopped_and_started(smsc, recorder, links) -> None:
    receiver = links(smsc.port, bind_mode="receiver")
    await receiver.stop()
    transmitter = links(smsc.port, bind_mode="transmitter", after=receiver)
    await recorder.until(lambda: transmitter.state is LinkState.WAITING)
    await asyncio.wait_for(transmitter.stop(), 5)
    transmitter.start()
    receiver.start()
    await recorder.until(lambda: transmitter.bound)


class Clocked(asyncio.SelectorEventLoop):
    """Time goes on when everybody waits."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead = 0.0

    def time(self) -> float:
        return super().time() + self._ahead

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self._ahead += max(0.0, self._scheduled[0].when() - self.time())
        super()._run_once()


def test_connections_of_an_account_keep_their_distance_in_virtual_time() -> None:
    async def arrivals() -> list[float]:
        gate = AccountGate(tries=100, stagger_s=0.5)
        loop = asyncio.get_running_loop()
        began, at = loop.time(), []

        async def one() -> None:
            ticket = await gate.admit()
            at.append(loop.time() - began)
            ticket.answered(0)

        await asyncio.gather(*(one() for _ in range(5)))
        return at

    with asyncio.Runner(loop_factory=Clocked) as runner:
        at = runner.run(arrivals())
    assert at == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0], abs=0.1)


async def test_no_more_binds_are_under_way_than_tries_are_left() -> None:
    gate = AccountGate(tries=3, stagger_s=0)
    first = [await gate.admit() for _ in range(3)]
    fourth = asyncio.ensure_future(gate.admit())
    first[0].answered(WRONG)
    first[0].answered(WRONG)
    await asyncio.sleep(0)
    assert not fourth.done(), "two are on their way, one was refused: three"
    first[1].close()
    assert await fourth is not None
    first[2].answered(WRONG)
    fourth.result().answered(WRONG)
    assert gate.exhausted
    assert await gate.admit() is None


async def test_waiting_for_a_turn_can_be_cancelled_and_costs_nobody_a_try() -> None:
    gate = AccountGate(tries=1, stagger_s=60)
    ticket = await gate.admit()
    waiting = asyncio.ensure_future(gate.admit())
    await asyncio.sleep(0)
    ticket.close()
    await asyncio.sleep(0)  # admitted, and asleep for its distance
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert gate._under_way == 0


class OtherEngines:
    """Tries that are given when `free` is set."""

    def __init__(self, fault: type[Exception] | None = None) -> None:
        self.asked = asyncio.Event()
        self.free = asyncio.Event()
        self.fault = fault
        self.settled: list[bool | None] = []

    async def take(self, limit: int) -> int | None:
        self.asked.set()
        if self.fault is not None:
            raise self.fault
        await self.free.wait()
        return 7

    async def settle(self, try_id: int, accepted: bool | None) -> None:
        self.settled.append(accepted)


async def test_a_link_that_cannot_connect_takes_no_try(recorder, links) -> None:
    nobody = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = nobody.sockets[0].getsockname()[1]
    nobody.close()
    await nobody.wait_closed()
    tries = OtherEngines()
    links(port, gate=AccountGate(tries=3, stagger_s=0, shared=tries))
    await recorder.until(lambda: [state for state, _ in recorder.states].count(LinkState.WAITING) > 2)
    assert not tries.asked.is_set()


async def test_no_bind_is_written_before_the_try_is_given(smsc, recorder, links) -> None:
    tries = OtherEngines()
    link = links(smsc.port, gate=AccountGate(tries=3, stagger_s=0, shared=tries))
    await asyncio.wait_for(tries.asked.wait(), 10)
    smsc.writers[0].write(codec.encode(ENQUIRE_LINK, 9))  # it may speak first
    await smsc.writers[0].drain()
    await asyncio.sleep(0)
    assert not smsc.received
    tries.free.set()
    await recorder.until(lambda: link.bound)
    await smsc.until(lambda: len(smsc.received) == 2)
    assert sorted(smsc.names()) == ["bind_transceiver", "enquire_link_resp"]
    assert tries.settled == [True]


@pytest.mark.parametrize("how", ["stop", "lost"])
async def test_a_connection_that_ends_while_it_waits_for_its_try(smsc, recorder, links, how) -> None:
    tries = OtherEngines()
    gate = AccountGate(tries=3, stagger_s=0, shared=tries)
    link = links(smsc.port, gate=gate)
    await asyncio.wait_for(tries.asked.wait(), 10)
    if how == "stop":
        await asyncio.wait_for(link.stop(), 5)
        assert gate._under_way == 0
        assert not smsc.received
    else:
        smsc.writers[0].transport.abort()
        await recorder.until(lambda: recorder.states[-1][0] is LinkState.WAITING)
        assert recorder.states[-1][1]
        tries.free.set()
        await recorder.until(lambda: link.bound)


async def test_a_peer_that_talks_before_the_bind_is_left(smsc, recorder, links) -> None:
    tries = OtherEngines()
    links(smsc.port, gate=AccountGate(tries=3, stagger_s=0, shared=tries))
    await asyncio.wait_for(tries.asked.wait(), 10)
    smsc.writers[0].write(bytes(5000))
    await recorder.until(lambda: (LinkState.WAITING, "the peer speaks before the bind") in recorder.states)


async def test_a_link_that_others_used_up_the_tries_of_says_what_to_do(smsc, recorder, links) -> None:
    link = links(
        smsc.port, gate=AccountGate(tries=3, stagger_s=0, shared=OtherEngines(fault=RefusedTooOften))
    )
    await recorder.until(lambda: link.state is LinkState.REFUSED)
    assert "rebind" in link.reason
    assert not smsc.received
