"""What is new in a campaign: against its author's last approved one."""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

Kind = Literal["same", "gone", "new"]
WORD = re.compile(r"\{\{.*?\}\}|\w+|\s+|.", re.DOTALL)
MOST_PAIRS = 4_000_000  # of words; longer texts are shown one after the other


@dataclass(frozen=True)
class Piece:
    kind: Kind
    text: str


def text_difference(before: str, after: str) -> list[Piece]:
    """The two texts as one, word by word; a `{{variable}}` is one word. Without the gone ones it is `after`,
    without the new ones `before`."""
    if before == after:
        return [Piece("same", after)] if after else []
    old, new = WORD.findall(before), WORD.findall(after)
    if len(old) * len(new) > MOST_PAIRS:
        return [Piece("gone", before), Piece("new", after)]
    pieces = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", "".join(new[j1:j2])))
        else:
            pieces += [Piece("gone", "".join(old[i1:i2])), Piece("new", "".join(new[j1:j2]))]
    return [piece for piece in pieces if piece.text]
