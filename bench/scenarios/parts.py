"""Messages of several parts over TCP with their receipts: PDUs a second, to those of one part."""

from bench.measure import Size, peak_rss_bytes, side_by_side
from bench.report import Result, Target, compared
from bench.scenarios.messages import TEXT, messages
from bench.scenarios.submit import BATCH_ROWS, SLICES, WINDOW, SinkKind, our_round, smsc_of

OF_SINGLE = 0.5
MOST_PARTS = 10

_FILLER = "It can be collected at any of our branches, every day from nine in the morning to eight at night. "
GSM_TEXT = (TEXT + " " + _FILLER * 3)[:290]  # with the name: 300 characters or so, two parts
EMOJI_TEXT = ("📦 " + TEXT + " 😀 " + _FILLER * 3)[:290]  # the same in UCS-2: five parts


def run(size: Size, sink_kind: SinkKind = "c") -> Result:
    count = size.units(default=600_000, quick=10_000)
    kinds = {
        "one part": messages(BATCH_ROWS),
        "gsm, 300 characters": messages(BATCH_ROWS, text=GSM_TEXT, most_parts=MOST_PARTS),
        "ucs-2 with emoji, 300 characters": messages(BATCH_ROWS, text=EMOJI_TEXT, most_parts=MOST_PARTS),
    }
    fewer = {"one part": 1, "gsm, 300 characters": 2, "ucs-2 with emoji, 300 characters": 5}
    with smsc_of(sink_kind, 0.0) as port:
        comparison = side_by_side(
            {
                name: lambda rows=rows, share=fewer[name]: our_round(port, count // share, rows)  # type: ignore[misc]
                for name, rows in kinds.items()
            },
            size.repeats,
            warm=not size.quick,
            slices=1 if size.quick else SLICES,
        )
    ratios = {f"{name}/one part": comparison.ratio(name, "one part") for name in list(kinds)[1:]}
    parameters = {
        "pdus": count,
        "window": WINDOW,
        "parts": {name: comparison.rounds[name][0].units / (count // fewer[name]) for name in kinds},
        "sink": sink_kind,
        "repeats": size.repeats,
        "slices": 1 if size.quick else SLICES,
    }
    return compared(
        "parts",
        "PDU",
        parameters,
        comparison,
        peak_rss_bytes(),
        cost={"cpu_us": comparison.cpu_us},
        targets=[Target(name=name, ratio=spread.median, target=OF_SINGLE) for name, spread in ratios.items()],
        parts_to_one={name: round(spread.median, 3) for name, spread in ratios.items()},
    )
