"""What a text and the values of its columns say: that something is missing, and where links lead."""

from __future__ import annotations

import re
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

MOST_HOSTS = 100
PLACEHOLDERS = (
    "null", "none", "nil", "nan", "n/a", "#n/a", "na", "undefined", "unknown", "-", "--", "?", "xxx", "test",
)  # fmt: skip
# Letters after the last dot that phones make a link of where no path follows.
_ENDINGS = frozenset((
    "com", "net", "org", "info", "biz", "io", "co", "me", "ly", "app", "link", "click", "xyz", "top", "shop",
    "online", "site", "club", "live", "store", "web", "dev", "gov", "edu", "eu", "de", "fr", "it", "es", "nl",
    "uk", "ie", "in", "pk", "bd", "lk", "us", "ca", "mx", "br", "ar", "ru", "ua", "pl", "cz", "tr", "sa",
    "ae", "ng", "ke", "za", "cn", "jp", "kr", "au", "nz",
))  # fmt: skip
_VARIABLE = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_MARK = "\ufffc"  # stands for a variable
_IN_TEXT = re.compile(
    rf"(?i)(?<![\w@.-])(?:(?P<lead>https?://(?:[^/\s@]*@)?|www\.)(?P<led>[\w{_MARK}.-]*[\w{_MARK}])"
    rf"|(?P<bare>(?:[\w{_MARK}](?:[\w{_MARK}-]*[\w{_MARK}])?\.)+[^\W\d_]{{2,24}})(?P<tail>[:/?#])?(?![\w@-]))"
)
_LINK = (
    r"(?i)(?:^|[^\p{L}\p{N}@.-])(?P<lead>https?://(?:[^/\s@]*@)?|www\.)?"
    r"(?P<host>(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]*[\p{L}\p{N}])?\.)+\p{L}{2,24})(?P<tail>[:/?#]|[^\p{L}\p{N}@-]|$)"
)


def missing(values: pa.StringArray) -> tuple[pa.BooleanArray, pa.BooleanArray]:
    """(empty or blank, looks like a missing value or an unfilled variable) of each value."""
    trimmed = pc.utf8_trim_whitespace(values)
    empty = pc.equal(pc.binary_length(trimmed), 0)
    words = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(PLACEHOLDERS))
    braces = pc.match_substring_regex(trimmed, r"\{\{|\}\}|%[A-Za-z_]+%|\$\{")
    return empty, pc.or_(words, braces)


def text_hosts(text: str) -> list[tuple[str, bool]]:
    """(host, whether a variable stands in it) of the links in a template. A link that is nothing but a
    variable has its host in the column."""
    names = iter(_VARIABLE.findall(text))
    found: dict[str, bool] = {}
    marked, at = _VARIABLE.sub(_MARK, text), 0
    for match in _IN_TEXT.finditer(marked):
        for _skipped in range(marked.count(_MARK, at, match.start())):
            next(names)
        at = match.end()
        for _in_lead in range((match["lead"] or "").count(_MARK)):
            next(names)
        host = (match["led"] or match["bare"]).lower().removeprefix("www.")
        varies = _MARK in host
        while _MARK in host:
            host = host.replace(_MARK, "{{" + next(names) + "}}", 1)
        for _in_tail in range(marked.count(_MARK, match.end("led" if match["led"] else "bare"), at)):
            next(names)
        if match["lead"] or match["tail"] or host.rpartition(".")[2] in _ENDINGS:
            found[host] = varies
    return [*found.items()][:MOST_HOSTS]


def hosts(values: pa.StringArray, found: Counter[str]) -> None:
    """Count the host of each value's first link in `found`, of at most 100 hosts."""
    dotted = values.filter(pc.match_substring(values, "."))
    if not len(dotted):
        return
    links = pc.drop_null(pc.extract_regex(dotted, pattern=_LINK))
    if not len(links):
        return
    lead, host, tail = (pc.struct_field(links, name) for name in ("lead", "host", "tail"))
    for entry in pc.binary_join_element_wise(lead, host, tail, "\n").value_counts():
        words, recipients = entry["values"].as_py(), entry["counts"].as_py()
        first, name, last = words.split("\n", 2)
        name = name.lower().removeprefix("www.")
        linked = first or last in tuple(":/?#") or name.rpartition(".")[2] in _ENDINGS
        if linked and (name in found or len(found) < MOST_HOSTS):
            found[name] += recipients
