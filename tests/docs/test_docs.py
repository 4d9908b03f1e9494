"""The documentation is whole: a setting, metric, verb, route or error type without its words fails here."""

import re
from pathlib import Path

import generated
import pytest

ROOT = generated.DOCS.parent
PROBLEM = re.compile(
    r"""urn:heliograph:problem:([a-z-]+)|Refused\(\s*"([a-z-]+)"|: \("([a-z-]+)", 4\d\d\)"""
    r"""|^    (?:problem|type)(?:: ClassVar\[str\])? = "([a-z-]+)"$|Problem\(\w+, "([a-z-]+)\"""",
    re.MULTILINE,
)


@pytest.mark.parametrize("name", generated.PAGES)
def test_the_generated_page_is_what_the_code_says(name: str) -> None:
    made = generated.NOTE + generated.PAGES[name]()
    assert (generated.DOCS / name).read_text() == made, "run: .venv/bin/python tests/docs/generated.py"


def test_every_setting_is_explained() -> None:
    assert "| |" not in generated.settings_page()


def test_every_route_is_explained() -> None:
    assert "|  |" not in generated.routes_page()


def test_every_option_of_the_command_is_explained() -> None:
    assert "| None |" not in generated.cli_page()


def test_every_error_type_is_documented() -> None:
    names = set()
    for folder in ("engine", "control_plane"):
        for path in (ROOT / folder).rglob("*.py"):
            for match in PROBLEM.finditer(path.read_text()):
                names.add(next(group for group in match.groups() if group))
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", (generated.DOCS / "errors.md").read_text(), re.M))
    assert names
    assert documented == names


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "docs"])
def test_every_link_leads_to_a_file(page: str) -> None:
    target = ROOT / page
    for path in sorted(target.rglob("*.md")) if target.is_dir() else [target]:
        for link in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            if "://" not in link:
                assert (path.parent / link).exists(), f"{path.name} links to {link}"


def test_the_tour_of_the_console_shows_every_screenshot_of_a_desk() -> None:
    tour = (generated.DOCS / "console.md").read_text()
    shots = [shot.name for shot in (generated.DOCS / "screenshots").glob("*-1440-light.png")]
    assert shots
    assert [name for name in shots if f"(screenshots/{name})" not in tour] == []


def test_the_architecture_page_names_folders_that_exist() -> None:
    for name in re.findall(
        r"`((?:engine|control_plane|bench|ui)/[\w/]*)`", (ROOT / "ARCHITECTURE.md").read_text()
    ):
        assert (
            Path(ROOT / name).exists() or Path(ROOT / f"{name}.py").exists() or any(ROOT.glob(f"{name}.*"))
        ), name


def test_the_readme_fits_on_a_few_screens() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150
