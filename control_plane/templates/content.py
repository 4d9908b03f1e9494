"""What somebody wrote as a template, read and checked. Pure functions."""

import re
from collections.abc import Mapping
from typing import cast, get_args

from control_plane.templates.body import BODY_LIMIT, BadBody, names, variable_problems
from control_plane.templates.dlt import PLACE_LONGEST, REGISTERED_LIMIT, TEMPLATE_ID, Mismatch, places
from control_plane.templates.model import Category, ContentType, SmsContent, Variable

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
USUAL_LONGEST = 30  # characters of a value, unless somebody says otherwise
_DIGITS = re.compile(r"[0-9]{1,6}")


def name_problem(name: str) -> str:
    """A sentence; empty for a name that may be."""
    return "" if NAME.fullmatch(name) else "Use letters, digits, _ and -, up to 64."


def read_content(form: Mapping[str, str]) -> tuple[SmsContent | None, dict[str, str]]:
    """A form as content, else one sentence for each field that cannot be stored.

    Variables come as `variable_0`, `sample_0`, `max_0` and so on; those no longer in the text are left out.
    """
    problems = {}
    body = form.get("body", "")
    if not body.strip():
        problems["body"] = "Write the text."
    elif len(body) > BODY_LIMIT:
        problems["body"] = f"Use at most {BODY_LIMIT:,} characters."
    registered = form.get("dlt_registered", "")
    if len(registered) > REGISTERED_LIMIT:
        problems["dlt_registered"] = f"Use at most {REGISTERED_LIMIT:,} characters."
    template_id = form.get("dlt_template_id", "").strip()
    if len(template_id) > PLACE_LONGEST:
        problems["dlt_template_id"] = "19 digits, as the registry gave it."
    if form.get("content_type") not in get_args(ContentType):
        problems["content_type"] = "Choose one of those offered."
    if form.get("category") not in get_args(Category):
        problems["category"] = "Choose one of those offered."
    if any("\x00" in value for value in (body, registered)):
        problems["body"] = "Remove the NUL character."
    if problems:
        return None, problems
    return SmsContent(
        body=body,
        variables=read_variables(form),
        content_type=cast(ContentType, form["content_type"]),
        category=cast(Category, form["category"]),
        dlt_template_id=template_id,
        dlt_registered=registered if registered.strip() else "",
    ), {}


def read_variables(form: Mapping[str, str]) -> tuple[Variable, ...]:
    """Those of the text, in its order, as far as the form describes them."""
    described: dict[str, Variable] = {}
    for field, name in form.items():
        if not field.startswith("variable_"):
            continue
        index = field.removeprefix("variable_")
        most = form.get(f"max_{index}", "").strip()
        described[name] = Variable(
            name=name,
            sample=form.get(f"sample_{index}", ""),
            max_length=int(most) if _DIGITS.fullmatch(most) else 0,
        )
    try:
        used = names(form.get("body", ""))
    except BadBody:
        return tuple(described.values())
    return tuple(
        described.get(name) or Variable(name=name, sample="", max_length=USUAL_LONGEST) for name in used
    )


def found_problems(content: SmsContent) -> list[str]:
    """What is wrong with its syntax or its DLT data; empty: it can be approved."""
    problems = variable_problems(
        content.body, [(one.name, one.sample, one.max_length) for one in content.variables]
    )
    return problems + _dlt_problems(content)


def asks_of(content: SmsContent) -> list[str]:
    """Why a moderator should see it, where the workspace wants that."""
    asks = ["promotional content"] if content.content_type == "promotional" else []
    if content.variables and not content.dlt_registered:
        # Nobody else has said what may stand there; a registered text has its places from the operators.
        asks.append("free variables: " + ", ".join(one.name for one in content.variables))
    return asks


def _dlt_problems(content: SmsContent) -> list[str]:
    if not content.dlt_template_id and not content.dlt_registered:
        return []
    if not content.dlt_template_id:
        return ["A registered text needs its DLT template id."]
    problems = []
    if not TEMPLATE_ID.fullmatch(content.dlt_template_id):
        problems.append("The DLT template id is 19 digits.")
    if not content.dlt_registered:
        return [*problems, "A DLT template id needs the text as it is registered."]
    try:
        filling = places(content.body, content.dlt_registered)
    except (Mismatch, BadBody) as error:
        return [*problems, str(error)]
    return problems + [
        f"{{{{{one.name}}}}} fills a place of at most {PLACE_LONGEST} characters."
        for one in content.variables
        if one.name in filling and one.max_length > PLACE_LONGEST
    ]
