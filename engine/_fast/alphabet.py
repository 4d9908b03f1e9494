"""The GSM 7-bit default alphabet and its extension table (3GPP TS 23.038 §6.2.1)."""

ESCAPE = 0x1B

# Position is the septet; the escape itself (0x1B) stands for no character.
BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\0ÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)

# Characters that take two septets: the escape, then this one.
EXTENSION = {
    "\f": 0x0A,
    "^": 0x14,
    "{": 0x28,
    "}": 0x29,
    "\\": 0x2F,
    "[": 0x3C,
    "~": 0x3D,
    "]": 0x3E,
    "|": 0x40,
    "€": 0x65,
}

# Every character of the alphabet as the octets it takes in an unpacked short_message.
GSM: dict[str, bytes] = {
    **{character: bytes([septet]) for septet, character in enumerate(BASIC) if septet != ESCAPE},
    **{character: bytes([ESCAPE, septet]) for character, septet in EXTENSION.items()},
}

assert len(BASIC) == 128
assert len(GSM) == 137
