"""A handset for tests: reads submit_sm back into text by the specification alone, sharing no code with the
encoder but the national tables themselves."""

from engine._fast.alphabet import BASIC, EXTENSION
from engine._fast.national import IDENTIFIERS, LOCKING, SHIFT
from engine.smpp import codec

LANGUAGES = {number: language for language, number in IDENTIFIERS.items()}


def read(pdus: list[codec.Pdu], *, default_alphabet: str) -> str:
    """The text of one message from its parts, in any order."""
    pieces: dict[int, str] = {}
    for pdu in pdus:
        tlvs = dict(pdu.tlvs)
        octets = tlvs.get(0x0424, pdu.octets("short_message"))
        assert 0x0424 not in tlvs or pdu.octets("short_message") == b""
        header, number, total = b"", 1, 1
        languages = {0x24: "", 0x25: ""}
        if pdu.integer("esm_class") & 0x40:
            assert 0x020C not in tlvs
            header, octets = octets[: octets[0] + 1], octets[octets[0] + 1 :]
            rest = header[1:]
            while rest:
                kind, data, rest = rest[0], rest[2 : 2 + rest[1]], rest[2 + rest[1] :]
                if kind in (0x00, 0x08):
                    total, number = data[-2], data[-1]
                else:
                    languages[kind] = LANGUAGES[data[0]]
        elif 0x020C in tlvs:
            total, number = tlvs[0x020E][0], tlvs[0x020F][0]
        assert total == len(pdus)
        coding = pdu.integer("data_coding")
        if coding in (8, 0x18):
            assert len(octets) + len(header) <= 140 or 0x0424 in tlvs
            pieces[number] = octets.decode("utf-16-be")
        elif coding == 3 or default_alphabet in ("ia5", "latin1"):
            pieces[number] = octets.decode("latin-1")
        else:
            septets = list(octets)
            if default_alphabet == "gsm_packed":
                septets = _unpacked(octets, len(header))
            pieces[number] = _text(septets, languages[0x25], languages[0x24])
    return "".join(pieces[number] for number in sorted(pieces))


def _unpacked(octets: bytes, header: int) -> list[int]:
    """Septets of a bit string, lowest bit first, after the fill bits that follow the header."""
    bits = "".join(f"{octet:08b}"[::-1] for octet in octets)
    fill = 0
    while (8 * header + fill) % 7:
        fill += 1
    septets = [int(bits[i : i + 7][::-1], 2) for i in range(fill, len(bits) - 6, 7)]
    filled = (len(bits) - fill) % 7 == 0 and septets[-1:] == [0x0D]
    return septets[:-1] if filled else septets


def _text(septets: list[int], locking: str, shift: str) -> str:
    basic = LOCKING[locking] if locking else dict(enumerate(BASIC))
    second = SHIFT[shift] if shift else {septet: character for character, septet in EXTENSION.items()}
    found, at = "", 0
    while at < len(septets):
        if septets[at] == 0x1B:
            found += second[septets[at + 1]]
            at += 2
        else:
            found += basic[septets[at]]
            at += 1
    return found
