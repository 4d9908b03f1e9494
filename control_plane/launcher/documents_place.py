"""Where the documents of a data folder live, noted in it: they are never looked for in a second place.

Without the note, a start that forgets `--documents` would begin with an empty document store beside a full
ledger, and a backup would hold no documents.
"""

import os
from pathlib import Path

from control_plane.documents.choice import kind

VARIABLE = "HELIOGRAPH_CONTROL_DOCUMENTS_DSN"
FILE = "documents_in"
EMBEDDED, POSTGRESQL, MONGODB = "embedded", "postgresql", "mongodb"
NAMES = {
    EMBEDDED: "the PostgreSQL of this folder",
    POSTGRESQL: "another PostgreSQL",
    MONGODB: "MongoDB",
}


class ElsewhereError(Exception):
    """The documents live in another place than the one that is named; one line for a person."""


def of(url: str | None) -> str:
    """The place a URL names; no URL names the embedded PostgreSQL. ValueError where it names no store."""
    if not url:
        return EMBEDDED
    return MONGODB if kind(url) == "MongoDB" else POSTGRESQL


def noted(data: Path) -> str | None:
    """The place of a folder's documents; None where there are none yet."""
    if not os.path.exists(data / "control_plane"):  # made when the documents have been reached
        return None
    try:
        found = (data / FILE).read_text("ascii").strip()
    except FileNotFoundError:  # of a release that knew no other place
        return EMBEDDED
    return found if found in NAMES else None


def note(data: Path, url: str | None) -> None:
    fresh = data / f"{FILE}.new"
    fresh.write_text(f"{of(url)}\n", "ascii")
    fresh.replace(data / FILE)


def check(data: Path, url: str | None) -> None:
    """Raises ElsewhereError where the folder's documents live elsewhere than in `url`."""
    was, named = noted(data), of(url)
    if was is None or was == named:
        return
    if was == EMBEDDED:
        raise ElsewhereError(
            f"the documents of {data} live in {NAMES[was]}, and nothing moves them: leave --documents "
            f"({VARIABLE}) out, or choose another folder with --data"
        )
    raise ElsewhereError(
        f"the documents of {data} live in {NAMES[was]}: name it with --documents or in {VARIABLE}"
    )
