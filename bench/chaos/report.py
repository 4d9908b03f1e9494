"""The table of docs/reliability.md, written from what was played."""

from pathlib import Path
from typing import Any

from bench.chaos.fault import table
from bench.chaos.run import Played

BEGIN, END = "<!-- table of `heliograph chaos` -->", "<!-- end of the table -->"
STORM = ""  # the key of the row that is of no fault
HEAD = (
    "| fault | what is done | seed | messages | crashes | lost | duplicates (bound) | in doubt "
    "| receipts lost | balanced |"
)


def write_report(path: Path, outcome: dict[str, Any], played: list[Played]) -> None:
    """Writes the table between its two marks; a file without them gets it at its end. Rows of faults that
    were not played this time stay, those of faults there are no more go."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    before, block, after = text.rstrip() + "\n\n", "", "\n"
    if BEGIN in text and END in text:
        before, rest = text.split(BEGIN, 1)
        block, after = rest.split(END, 1)
    rows = _rows(block) | _played(outcome, played)
    ordered = [rows[name] for name in (STORM, *table()) if name in rows]
    lines = [BEGIN, "", HEAD, "|" + "---|" * (HEAD.count("|") - 1), *ordered, "", END]
    path.write_text(before + "\n".join(lines) + after, encoding="utf-8")


def _rows(block: str) -> dict[str, str]:
    """A table's rows by what they are of."""
    lines = [line for line in block.splitlines() if line.startswith("| ") and line != HEAD]
    named = ((line.split("|")[1].strip(), line) for line in lines)
    return {name.strip("`") if name.startswith("`") else STORM: line for name, line in named}


def _played(outcome: dict[str, Any], played: list[Played]) -> dict[str, str]:
    rows: dict[str, str] = {}
    storm = outcome.get("storm") or (outcome if not played else None)
    if storm:
        what = ", ".join(f"{count} x {name}" for name, count in sorted(storm["killed"].items()))
        rows[STORM] = _row(f"{storm['kills']} kills", what, storm, storm["recipients"], storm["kills"])
    summaries = table()
    for one in played:
        if one.not_played:
            rows[one.name] = f"| `{one.name}` | not played: {one.not_played} |" + " |" * 8
        else:
            summary = summaries[one.name].summary
            rows[one.name] = _row(f"`{one.name}`", summary, one.as_dict(), one.recipients, one.crashes)
    return rows


def _row(name: str, what: str, of: dict[str, Any], recipients: int, crashes: int) -> str:
    doubled = f"{of['duplicates']} ({of['duplicate_bound']})"
    balanced = "yes" if of["balanced"] else "NO"
    cells = (name, what, of["seed"], f"{recipients:,}", crashes, of["lost"], doubled, of["in_doubt"])
    return "| " + " | ".join(str(cell) for cell in (*cells, of["receipts_lost"], balanced)) + " |"
