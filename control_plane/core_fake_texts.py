"""The fake engine's listing of a sealed campaign's texts: `{{name}}` filled in, one part each, no prices."""

from collections import Counter

import msgspec

from control_plane.core_fake_operations import refuse
from engine.core_api import schema

SHOWN = 1_000


def rendered(campaign: schema.Campaign, rows: dict[str, str]) -> list[schema.RenderedText]:
    """The text of each number, in the file's order."""
    return [
        schema.RenderedText(msisdn=number, text=text, encoding="gsm", characters=len(text), parts=1)
        for number, name in rows.items()
        for text in [campaign.text.replace("{{name}}", name)]
    ]


def texts_of(campaign: schema.Campaign, rows: dict[str, str], columns: list[str]) -> schema.RenderedTexts:
    every = rendered(campaign, rows)
    counts = Counter(one.text for one in every)
    first = {one.text: one for one in reversed(every)}
    listed = [msgspec.structs.replace(first[text], recipients=n) for text, n in counts.most_common()]
    empty = [one for one, name in zip(every, rows.values(), strict=True) if not name]
    used = [name for name in columns if f"{{{{{name}}}}}" in campaign.text]
    countries = Counter(number[:2] for number in rows)
    return schema.RenderedTexts(
        campaign_id=campaign.campaign_id,
        manifest_hash=campaign.manifest_hash,
        columns=columns,
        used=used,
        recipients=len(every),
        scanned=len(every),
        distinct=len(listed) if len(listed) <= SHOWN else None,
        texts=listed if len(listed) <= SHOWN else [],
        longest=sorted(first.values(), key=lambda one: -one.characters)[:50],
        costliest=[],
        sample=every[:100],
        odd=[schema.OddTexts(kind="empty", column="name", recipients=len(empty), texts=empty[:50])]
        if empty and used
        else [],
        countries=[
            schema.CountryTexts(
                calling_code=code, regions=["DE"] if code == "49" else [], recipients=n, parts=n
            )
            for code, n in countries.most_common()
        ],
        hosts=[],
        parts=len(every),
        price=None,
        currency="",
        by_routes=not campaign.channel,
    )


def search(
    campaign: schema.Campaign, rows: dict[str, str], columns: list[str], question: schema.RenderedSearch
) -> schema.RenderedMatches:
    if question.column and question.column not in columns:
        refuse("invalid", 422, f"no column {question.column}", "column")
    words, begin = question.query.lower(), int(question.cursor or 0)
    found: list[schema.RenderedText] = []
    at = begin
    for one, name in list(zip(rendered(campaign, rows), rows.values(), strict=True))[begin:]:
        at += 1
        if words in (name if question.column else one.text).lower():
            found.append(one)
        if len(found) == question.limit:
            break
    left = at < len(rows)
    return schema.RenderedMatches(
        texts=found, looked_through=at, recipients=len(rows), next=str(at) if left else None
    )
