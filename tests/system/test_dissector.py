"""An independent SMPP dissector (tshark) reads what we put on the wire, and agrees with the ledger."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from smpplib.gsm import GSM_CHARACTER_TABLE

from bench.stack import Stack

pytestmark = [pytest.mark.system, pytest.mark.slow]

NAMES = ["Ana", "Zoë", "Łukasz", "Ñandú", "Иван", "Måns {kurs}", "😀 Eve"]
LONG = "Hello {{name}}! " + "Your parcel waits at the counter until Friday evening. " * 3
PEOPLE = 210


@contextmanager
def capture(port: int, file: Path) -> Iterator[None]:
    """Record the loopback traffic of one TCP port; everything sent inside the block is in the file."""
    recorder = subprocess.Popen(
        ["tshark", "-i", "lo", "-f", f"tcp port {port}", "-w", str(file), "-q"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert recorder.stderr is not None
    for line in recorder.stderr:
        if "Capturing on" in line:
            break
    else:
        raise AssertionError("tshark did not start to capture")
    try:
        yield
    finally:
        _wait_until_quiet(file)
        recorder.send_signal(signal.SIGINT)
        recorder.communicate(timeout=30)


def _wait_until_quiet(file: Path) -> None:
    """The capture is written behind the traffic: wait until it stops growing."""
    size = -1
    while size != (size := file.stat().st_size):
        time.sleep(1.0)


@dataclass(frozen=True)
class Submit:
    """One submit_sm as the dissector read it."""

    destination: str
    parts: int
    part: int
    text: str


def dissect(file: Path, port: int, display_filter: str, *fields: str) -> list[list[str]]:
    """The fields of every PDU in the frames that match, frame after frame: one list a field."""
    command = ["tshark", "-r", str(file), "-d", f"tcp.port=={port},smpp", "-Y", display_filter]
    command += ["-T", "fields", "-E", "occurrence=a", "-E", "aggregator=|"]
    for name in fields:
        command += ["-e", name]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    # It writes characters beyond the first plane as two surrogates, each in UTF-8.
    out = raw.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16")
    columns: list[list[str]] = [[] for _ in fields]
    for line in out.split("\n")[:-1]:
        for column, values in zip(columns, line.split("\t"), strict=True):
            column += values.split("|") if values else []
    return columns


def submits(file: Path, port: int) -> list[Submit]:
    """Every submit_sm of the capture; each has a part header in this story."""
    destinations, codings, messages, texts, parts, part = dissect(
        file,
        port,
        f"smpp.command_id == 4 && tcp.dstport == {port}",
        "smpp.destination_addr",
        "smpp.data_coding",
        "smpp.message",
        "smpp.message_text",
        "gsm_sms.udh.mm.msg_parts",
        "gsm_sms.udh.mm.msg_part",
    )
    ucs2 = iter(texts)  # the dissector spells out UCS-2; the SMSC's default alphabet it leaves as octets
    return [
        Submit(destination, int(of), int(number), next(ucs2) if coding == "0x08" else from_gsm(octets))
        for destination, coding, octets, of, number in zip(
            destinations, codings, messages, parts, part, strict=True
        )
    ]


def from_gsm(octets: str) -> str:
    """GSM 03.38 by another author's tables, behind a user data header."""
    message = bytes.fromhex(octets)
    text, escaped = "", False
    for septet in message[message[0] + 1 :]:
        if septet == 0x1B:
            escaped = True
            continue
        text += GSM_CHARACTER_TABLE[septet + 128 * escaped]
        escaped = False
    return text


def test_the_dissector_counts_what_the_ledger_counts(stack: Stack, people: Any, tmp_path: Path) -> None:
    numbers = [f"4915100{i:06d}" for i in range(PEOPLE)]
    names = [NAMES[i % len(NAMES)] for i in range(PEOPLE)]
    file = tmp_path / "people.csv"
    file.write_text(
        "number,name\n" + "".join(f"{n},{name}\n" for n, name in zip(numbers, names, strict=True))
    )
    trace, port = tmp_path / "trace.pcapng", stack.ready["smpp"]
    with capture(port, trace):
        campaign = people.author.create_campaign("For the dissector", LONG)
        people.author.upload(campaign, file.name, file.stat().st_size, iter([file.read_bytes()]))
        people.author.submit(campaign)
        people.moderator.approve(campaign)
        for _status in people.author.watch(campaign, time.monotonic() + 60):
            pass
        equation = people.author.equation(campaign, Path(stack.ready["data"]), stack.ready["core_api"])
    assert equation["balanced"], equation["first_difference"]

    assert dissect(trace, port, "_ws.malformed", "frame.number") == [[]]
    seen = submits(trace, port)
    assert len(seen) == equation["counted"]["parts"] == equation["counted"]["submissions"]
    texts: dict[str, dict[int, str]] = {}
    for submit in seen:
        assert submit.part not in texts.setdefault(submit.destination, {}), "a part went out twice"
        texts[submit.destination][submit.part] = submit.text
    assert all(len(texts[submit.destination]) == submit.parts for submit in seen)
    whole = {number: "".join(text for _, text in sorted(parts.items())) for number, parts in texts.items()}
    assert whole == {
        number: LONG.replace("{{name}}", name) for number, name in zip(numbers, names, strict=True)
    }
