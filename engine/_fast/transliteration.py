"""What stands for a character that the channel's alphabet lacks, where the campaign lets us transliterate.

Letters lose the marks that GSM has no letter for, quotation marks and dashes become plain, Greek goes to the
capitals GSM has, Cyrillic to Latin letters (ICAO Doc 9303). What is not here is left to UCS-2: nothing
visible is dropped, and nothing becomes a question mark.
"""

import unicodedata

from engine._fast.alphabet import GSM

_LETTERS = {
    "Đ": "D", "đ": "d", "Ħ": "H", "ħ": "h", "ı": "i", "Ĳ": "IJ", "ĳ": "ij", "ĸ": "k", "Ł": "L", "ł": "l",
    "Ŋ": "N", "ŋ": "n", "Œ": "OE", "œ": "oe", "Ŧ": "T", "ŧ": "t", "ſ": "s", "Ð": "D", "ð": "d", "Þ": "TH",
    "þ": "th", "ẞ": "SS", "Ə": "A", "ə": "a", "Ɓ": "B", "Ɗ": "D", "Ƙ": "K", "ƙ": "k", "ɓ": "b", "ɗ": "d",
}  # fmt: skip
_SIGNS = {
    "‘": "'", "’": "'", "‚": "'", "‛": "'", "′": "'", "´": "'", "`": "'", "ʼ": "'", "ʻ": "'", "‹": "<",
    "›": ">", "“": '"', "”": '"', "„": '"', "‟": '"', "″": '"', "«": '"', "»": '"', "‐": "-", "‑": "-",
    "‒": "-", "–": "-", "—": "-", "―": "-", "−": "-", "•": "*", "·": ".", "…": "...", "\t": " ", "©": "(C)",
    "®": "(R)", "™": "(TM)", "×": "x", "÷": "/", "№": "No", "¦": "|", "¬": "-", "¢": "c", "₹": "Rs",
    "₽": "RUB", "₺": "TL", "₦": "NGN", "₴": "UAH", "°": "o", "ª": "a", "º": "o", "\u00ad": "", "\u200b": "",
    "\u200c": "", "\u200d": "", "\u2060": "", "\ufeff": "", "\u2028": "\n", "\u2029": "\n",
}  # fmt: skip
_GREEK = dict(
    zip(
        "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαβγδεζηθικλμνξοπρσςτυφχψω",
        "ABEZHIKMNOPTYXABΓΔEZHΘIKΛMNΞOΠPΣΣTYΦXΨΩ",
        strict=True,
    )
)
_CYRILLIC = {
    "А": "A", "Б": "B", "В": "V", "Г": "G", "Д": "D", "Е": "E", "Ё": "E", "Ж": "ZH", "З": "Z", "И": "I",
    "Й": "I", "К": "K", "Л": "L", "М": "M", "Н": "N", "О": "O", "П": "P", "Р": "R", "С": "S", "Т": "T",
    "У": "U", "Ф": "F", "Х": "KH", "Ц": "TS", "Ч": "CH", "Ш": "SH", "Щ": "SHCH", "Ъ": "IE", "Ы": "Y",
    "Ь": "", "Э": "E", "Ю": "IU", "Я": "IA", "І": "I", "Ї": "I", "Є": "IE", "Ґ": "G", "Ў": "U", "Ј": "J",
    "Љ": "LJ", "Њ": "NJ", "Ћ": "C", "Ђ": "D", "Џ": "DZ", "Ѓ": "G", "Ќ": "K", "Ѕ": "DZ",
}  # fmt: skip
_DECOMPOSED = (
    range(0xA0, 0x250),  # Latin-1, Latin Extended-A and B
    range(0x386, 0x3D0),  # Greek with marks
    range(0x1E00, 0x2000),  # Latin Extended Additional, Greek Extended
    range(0x2000, 0x2070),  # spaces
    range(0x2070, 0x20A0),  # superscripts, subscripts
    range(0x2150, 0x2190),  # fractions, Roman numerals
    range(0xFB00, 0xFB07),  # ligatures
    range(0xFF01, 0xFF5F),  # full width
    range(0x300, 0x370),  # marks of their own
)


def _plain(character: str, known: dict[str, str]) -> str | None:
    """A character without its marks, in GSM; None where that is not enough."""
    found = []
    for piece in unicodedata.normalize("NFKD", character):
        if unicodedata.combining(piece):
            continue
        piece = "/" if piece == "⁄" else piece
        written = piece if piece in GSM else known.get(piece)
        if written is None:
            return None
        found.append(written)
    return "".join(found)


def _table() -> dict[str, str]:
    lower = {upper.lower(): latin.lower() for upper, latin in _CYRILLIC.items()}
    upper = {letter: latin[:1] + latin[1:].lower() for letter, latin in _CYRILLIC.items()}
    known = _LETTERS | _SIGNS | _GREEK | upper | lower
    decomposed = {}
    for codes in _DECOMPOSED:
        for code in codes:
            character = chr(code)
            written = None if character in GSM or character in known else _plain(character, known)
            if written is not None and (written or unicodedata.combining(character)):
                decomposed[character] = written
    return {character: text for character, text in (decomposed | known).items() if character not in GSM}


# character outside GSM -> text in GSM, perhaps empty
TRANSLITERATION: dict[str, str] = _table()
