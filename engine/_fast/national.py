"""The national language tables of GSM 7-bit: 3GPP TS 23.038, A.2 (single shift) and A.3 (locking shift).

A table is a base with what differs from it, `septet:first[-last]` in hex: characters that follow each other
from that septet on. Checked against three transcriptions of the specification (releases 9, 16 and 18); where
they differ, what two of them say.
"""

from engine._fast.alphabet import BASIC, ESCAPE, EXTENSION

# National Language Identifiers, TS 23.038 §6.2.1.2.4.
IDENTIFIERS = {
    "turkish": 1,
    "spanish": 2,
    "portuguese": 3,
    "bengali": 4,
    "gujarati": 5,
    "hindi": 6,
    "kannada": 7,
    "malayalam": 8,
    "oriya": 9,
    "punjabi": 10,
    "tamil": 11,
    "telugu": 12,
    "urdu": 13,
}
_LATIN = ("turkish", "spanish", "portuguese")

_LOCKING = {
    "turkish": "04:20AC 07:0131 0B:011E-011F 1C:015E-015F 40:0130 60:00E7",
    "portuguese": (
        "04:00EA 06:00FA 07:00ED 08:00F3 09:00E7 0B:00D4 0C:00F4 0E:00C1 0F:00E1 12:00AA 13:00C7 "
        "14:00C0 15:221E 16:005E 17:005C 18:20AC 19:00D3 1A:007C 1C:00C2 1D:00E2 1E:00CA 24:00BA "
        "40:00CD 5B:00C3 5C:00D5 5D:00DA 60:007E 7B:00E3 7C:00F5 7D:0060"
    ),
    "bengali": (
        "00:0981-0983 03:0985-098B 0B:098C 0F:098F-0990 13:0993-099A 1C:099B-099E 22:099F-09A4 "
        "2A:09A5-09A6 2D:09A7 2F:09A8 3D:09AA-09AB 40:09AC-09B0 46:09B2 4A:09B6-09B9 4E:09BC-09C4 "
        "59:09C7-09C8 5D:09CB-09CE 7B:09D7 7C:09DC-09DD 7E:09F0-09F1"
    ),
    "gujarati": (
        "00:0A81-0A83 03:0A85-0A8B 0B:0A8C-0A8D 0F:0A8F-0A91 13:0A93-0A9A 1C:0A9B-0A9E "
        "22:0A9F-0AA4 2A:0AA5-0AA6 2D:0AA7 2F:0AA8 3D:0AAA-0AAB 40:0AAC-0AB0 46:0AB2-0AB3 "
        "49:0AB5-0AB9 4E:0ABC-0AC5 59:0AC7-0AC9 5D:0ACB-0ACD 60:0AD0 7B:0AE0-0AE3 7F:0AF1"
    ),
    "hindi": (
        "00:0901-0903 03:0905-090B 0B:090C-090D 0E:090E-091A 1C:091B-091E 22:091F-0924 "
        "2A:0925-0926 2D:0927 2F:0928 3C:0929-092B 40:092C-0939 4E:093C-094D 60:0950 7B:0972 "
        "7C:097B-097C 7E:097E-097F"
    ),
    "kannada": (
        "01:0C82-0C83 03:0C85-0C8B 0B:0C8C 0E:0C8E-0C90 12:0C92-0C9A 1C:0C9B-0C9E 22:0C9F-0CA0 "
        "24:0CAA 25:0CA2-0CA4 2A:0CA5-0CA6 2D:0CA7 2F:0CA8 3D:0CAA-0CAB 40:0CAC-0CB3 49:0CB5-0CB9 "
        "4E:0CBC-0CC4 58:0CC6-0CC8 5C:0CCA-0CCD 60:0CD5 7B:0CD6 7C:0CE0-0CE3"
    ),
    "malayalam": (
        "01:0D02-0D03 03:0D05-0D0B 0B:0D0C 0E:0D0E-0D10 12:0D12-0D1A 1C:0D1B-0D1E 22:0D1F-0D24 "
        "2A:0D25-0D26 2D:0D27 2F:0D28 3D:0D2A-0D2B 40:0D2C-0D39 4F:0D3D-0D44 58:0D46-0D48 "
        "5C:0D4A-0D4D 60:0D57 7B:0D60-0D63 7F:0D79"
    ),
    "oriya": (
        "00:0B01-0B03 03:0B05-0B0B 0B:0B0C 0F:0B0F-0B10 13:0B13-0B1A 1C:0B1B-0B1E 22:0B1F-0B24 "
        "2A:0B25-0B26 2D:0B27 2F:0B28 3D:0B2A-0B2B 40:0B2C-0B30 46:0B32-0B33 49:0B35-0B39 "
        "4E:0B3C-0B44 59:0B47-0B48 5D:0B4B-0B4D 60:0B56 7B:0B57 7C:0B60-0B63"
    ),
    "punjabi": (
        "00:0A01-0A03 03:0A05-0A0A 0F:0A0F-0A10 13:0A13-0A1A 1C:0A1B-0A1E 22:0A1F-0A24 "
        "2A:0A25-0A26 2D:0A27 2F:0A28 3D:0A2A-0A2B 40:0A2C-0A30 46:0A32-0A33 49:0A35-0A36 "
        "4C:0A38-0A39 4E:0A3C 50:0A3E-0A42 59:0A47-0A48 5D:0A4B-0A4D 60:0A51 7B:0A70-0A74"
    ),
    "tamil": (
        "01:0B82-0B83 03:0B85-0B8A 0E:0B8E-0B90 12:0B92-0B95 19:0B99-0B9A 1D:0B9C 1F:0B9E 22:0B9F "
        "26:0BA3-0BA4 2F:0BA8 3C:0BA9-0BAA 42:0BAE-0BB9 50:0BBE-0BC2 58:0BC6-0BC8 5C:0BCA-0BCD "
        "60:0BD0 7B:0BD7 7C:0BF0-0BF2 7F:0BF9"
    ),
    "telugu": (
        "00:0C01-0C03 03:0C05-0C0B 0B:0C0C 0E:0C0E-0C10 12:0C12-0C1A 1C:0C1B-0C1E 22:0C1F-0C24 "
        "2A:0C25-0C26 2D:0C27 2F:0C28 3D:0C2A-0C2B 40:0C2C-0C33 49:0C35-0C39 4F:0C3D-0C44 "
        "58:0C46-0C48 5C:0C4A-0C4D 60:0C55 7B:0C56 7C:0C60-0C63"
    ),
    "urdu": (
        "00:0627 01:0622 02:0628 03:067B 04:0680 05:067E 06:06A6 07:062A 08:06C2 09:067F 0B:0679 "
        "0C:067D 0E:067A 0F:067C 10:062B-062C 12:0681 13:0684 14:0683 15:0685-0687 18:062D-062F "
        "1C:068C 1D:0688-068A 22:068F 23:068D 24:0630-0631 26:0691 27:0693 2A:0699 2B:0632 "
        "2D:0696 2F:0698 3C:069A 3D:0633-0634 40:0635-0639 45:0641-0642 47:06A9-06AB 4A:06AF "
        "4B:06B3 4C:06B1 4D:0644-0646 50:06BA-06BC 53:0648 54:06C4 55:06D5 56:06C1 57:06BE "
        "58:0621 59:06CC 5A:06D0 5B:06D2 5C:064D 5D:0650 5E:064F 5F:0657 60:0654 7B:0655 7C:0651 "
        "7D:0653 7E:0656 7F:0670"
    ),
}

_SHIFT = {
    "turkish": "47:011E 49:0130 53:015E 63:00E7 67:011F 69:0131 73:015F",
    "spanish": "09:00E7 41:00C1 49:00CD 4F:00D3 55:00DA 61:00E1 69:00ED 6F:00F3 75:00FA",
    "portuguese": (
        "05:00EA 09:00E7 0B:00D4 0C:00F4 0E:00C1 0F:00E1 12:03A6 13:0393 15:03A9 16:03A0 17:03A8 "
        "18:03A3 19:0398 1F:00CA 41:00C0 49:00CD 4F:00D3 55:00DA 5B:00C3 5C:00D5 61:00C2 69:00ED "
        "6F:00F3 75:00FA 7B:00E3 7C:00F5 7F:00E2"
    ),
    "bengali": "19:09E6-09E7 1C:09E8-09EF 24:09DF-09E2 2A:09E3 2B:09F2-09F5 30:09F6-09FA",
    "gujarati": "19:0964-0965 1C:0AE6-0AEF",
    "hindi": ("19:0964-0965 1C:0966-096F 26:0951-0952 2A:0953-0954 2C:0958-095A 30:095B-0963 39:0970-0971"),
    "kannada": "19:0964-0965 1C:0CE6-0CEF 26:0CDE 27:0CF1 2A:0CF2",
    "malayalam": "19:0964-0965 1C:0D66-0D71 2A:0D72-0D75 2E:0D7A 30:0D7B-0D7F",
    "oriya": "19:0964-0965 1C:0B66-0B6F 26:0B5C-0B5D 2A:0B5F 2B:0B70-0B71",
    "punjabi": "19:0964-0965 1C:0A66-0A6F 26:0A59-0A5A 2A:0A5B-0A5C 2C:0A5E 2D:0A75",
    "tamil": "19:0964-0965 1C:0BE6-0BEF 26:0BF3-0BF4 2A:0BF5-0BF8 2E:0BFA",
    "telugu": "1C:0C66-0C6F 26:0C58-0C59 2A:0C78-0C7C 30:0C7D-0C7F",
    "urdu": (
        "19:0600-0601 1C:06F0-06F9 26:060C-060D 2A:060E-0612 30:0613-0614 32:061B 33:061F 34:0640 "
        "35:0652 36:0658 37:066B-066C 39:0672-0673 3B:06CD 3F:06D4"
    ),
}

_INDIC_LOCKING = (
    "0A:000A 0D:000D 20:0020-0021 28:0029 29:0028 2C:002C 2E:002E 30:0030-003B 3F:003F 61:0061-007A"
)
_INDIC_SHIFT = (
    "00:0040 01:00A3 02:0024 03:00A5 04:00BF 05:0022 06:00A4 07:0025-0027 0B:002A-002B 0E:002D 0F:002F "
    "10:003C-003E 13:00A1 15:00A1 16:005F 17:0023 18:002A 41:0041-005A"
)


def _read(table: str) -> dict[int, str]:
    """Septet -> character."""
    found = {}
    for run in table.split():
        septet, _, characters = run.partition(":")
        first, _, last = characters.partition("-")
        for i in range(int(last or first, 16) - int(first, 16) + 1):
            found[int(septet, 16) + i] = chr(int(first, 16) + i)
    return found


def _locking(language: str) -> dict[int, str]:
    basic = {septet: character for septet, character in enumerate(BASIC) if septet != ESCAPE}
    return (basic if language in _LATIN else _read(_INDIC_LOCKING)) | _read(_LOCKING[language])


def _shift(language: str) -> dict[int, str]:
    extension = {septet: character for character, septet in EXTENSION.items()}
    return extension | _read("" if language in _LATIN else _INDIC_SHIFT) | _read(_SHIFT[language])


# language -> septet -> character
LOCKING: dict[str, dict[int, str]] = {language: _locking(language) for language in _LOCKING}
SHIFT: dict[str, dict[int, str]] = {language: _shift(language) for language in _SHIFT}
