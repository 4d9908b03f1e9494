"""What will go out, as a moderator reads it: the texts themselves, countries, links, price, what is new."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import phonenumbers.geodata.locale as locale

from control_plane.campaigns.model import Campaign
from control_plane.errors import EngineUnavailable, Invalid
from control_plane.moderation.differences import text_difference
from control_plane.moderation.familiar import FamiliarKind
from control_plane.services import Services
from control_plane.web import format as show
from control_plane.web.forms import whole
from control_plane.web.measure import sample_view
from control_plane.web.options import option_facts
from control_plane.web.session import Visit
from control_plane.web.translation import LANGUAGE, _, ngettext
from control_plane.web.views import share
from engine.core_api import schema

AT_ONCE_ROWS = 300_000  # a larger file is listed after the page is there
PAGE = 25
COUNTRIES = 12
QUERY_LIMIT = 200


class WhatGoesOut:
    def __init__(self, services: Services) -> None:
        self.services = services

    async def context(
        self, visit: Visit, campaign: Campaign, query: Mapping[str, str], *, wait: bool = False
    ) -> dict[str, Any]:
        """For moderation/goes_out.html: `listing` None with `listing_url` where it takes long."""
        moderation = self.services.moderation
        here = f"/moderation/{campaign.id}"
        nothing = {"listing": None, "listing_url": "", "listing_away": False, "here": here}
        if campaign.engine_id is None:
            return nothing
        known = moderation.known_texts(campaign)
        if known is None and campaign.recipients > AT_ONCE_ROWS and not wait:
            wanted = urlencode({name: query[name] for name in ("list", "page", "q", "in") if name in query})
            return {**nothing, "listing_url": f"{here}/texts" + (f"?{wanted}" if wanted else "")}
        try:
            listing = await moderation.texts(visit.member, campaign)
            shown = await self._shown(visit, campaign, listing, query, here)
        except EngineUnavailable:
            return {**nothing, "listing_away": True}
        new = await moderation.first_times(visit.member, campaign, listing)
        return {
            **nothing,
            "listing": _facts(listing),
            "flags": _flags(new, listing),
            "countries": [_country(one, listing, new) for one in listing.countries[:COUNTRIES]],
            "more_countries": max(0, len(listing.countries) - COUNTRIES),
            "hosts": [_host(one, new) for one in listing.hosts],
            **shown,
        }

    async def compared(self, visit: Visit, campaign: Campaign) -> dict[str, Any] | None:
        """What differs from the author's last approved campaign; None where there is none."""
        last = await self.services.moderation.last_approved(visit.member, campaign)
        if last is None:
            return None
        before = {fact["term"]: fact["value"] for fact in option_facts(last)}
        after = {fact["term"]: fact["value"] for fact in option_facts(campaign)}
        rows = [(_("Sender"), last.sender, campaign.sender)]
        rows += [(_("Recipients"), show.number(last.recipients), show.number(campaign.recipients))]
        rows += [(term, before.get(term, ""), after.get(term, "")) for term in {**before, **after}]
        return {
            "id": last.id,
            "name": last.name,
            "at": last.submitted_at,
            "text_same": last.text == campaign.text,
            "pieces": text_difference(last.text, campaign.text),
            "rows": [
                {"term": term, "before": old or "–", "after": new or "–"}
                for term, old, new in rows
                if old != new
            ],
        }

    async def _shown(
        self,
        visit: Visit,
        campaign: Campaign,
        listing: schema.RenderedTexts,
        query: Mapping[str, str],
        here: str,
    ) -> dict[str, Any]:
        words, column = query.get("q", "").strip()[:QUERY_LIMIT], query.get("in", "")
        lists = _lists(listing)
        chosen = query.get("list", "")
        chosen = "search" if words else chosen if chosen in lists else next(iter(lists), "")
        filters = [
            {
                "href": f"?list={name}#texts",
                "hx": f"{here}/texts?list={name}",
                "word": word,
                "here": name == chosen,
            }
            for name, (word, _texts) in lists.items()
        ]
        # Elsewhere a line is one recipient, whoever else gets the same text.
        common = {
            "counted": chosen == "all",
            "filters": filters,
            "q": words,
            "column": column,
            "search_problem": "",
            "looked": "",
        }
        if words:
            return {**common, **await self._found(visit, campaign, words, column, query.get("after"), here)}
        texts = lists[chosen][1] if chosen else []
        page = min(whole(query.get("page"), 1) or 1, max(1, -(-len(texts) // PAGE)))
        return {
            **common,
            "texts": [_text(one) for one in texts[(page - 1) * PAGE : page * PAGE]],
            "texts_next": f"list={chosen}&page={page + 1}" if page * PAGE < len(texts) else "",
            "texts_previous": f"list={chosen}&page={page - 1}" if page > 1 else "",
            "texts_place": _place(page, len(texts)),
        }

    async def _found(
        self, visit: Visit, campaign: Campaign, words: str, column: str, after: str | None, here: str
    ) -> dict[str, Any]:
        question = schema.RenderedSearch(query=words, column=column, cursor=after or None, limit=PAGE)
        nothing = {"texts": [], "texts_next": "", "texts_previous": "", "texts_place": ""}
        try:
            found = await self.services.moderation.search(visit.member, campaign, question)
        except Invalid:
            return {**nothing, "search_problem": _("There is no such variable.")}
        asked = {"q": words, "in": column}
        return {
            "texts": [_text(one) for one in found.texts],
            "texts_next": urlencode({**asked, "after": found.next}) if found.next else "",
            "texts_previous": urlencode(asked) if after else "",
            "texts_place": "",
            "looked": _("Looked through %(n)s of %(all)s recipients.")
            % {"n": show.number(found.looked_through), "all": show.number(found.recipients)},
        }


def _lists(listing: schema.RenderedTexts) -> dict[str, tuple[str, list[schema.RenderedText]]]:
    """The lists that have something in them, the first is shown first."""
    found = {}
    if listing.distinct is not None:
        every = ngettext("The one text", "All %(num)s texts", listing.distinct) % {"num": listing.distinct}
        found["all"] = (every, listing.texts)
    else:
        found["sample"] = (_("Random sample"), listing.sample)
        found["longest"] = (_("Longest"), listing.longest)
        found["costliest"] = (_("Costliest"), listing.costliest)
    for odd in listing.odd:
        word = _("%(kind)s (%(n)s)") % {"kind": _odd_word(odd), "n": show.number(odd.recipients)}
        found["-".join(filter(None, (odd.kind, odd.column)))] = (word, odd.texts)
    return {name: (word, texts) for name, (word, texts) in found.items() if texts}


def _odd_word(odd: schema.OddTexts) -> str:
    return {
        "empty": _("%(column)s is empty") % {"column": odd.column},
        "placeholder": _("%(column)s looks unfilled") % {"column": odd.column},
        "ucs2": _("UCS-2"),
        "rejected": _("Characters rejected"),
        "too_long": _("Too long"),
        "no_rate": _("No price"),
        "no_route": _("No route"),
    }[odd.kind]


def _facts(listing: schema.RenderedTexts) -> dict[str, Any]:
    whole_file = listing.scanned == listing.recipients
    if listing.distinct is None:
        scope = _("More than 1,000 different texts: here are the extremes, the odd ones and a random sample.")
    else:
        scope = _("Every different text, most recipients first.")
    if not whole_file:
        scope += " " + _(
            "Time ran out: looked through %(n)s of %(all)s recipients, chosen at random. "
            "All that stands here is of these; search goes through all."
        ) % {"n": show.number(listing.scanned), "all": show.number(listing.recipients)}
    return {
        "scope": scope,
        "whole": whole_file,
        "scanned": listing.scanned,
        "recipients": listing.recipients,
        "parts": listing.parts,
        "price": "" if listing.price is None else f"{show.money(listing.price)} {listing.currency}",
        "columns": listing.columns,
        "by_routes": listing.by_routes,
    }


def _text(one: schema.RenderedText) -> dict[str, Any]:
    sample = schema.TextSample(
        msisdn=one.msisdn,
        text=one.text,
        encoding=one.encoding,
        characters=one.characters,
        parts=one.parts,
    )
    return {
        **sample_view(sample, to=one.msisdn),
        "recipients": one.recipients,
        "price": "" if one.price is None else show.money(one.price),
        "cut": one.cut,
    }


def _country(
    one: schema.CountryTexts, listing: schema.RenderedTexts, new: Mapping[FamiliarKind, list[str]]
) -> dict[str, Any]:
    names = [_country_name(region) for region in one.regions[:2]]
    if len(one.regions) > 2:
        names.append(_("and others"))
    return {
        "name": ", ".join(names) or _("No known country"),
        "code": f"+{one.calling_code}" if one.calling_code else "",
        "recipients": one.recipients,
        "share": share(one.recipients, listing.scanned),
        "parts": one.parts,
        "price": "" if one.price is None else show.money(one.price),
        "first": one.calling_code in new.get("country", ()),
    }


def _country_name(region: str) -> str:
    """In the console's language, else in English, else its code."""
    names: dict[str, str] = locale.LOCALE_DATA.get(region, {})
    name = names.get(LANGUAGE) or names.get("en") or region
    return names.get(name[1:], region) if name.startswith("*") else name  # "*aa": as in that language


def _host(one: schema.LinkHost, new: Mapping[FamiliarKind, list[str]]) -> dict[str, Any]:
    return {
        "host": one.host,
        "column": one.column,
        "varies": one.varies,
        "recipients": one.recipients,
        "first": one.host in new.get("domain", ()),
    }


def _flags(new: Mapping[FamiliarKind, list[str]], listing: schema.RenderedTexts) -> list[str]:
    """One sentence for each kind of thing that is there for the first time."""
    flags = (
        [_("First time from this sender: %(names)s") % {"names": ", ".join(new["sender"])}]
        if new.get("sender")
        else []
    )
    if hosts := new.get("domain"):
        flags.append(_("First time with links to: %(names)s") % {"names": _some(hosts)})
    if codes := new.get("country"):
        regions = {one.calling_code: one.regions for one in listing.countries}
        names = [f"{_country_name(regions[code][0])} (+{code})" for code in codes if regions.get(code)]
        flags.append(_("First time to: %(names)s") % {"names": _some(names)})
    return flags


def _some(names: list[str], most: int = 8) -> str:
    if len(names) <= most:
        return ", ".join(names)
    return _("%(names)s and %(n)s more") % {"names": ", ".join(names[:most]), "n": len(names) - most}


def _place(page: int, total: int) -> str:
    if total <= PAGE:
        return ""
    first, last = (page - 1) * PAGE + 1, min(page * PAGE, total)
    return _("%(first)s–%(last)s of %(total)s") % {
        "first": show.number(first),
        "last": show.number(last),
        "total": show.number(total),
    }
