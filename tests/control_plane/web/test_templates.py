"""Templates and static files keep the content policy, and say everything through gettext."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = ROOT / "ui/templates"
STATIC = ROOT / "ui/static"
FILES = sorted(TEMPLATES.rglob("*.html"))
NOT_FOR_PEOPLE = {"Heliograph", "doctype", "html", "aria", "describedby", "invalid", "true"}
JINJA = re.compile(r"\{[{%#].*?[}%#]\}", re.DOTALL)


class Found(HTMLParser):
    """Inline script and style, handlers in attributes, addresses of other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.offences: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag == "style" or "style" in names:
            self.offences.append(f"style in <{tag}>")
        if tag == "script" and "src" not in names:
            self.offences.append("inline script")
        self._script = tag == "script"
        for name, value in attrs:
            if name.startswith(("on", "hx-on")):
                self.offences.append(f"{name} in <{tag}>")
            if name in ("src", "href", "action") and value and value.startswith(("http:", "https:", "//")):
                self.offences.append(f"another host in <{tag}>")
            if name.startswith("hx-") and value and value.startswith(("js:", "javascript:")):
                self.offences.append(f"script in {name}")

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.offences.append("inline script")


def offences_of(source: str) -> list[str]:
    found = Found()
    found.feed(source)
    return found.offences


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(TEMPLATES)))
def test_a_template_has_no_inline_script_or_style(file: Path) -> None:
    assert offences_of(JINJA.sub("x", file.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "<p style='x'>",
        "<style>p{}</style>",
        "<script>x()</script>",
        "<a onclick='x'>",
        "<img src='https://a/b'>",
    ],
)
def test_the_check_for_inline_code_can_fail(source: str) -> None:
    assert offences_of(source)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(TEMPLATES)))
def test_a_template_says_nothing_outside_of_gettext(file: Path) -> None:
    source = re.sub(r"\{#.*?#\}", "", file.read_text(), flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", " ", JINJA.sub(" ", source))
    assert set(re.findall(r"[A-Za-z]{2,}", text)) <= NOT_FOR_PEOPLE


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(TEMPLATES)))
def test_a_template_compiles(file: Path) -> None:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, extensions=["jinja2.ext.i18n"]
    )
    environment.filters.update(
        dict.fromkeys(("n", "rate", "money", "percent", "size", "duration", "ago", "exact", "rfc3339"), str)
    )
    assert environment.get_template(str(file.relative_to(TEMPLATES))) is not None


def test_stylesheets_use_logical_properties_only() -> None:
    """So that a right-to-left language needs no second layout."""
    physical = re.compile(
        r"(?:^|[\s;{])((?:margin|padding|border)-(?:left|right|top|bottom)|(?:left|right|top|bottom|width|height)|"
        r"text-align):(?!\s*(?:center|start|end)\b)([^;]+);"
    )
    for file in (STATIC / "css").glob("*.css"):
        assert physical.findall(file.read_text()) == [], file.name


def test_modules_make_no_code_from_text() -> None:
    for file in (STATIC / "js").glob("*.js"):
        source = file.read_text()
        assert not re.search(
            r"\beval\(|new Function|\.innerHTML|insertAdjacentHTML|document\.write", source
        ), file.name
