"""Between engine and SMSC: the fault proxy's rules, one a fault."""

import asyncio

from bench.chaos.fault import fault
from bench.chaos.lab import Lab, LabError, Settings
from bench.simulators.proxy.rules import parse
from bench.simulators.smsc.behaviour import Behaviour
from bench.simulators.smsc.server import Door


async def _with(lab: Lab, *rules: str, share: float = 0.2) -> None:
    """A campaign during which these rules hold from a share of it on, to its end."""
    await lab.send()
    await lab.under_way(share)
    for rule in rules:
        lab.proxy.add(parse(rule))
    await lab.under_way(min(0.8, share + 0.4))
    struck = {name: count for name, count in lab.proxy.counters().items() if name != "connections"}
    lab.proxy.clear()
    if not any(struck.values()):
        raise LabError(f"the proxy never struck: {struck}")


@fault("wire", "80 ms more, each way", doubts=False)
async def wire_latency(lab: Lab) -> None:
    await _with(lab, "delay=80:any")


@fault("wire", "the stream in single octets", doubts=False)
async def wire_single_octets(lab: Lab) -> None:
    await _with(lab, "slice=1:any@share=0.3")


@fault("wire", "TCP resets inside a PDU, twice")
async def wire_reset_inside_pdu(lab: Lab) -> None:
    await _with(lab, "reset:submit_sm@count=50,every=300,times=2")


@fault("wire", "TCP resets inside a response")
async def wire_reset_inside_response(lab: Lab) -> None:
    await _with(lab, "reset:submit_sm_resp@count=50,every=300,times=2")


def _watchful() -> Settings:
    """The SMSC notices by itself that nobody is there: it drops the session after three silent seconds, and
    where a deliver_sm goes unanswered for five."""
    behaviour = Behaviour(latency_ms=20, receipt_delay_ms=100, unanswered_ms=5000)
    return Settings(behaviour=behaviour, door=Door(enquire_link_s=1.0))


@fault("wire", "a black hole: nothing passes, nothing is closed", settings=_watchful)
async def wire_black_hole(lab: Lab) -> None:
    await lab.send()
    await lab.under_way(0.2)
    lab.proxy.add(parse("black_hole:submit_sm@times=1"))


@fault("wire", "half-open: the SMSC's side is gone, ours is not told")
async def wire_half_open(lab: Lab) -> None:
    await lab.send()
    await lab.under_way(0.2)
    lab.proxy.add(parse("half_open:submit_sm@times=1"))


@fault("wire", "responses dropped")
async def wire_responses_dropped(lab: Lab) -> None:
    await _with(lab, "drop:submit_sm_resp@share=0.02")


@fault("wire", "requests dropped")
async def wire_requests_dropped(lab: Lab) -> None:
    await _with(lab, "drop:submit_sm@share=0.02")


@fault("wire", "requests dropped; what is in doubt is sent again", policy="resend")
async def wire_requests_dropped_resend(lab: Lab) -> None:
    await _with(lab, "drop:submit_sm@share=0.02")


@fault("wire", "responses twice", doubts=False)
async def wire_responses_duplicated(lab: Lab) -> None:
    await _with(lab, "duplicate:submit_sm_resp@share=0.2")


@fault("wire", "responses out of order", doubts=False)
async def wire_responses_reordered(lab: Lab) -> None:
    await _with(lab, "reorder:submit_sm_resp@share=0.2")


@fault("wire", "responses with sequence numbers nobody gave")
async def wire_wrong_sequence(lab: Lab) -> None:
    await _with(lab, "sequence=0x40000000:submit_sm_resp@share=0.02")


@fault("wire", "a vendor's status", may_fail=True, doubts=False)
async def wire_vendor_status(lab: Lab) -> None:
    await _with(lab, "answer=0x480:submit_sm@share=0.1")


@fault("wire", "generic_nack of requests", may_fail=True)
async def wire_nack(lab: Lab) -> None:
    await _with(lab, "nack=0x08:submit_sm@share=0.01")


@fault("wire", "receipts dropped before us, their sender tries again")
async def wire_receipt_answers_dropped(lab: Lab) -> None:
    await _with(lab, "drop:deliver_sm_resp@share=0.05")
    lab.proxy.drop()


async def _refused(lab: Lab, status: int, times: int) -> None:
    """The session is lost; the next binds are refused with this status."""
    await lab.send()
    await lab.under_way(0.3)
    lab.proxy.add(parse(f"answer={status}:bind_transceiver@times={times}"))
    lab.proxy.drop()


@fault("wire", "a bind is refused: ESME_RBINDFAIL")
async def wire_bind_refused(lab: Lab) -> None:
    await _refused(lab, 0x0D, 2)


@fault("wire", "already bound: ESME_RALYBND after a lost session")
async def wire_already_bound(lab: Lab) -> None:
    await _refused(lab, 0x05, 2)


@fault("wire", "wrong password twice")
async def wire_wrong_password(lab: Lab) -> None:
    await _refused(lab, 0x0E, 2)


@fault("wire", "enquire_link goes unanswered while receipts and responses stop", settings=_watchful)
async def wire_enquire_link_unanswered(lab: Lab) -> None:
    await lab.send()
    await lab.under_way(0.2)
    for name in ("submit_sm_resp", "enquire_link_resp", "deliver_sm"):
        lab.proxy.add(parse(f"drop:{name}"))
    await asyncio.sleep(8.0)
    lab.proxy.clear()


@fault("wire", "garbage in the stream to us")
async def wire_garbage(lab: Lab) -> None:
    await _with(lab, "garbage=48:submit_sm_resp@count=100,every=400,times=2")


@fault("wire", "a command_length of a gigabyte")
async def wire_oversized_length(lab: Lab) -> None:
    await _with(lab, "oversized:submit_sm_resp@count=100,every=400,times=2")
