"""Reading what an SMSC sends, a response and a receipt a message: C against its Python twin and smpplib."""

import struct

from smpplib.client import Client
from smpplib.smpp import parse_pdu

from bench.measure import Round, Size, peak_rss_bytes, side_by_side, timed
from bench.report import Result, compared
from bench.scenarios.messages import encoder, fast, messages
from bench.simulators.smsc.behaviour import Behaviour
from bench.simulators.smsc.pure.carrier import Carrier

READ_BYTES = 256 * 1024  # what one wake-up of the event loop brings
NOW_US = 1_700_000_000_000_000


def run(size: Size) -> Result:
    count = size.units(default=400_000, quick=20_000)
    slow = max(2, count // 100)
    stream = peer_stream(2_000)
    pdus = cut(stream)

    def ours(pure: bool, count: int) -> Round:
        pdu, receipts = fast("pdu", pure=pure), fast("receipts", pure=pure)
        reads = [stream[start : start + READ_BYTES] for start in range(0, len(stream), READ_BYTES)]

        def work() -> int:
            parser, done = pdu.StreamParser(), 0
            while done < count:
                for read in reads:
                    parsed = parser.feed(read)
                    got = receipts.parse(parsed.data, parsed.deliver_start, parsed.deliver_end)
                    done += len(parsed.resp_sequence) + int(got.count)
            return done

        return timed(work)

    def smpplib_() -> Round:
        client = Client("127.0.0.1", 0, allow_unknown_opt_params=True)
        some = (pdus * (slow // len(pdus) + 1))[:slow]

        def work() -> int:
            for one in some:
                parse_pdu(one, client=client, allow_unknown_opt_params=True)
            return len(some)

        return timed(work)

    comparison = side_by_side(
        {"c": lambda: ours(False, count), "python twin": lambda: ours(True, slow), "smpplib": smpplib_},
        size.repeats,
    )
    parameters = {"pdus": count, "read_bytes": READ_BYTES, "slow_pdus": slow, "repeats": size.repeats}
    return compared("parse", "PDU", parameters, comparison, peak_rss_bytes())


def peer_stream(count: int) -> bytes:
    """What the simulated SMSC says to `count` messages: a response and a receipt each."""
    carrier = Carrier(Behaviour(receipt_window=count).plan(), NOW_US)
    session = carrier.connect()
    carrier.bind(session, 0, True, True)
    rows = messages(count)
    batch = encoder(pure=True).encode(rows.msisdn, rows.columns, rows.rows, 0, 1, 1)
    carrier.receive(session, bytes(batch.pdus), 0, NOW_US)
    carrier.advance(NOW_US)
    return carrier.output(session)


def cut(stream: bytes) -> list[bytes]:
    pdus, start = [], 0
    while start < len(stream):
        (length,) = struct.unpack_from(">I", stream, start)
        pdus.append(stream[start : start + length])
        start += length
    return pdus
