"""An SMSC as rude as the field: the simulator's behaviours, one a fault."""

import asyncio
from collections.abc import Callable
from typing import Any

from bench.chaos.fault import fault
from bench.chaos.lab import Lab, LabError, Settings
from bench.simulators.proxy.rules import parse
from bench.simulators.smsc.behaviour import Behaviour
from bench.simulators.smsc.server import Door
from engine.core_api import schema

DLT_PE_ID, DLT_TEMPLATE_ID = "1101172974420810001", "1101172974420830004"


def _with(
    door: dict[str, Any] | None = None, tps: int = 2000, binds: int = 1, **behaviour: Any
) -> Callable[[], Settings]:
    values = {"latency_ms": 20, "receipt_delay_ms": 100, **behaviour}
    return lambda: Settings(behaviour=Behaviour(**values), door=Door(**(door or {})), tps=tps, binds=binds)


async def _all(lab: Lab) -> None:
    await lab.send()


@fault("smsc", "accepted without an id", settings=_with(empty_id_share=0.1), doubts=False, settles=False)
async def smsc_empty_id(lab: Lab) -> None:
    await _all(lab)


@fault(
    "smsc", "errors without a body and with an empty id", settings=_with(errors=((0x0B, 0.1),)), may_fail=True
)
async def smsc_error_without_body(lab: Lab) -> None:
    await _all(lab)


@fault(
    "smsc",
    "some destinations' boxes are full for a while",
    settings=_with(full_box_share=0.03, full_box_ms=3000),
)
async def smsc_full_boxes(lab: Lab) -> None:
    await _all(lab)


@fault("smsc", "throttling storms", settings=_with(storm_every_ms=1500, storm_ms=500), doubts=False)
async def smsc_throttling_storms(lab: Lab) -> None:
    await _all(lab)


@fault("smsc", "ACCEPTD before the final receipt", settings=_with(accepted_first_share=0.5), doubts=False)
async def smsc_accepted_first(lab: Lab) -> None:
    await _all(lab)


@fault("smsc", "UNDELIV, and DELIVRD after it", settings=_with(corrected_share=0.3), doubts=False)
async def smsc_corrected(lab: Lab) -> None:
    await _all(lab)


@fault("smsc", "receipts twice", settings=_with(doubled_share=0.3), doubts=False)
async def smsc_receipts_twice(lab: Lab) -> None:
    await _all(lab)


@fault("smsc", "receipts in TLVs only", settings=_with(receipt_form="tlv"), doubts=False)
async def smsc_tlv_only(lab: Lab) -> None:
    await _all(lab)


@fault(
    "smsc",
    "receipts in all forms: text, TLVs, message_payload, UCS-2, data_sm",
    settings=_with(receipt_form="mixed"),
    doubts=False,
)
async def smsc_mixed_forms(lab: Lab) -> None:
    await _all(lab)


@fault("smsc", "receipts in UCS-2", settings=_with(receipt_form="ucs2"), doubts=False)
async def smsc_ucs2(lab: Lab) -> None:
    await _all(lab)


@fault("smsc", "receipts with esm_class 0", settings=_with(receipt_esm_class=0), doubts=False)
async def smsc_esm_class_0(lab: Lab) -> None:
    await _all(lab)


@fault("smsc", "recipients answer STOP", settings=_with(reply_share=0.05), doubts=False)
async def smsc_replies(lab: Lab) -> None:
    await _all(lab)


@fault(
    "smsc",
    "receipts name the recipient in the local format",
    settings=_with(receipt_local_numbers=True),
    doubts=False,
)
async def smsc_local_numbers(lab: Lab) -> None:
    await _all(lab)


@fault(
    "smsc",
    "ids in hexadecimal, in receipts in decimal",
    settings=_with(id_format="hex", receipt_id_format="decimal"),
    doubts=False,
)
async def smsc_hex_then_decimal(lab: Lab) -> None:
    await _all(lab)


@fault(
    "smsc",
    "ids in decimal, in receipts in hexadecimal",
    settings=_with(id_format="decimal", receipt_id_format="hex-upper"),
    doubts=False,
)
async def smsc_decimal_then_hex(lab: Lab) -> None:
    await _all(lab)


@fault(
    "smsc",
    "ids with zeros in front, in receipts without",
    settings=_with(id_format="hex-padded", receipt_id_format="hex-upper"),
    doubts=False,
)
async def smsc_padded_ids(lab: Lab) -> None:
    await _all(lab)


@fault("smsc", "ids of 72 octets", settings=_with(id_format="long"), doubts=False)
async def smsc_long_ids(lab: Lab) -> None:
    await _all(lab)


@fault("smsc", "receipts before their responses", settings=_with(receipt_before_response=0.5), doubts=False)
async def smsc_receipt_first(lab: Lab) -> None:
    await _all(lab)


@fault(
    "smsc",
    "ids that come again after a while",
    settings=_with(id_reuse=500, receipt_delay_ms=20),
    doubts=False,
)
async def smsc_ids_reused(lab: Lab) -> None:
    await _all(lab)


@fault("smsc", "the same ids from two accounts", settings=_with(ids_per_account=True), doubts=False)
async def smsc_same_ids_of_two_accounts(lab: Lab) -> None:
    await lab.seed_channel("chaos-2", "Chaos 2")
    await lab.send()
    await lab.send(channel="Chaos 2")


@fault(
    "smsc",
    "a TPS limit of each bind below ours",
    settings=lambda: Settings(
        behaviour=Behaviour(latency_ms=20, receipt_delay_ms=100, bind_tps=400), tps=2000, binds=2
    ),
    doubts=False,
)
async def smsc_bind_tps(lab: Lab) -> None:
    await _all(lab)


@fault(
    "smsc",
    "a TPS limit of the account below ours",
    settings=lambda: Settings(
        behaviour=Behaviour(latency_ms=20, receipt_delay_ms=100, tps=600), tps=2000, binds=2
    ),
    doubts=False,
)
async def smsc_account_tps(lab: Lab) -> None:
    await _all(lab)


@fault(
    "smsc",
    "would drop the bind for a deliver_sm unanswered for two seconds; the database is silent, the journal "
    "answers in time",
    settings=_with(tps=400, unanswered_ms=2000),
)
async def smsc_drops_unanswered(lab: Lab) -> None:
    await lab.send()
    await lab.under_way(0.3)
    lab.wire.silence(True)
    await asyncio.sleep(5.0)
    lab.wire.silence(False)
    if dropped := lab.smsc.counts["binds_dropped"]:
        raise LabError(f"{dropped} binds were dropped for receipts that nobody acknowledged in time")


@fault(
    "smsc",
    "a bind is dropped for a deliver_sm whose answer was lost on the way",
    settings=_with(tps=400, unanswered_ms=1000),
)
async def smsc_drops_bind(lab: Lab) -> None:
    lab.proxy.add(parse("drop:deliver_sm_resp@count=50,every=100,times=3"))
    await lab.send()
    await lab.finish(60.0)
    if not lab.smsc.counts["binds_dropped"]:
        raise LabError("no bind was dropped")


@fault("smsc", "no sc_interface_version in bind responses", settings=_with({"version": None}), doubts=False)
async def smsc_no_version(lab: Lab) -> None:
    await _all(lab)


@fault("smsc", "restarts and remembers", settings=_with())
async def smsc_restart_with_memory(lab: Lab) -> None:
    await lab.send()
    await lab.under_way(0.3)
    await lab.smsc.restart(memory=True, down_s=1.0)


@fault("smsc", "restarts and has forgotten receipts and ids", settings=_with())
async def smsc_restart_without_memory(lab: Lab) -> None:
    await lab.send()
    await lab.under_way(0.3)
    await lab.smsc.restart(memory=False, down_s=1.0)


@fault(
    "smsc",
    "holds a dropped session's bind for some seconds: ESME_RALYBND",
    settings=_with({"stale_bind_s": 3.0, "max_binds": 1}),
)
async def smsc_stale_session(lab: Lab) -> None:
    await lab.send()
    await lab.under_way(0.3)
    lab.proxy.drop()


@fault("smsc", "responses after our patience", settings=_with(late_share=0.02, late_ms=6000), settles=True)
async def smsc_late_responses(lab: Lab) -> None:
    await _all(lab)


@fault("smsc", "accepts and never answers", settings=_with(silent_share=0.01))
async def smsc_silent(lab: Lab) -> None:
    await _all(lab)


@fault("smsc", "says how congested it is (SMPP 5.0)", settings=_with(tps=2000, congestion=101), doubts=False)
async def smsc_congestion(lab: Lab) -> None:
    await _all(lab)


@fault("smsc", "rejects what lacks a TLV", settings=_with(required_tlv=0x1400), doubts=False)
async def smsc_required_tlv(lab: Lab) -> None:
    await lab.send(options=schema.MessageOptions(dlt_pe_id=DLT_PE_ID, dlt_template_id=DLT_TEMPLATE_ID))
