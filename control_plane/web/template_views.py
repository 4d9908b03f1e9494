"""Templates as their pages show them, and what a text comes to while it is written."""

from typing import Any

from phonenumbers import country_code_for_region

from control_plane.access import Action
from control_plane.campaigns.engine_errors import engine
from control_plane.errors import ControlPlaneError
from control_plane.services import Services
from control_plane.templates.body import BadBody, filled, parse
from control_plane.templates.content import USUAL_LONGEST
from control_plane.templates.model import SmsContent, Template, TemplateVersion, Variable
from control_plane.web import format as show
from control_plane.web.measure import sample_view
from control_plane.web.session import Visit
from control_plane.web.translation import _, ngettext
from control_plane.web.views import Look
from engine.core_api import schema


def template_look(status: str) -> Look:
    return {
        "PENDING": Look("held", "clock", _("Pending")),
        "APPROVED": Look("delivered", "delivered", _("Approved")),
        "REJECTED": Look("failed", "failed", _("Rejected")),
        "FAILED": Look("failed", "warn", _("Failed")),
    }.get(status, Look("waiting", "waiting", status))


def content_types() -> list[dict[str, str]]:
    return [
        _choice("transactional", _("Transactional"), _("A code or a notice that the recipient waits for.")),
        _choice("service", _("Service"), _("About something the recipient has: an order, an account.")),
        _choice("promotional", _("Promotional"), _("Advertising. May need a moderator.")),
    ]


def categories() -> list[dict[str, str]]:
    return [
        _choice("SIC", _("SIC: service"), _("A conversation that the service begins.")),
        _choice("UIC", _("UIC: user"), _("An answer in a conversation that the user began.")),
        _choice("MIC", _("MIC: marketing"), _("A conversation that marketing begins.")),
        _choice("Auth", _("Auth: code"), _("A one-time code or another proof of who it is.")),
    ]


def _choice(value: str, word: str, note: str) -> dict[str, str]:
    return {"value": value, "word": word, "note": note}


def word_of(choices: list[dict[str, str]], value: str) -> str:
    return next((one["word"] for one in choices if one["value"] == value), value)


def version_view(version: TemplateVersion) -> dict[str, Any]:
    content = version.content
    return {
        "id": version.id,
        "template_id": version.template_id,
        "number": version.number,
        "name": version.name,
        "channel": version.channel.upper(),
        "version": version.revision,
        "status": version.status,
        "view": template_look(version.status),
        "reasons": version.reasons,
        "asks": version.asks,
        "body": content.body,
        "variables": content.variables,
        "type": word_of(content_types(), content.content_type),
        "category": content.category,
        "dlt_template_id": content.dlt_template_id,
        "dlt_registered": content.dlt_registered,
        "author": version.author,
        "created_at": version.created_at,
        "decided_by": version.decided_by,
        "decided_at": version.decided_at,
        "note": version.note,
    }


def template_row(template: Template) -> dict[str, Any]:
    """One line of the list: the newest version."""
    return {**version_view(template.newest), "id": template.id, "usable": template.usable is not None}


def form_of(version: TemplateVersion | None) -> dict[str, str]:
    """The form's fields of what is there."""
    if version is None:
        return {"content_type": "transactional", "category": "SIC"}
    content = version.content
    return {
        "body": content.body,
        "content_type": content.content_type,
        "category": content.category,
        "dlt_template_id": content.dlt_template_id,
        "dlt_registered": content.dlt_registered,
        **variable_fields(content.variables),
    }


def variable_fields(variables: tuple[Variable, ...]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for index, one in enumerate(variables):
        fields |= {
            f"variable_{index}": one.name,
            f"sample_{index}": one.sample,
            f"max_{index}": str(one.max_length or ""),
        }
    return fields


def sample_text(body: str, variables: tuple[Variable, ...]) -> str:
    """The text with its samples; a variable without one stands as it is written."""
    samples = {one.name: one.sample or f"{{{{{one.name}}}}}" for one in variables}
    parts = parse(body)
    return filled(parts, _Missing(samples))


def longest_text(body: str, variables: tuple[Variable, ...]) -> str:
    """The text with values as long as they may be, of the samples' letters."""
    values = {}
    for one in variables:
        most, letters = one.max_length or USUAL_LONGEST, one.sample or "x"
        values[one.name] = (letters * (most // len(letters) + 1))[:most]
    return filled(parse(body), _Missing(values))


class _Missing(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return f"{{{{{name}}}}}"


class TemplateMeasures:
    """Parts, alphabet and price of a template's text."""

    def __init__(self, services: Services) -> None:
        self.services = services

    async def context(self, visit: Visit, body: str, variables: tuple[Variable, ...]) -> dict[str, Any]:
        """For sms_templates/measure.html. A problem is shown in place."""
        context: dict[str, Any] = {"samples": [], "measure": None, "problem": None}
        if not body.strip():
            return context
        try:
            text, longest = sample_text(body, variables), longest_text(body, variables)
            count = await self._count(text)
            most = (await self._count(longest)).parts if variables else count.parts
            context["samples"] = [sample_view(one) for one in count.samples]
            context["measure"] = {
                "parts": _parts(count.parts, max(most, count.parts)),
                "alphabet": _("UCS-2, 70 characters a part")
                if count.ucs2
                else _("GSM, 160 characters a part"),
                "forced": count.forced_ucs2,
                "cost": await self._cost(visit, count.parts, max(most, count.parts)),
            }
        except BadBody as error:
            context["problem"] = {"title": _("The text cannot be read"), "text": str(error)}
        except ControlPlaneError as error:
            context["problem"] = {"title": _("Not counted"), "text": str(error)}
        return context

    async def preview(self, visit: Visit, content: SmsContent) -> dict[str, Any]:
        return await self.context(visit, content.body, content.variables)

    async def _count(self, text: str) -> schema.TextCount:
        with engine("text"):
            return await self.services.core.count_text(schema.TextSpec(text=text, samples=1))

    async def _cost(self, visit: Visit, least: int, most: int) -> str:
        """From the cheapest to the dearest price of a message; empty without a price list."""
        if not visit.may(Action.VIEW_WALLET):
            return ""
        money = self.services.money
        sheet, rates = await money.prices(visit.member)
        country = visit.workspace.default_country if visit.workspace is not None else ""
        code = str(country_code_for_region(country) or "") if country else ""
        here = [one for one in rates if one.prefix.startswith(code) or code.startswith(one.prefix)]
        prices = [one.price for one in here or rates]
        if sheet is None or not prices:
            return ""
        wallet = await money.ours(visit.member)
        low, high = show.money(min(prices) * least), show.money(max(prices) * most)
        amount = low if low == high else _("%(low)s to %(high)s") % {"low": low, "high": high}
        currency = f" {wallet.currency}" if wallet is not None else ""
        where = _(" to +%(code)s") % {"code": code} if code and here else ""
        return f"{amount}{currency}{where}"


def _parts(least: int, most: int) -> str:
    if least == most:
        return ngettext("%d part", "%d parts", least) % least
    return _("%(least)d with the samples, up to %(most)d") % {"least": least, "most": most}
