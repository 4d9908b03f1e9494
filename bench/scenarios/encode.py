"""submit_sm encoding with per-recipient text: C against its Python twin and smpplib."""

from typing import Any

from smpplib import consts, gsm
from smpplib.client import Client
from smpplib.smpp import make_pdu

from bench.measure import Round, Size, peak_rss_bytes, side_by_side, timed
from bench.report import Result, compared
from bench.scenarios.messages import SENDER, encoder, messages, rendered

BATCH_ROWS = 4096


def run(size: Size) -> Result:
    count = size.units(default=400_000, quick=20_000)
    slow = max(1, count // 100)
    rows = messages(BATCH_ROWS)

    def ours(pure: bool, count: int) -> Round:
        one = encoder(pure=pure)

        def work() -> int:
            done = 0
            while done < count:
                batch = one.encode(rows.msisdn, rows.columns, rows.rows, done, 1, 1)
                done += int(batch.count)
            return done

        return timed(work)

    def smpplib_() -> Round:
        client = Client("127.0.0.1", 0)
        pairs = rendered(0, slow)
        return timed(lambda: sum(len(encode_with_smpplib(client, *pair)) for pair in pairs))

    comparison = side_by_side(
        {"c": lambda: ours(False, count), "python twin": lambda: ours(True, slow), "smpplib": smpplib_},
        size.repeats,
    )
    parameters = {"messages": count, "batch_rows": BATCH_ROWS, "slow_messages": slow, "repeats": size.repeats}
    return compared("encode", "submit_sm", parameters, comparison, peak_rss_bytes())


def encode_with_smpplib(client: Client, number: str, text: str) -> list[bytes]:
    """A message's submit_sm PDUs, as its documentation makes them."""
    return [make_pdu("submit_sm", client=client, **fields).generate() for fields in _fields(number, text)]


def send_with_smpplib(client: Client, number: str, text: str) -> None:
    """The same, written to the client's connection."""
    for fields in _fields(number, text):
        client.send_message(**fields)


def _fields(number: str, text: str) -> list[dict[str, Any]]:
    parts, encoding_flag, msg_type_flag = gsm.make_parts(text)
    return [
        {
            "source_addr_ton": consts.SMPP_TON_ALNUM,
            "source_addr": SENDER.decode(),
            "dest_addr_ton": consts.SMPP_TON_INTL,
            "dest_addr_npi": consts.SMPP_NPI_ISDN,
            "destination_addr": number,
            "short_message": part,
            "data_coding": encoding_flag,
            "esm_class": msg_type_flag,
            "registered_delivery": True,
        }
        for part in parts
    ]
