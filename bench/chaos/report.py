"""The table of docs/reliability.md, written from what was played."""

from pathlib import Path
from typing import Any

from bench.chaos.fault import table
from bench.chaos.run import Played

BEGIN, END = "<!-- table of `heliograph chaos` -->", "<!-- end of the table -->"
HEAD = (
    "| fault | what is done | seed | messages | crashes | lost | duplicates (bound) | in doubt "
    "| receipts lost | balanced |"
)


def write_report(path: Path, outcome: dict[str, Any], played: list[Played]) -> None:
    """Replaces the table between its two marks; a file without them gets it at its end."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    block = "\n".join([BEGIN, "", *_lines(outcome, played), "", END])
    if BEGIN in text and END in text:
        before, rest = text.split(BEGIN, 1)
        text = before + block + rest.split(END, 1)[1]
    else:
        text = f"{text.rstrip()}\n\n{block}\n"
    path.write_text(text, encoding="utf-8")


def _lines(outcome: dict[str, Any], played: list[Played]) -> list[str]:
    lines = [HEAD, "|" + "---|" * (HEAD.count("|") - 1)]
    storm = outcome.get("storm") or (outcome if not played else None)
    if storm:
        what = ", ".join(f"{count} x {name}" for name, count in sorted(storm["killed"].items()))
        lines.append(_row(f"{storm['kills']} kills", what, storm, storm["recipients"], storm["kills"]))
    summaries = table()
    for one in played:
        if one.not_played:
            lines.append(f"| `{one.name}` | not played: {one.not_played} |" + " |" * 8)
        else:
            summary = summaries[one.name].summary
            lines.append(_row(f"`{one.name}`", summary, one.as_dict(), one.recipients, one.crashes))
    return lines


def _row(name: str, what: str, of: dict[str, Any], recipients: int, crashes: int) -> str:
    doubled = f"{of['duplicates']} ({of['duplicate_bound']})"
    balanced = "yes" if of["balanced"] else "NO"
    cells = (name, what, of["seed"], f"{recipients:,}", crashes, of["lost"], doubled, of["in_doubt"])
    return "| " + " | ".join(str(cell) for cell in (*cells, of["receipts_lost"], balanced)) + " |"
