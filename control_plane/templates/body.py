"""The body of a template: fixed text and `{{variables}}`. Pure functions; the engine compiles the same."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

NAME = re.compile(r"\w[\w .-]{0,59}")
BODY_LIMIT = 5_000  # characters
VARIABLES_LIMIT = 50
LONGEST_VALUE = 500


@dataclass(frozen=True)
class Reference:
    """A variable where it stands."""

    name: str


class BadBody(ValueError):
    """What is wrong with a body, as a sentence."""


def parse(body: str) -> list[str | Reference]:
    """Fixed texts (never empty) and references, in order. BadBody for a brace too few or a bad name."""
    found: list[str | Reference] = []
    at = 0
    while (begin := body.find("{{", at)) >= 0 and (end := body.find("}}", begin + 2)) >= 0:
        _add_fixed(found, body[at:begin])
        found.append(Reference(_name(body[begin + 2 : end].strip())))
        at = end + 2
    _add_fixed(found, body[at:])
    return found


def _add_fixed(found: list[str | Reference], text: str) -> None:
    for brace, other in (("{{", "}}"), ("}}", "{{")):
        if brace in text:
            raise BadBody(f"There is a {brace} without its {other}.")
    if text:
        found.append(text)


def _name(name: str) -> str:
    if not name:
        raise BadBody("There is a {{}} without a name.")
    if not NAME.fullmatch(name):
        shown = name[:60].replace("\n", " ")
        raise BadBody(f"{{{{{shown}}}}} is no name: letters, digits, spaces and . _ - up to 60.")
    return name


def names(body: str) -> list[str]:
    """The variables of a body in the order of their first appearance. BadBody."""
    return list(dict.fromkeys(one.name for one in parse(body) if isinstance(one, Reference)))


def filled(parts: Iterable[str | Reference], values: Mapping[str, str]) -> str:
    """The text with values for all references."""
    return "".join(values[part.name] if isinstance(part, Reference) else part for part in parts)


def variable_problems(body: str, variables: Sequence[tuple[str, str, int]]) -> list[str]:
    """What is wrong with the declared variables (name, sample, longest value in characters) of a body."""
    try:
        used = names(body)
    except BadBody as error:
        return [str(error)]
    problems = []
    declared = [name for name, _sample, _most in variables]
    if len(used) > VARIABLES_LIMIT:
        problems.append(f"Use at most {VARIABLES_LIMIT} variables.")
    problems += [f"{{{{{name}}}}} has no sample." for name in used if name not in declared]
    problems += [f"{{{{{name}}}}} is not in the text." for name in declared if name not in used]
    if len({*declared}) < len(declared):
        problems.append("A variable is described twice.")
    for name, sample, most in variables:
        if not sample.strip():
            problems.append(f"{{{{{name}}}}} needs a sample.")
        if not 1 <= most <= LONGEST_VALUE:
            problems.append(f"{{{{{name}}}}} may be 1 to {LONGEST_VALUE} characters long.")
        elif len(sample) > most:
            problems.append(f"The sample of {{{{{name}}}}} is longer than its {most} characters.")
    return problems
