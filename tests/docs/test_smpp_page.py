"""docs/smpp.md names tests and settings that exist, and every line has its test or says that it is open."""

import ast
import re

import generated
import pytest

from engine.channels.account_settings import SECRETS, AccountSettings
from engine.channels.message_settings import MessageSettings
from engine.settings import EngineSettings

ROOT = generated.DOCS.parent
PAGE = (generated.DOCS / "smpp.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| line |")]
TESTS = sorted(set(re.findall(r"`(tests/[\w/.]+)::(\w+)`", PAGE)))


def functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("path", sorted({path for path, _ in TESTS}))
def test_every_named_test_exists(path: str) -> None:
    assert {name for file, name in TESTS if file == path} - functions(path) == set()


def test_every_line_names_a_test_or_says_that_it_is_open() -> None:
    assert len(ROWS) > 60
    for row in ROWS:
        shown = row.rstrip(" |").rsplit(" | ", 1)[1]
        assert re.fullmatch(r"(`tests/[^`]+::\w+`(, )?)+", shown) or shown == "*open*", row


def test_every_account_setting_of_the_link_is_on_the_page() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE))
    timers = {"bind_timeout_s", "unbind_timeout_s", "connect_timeout_s", "reconnect_min_s", "reconnect_max_s"}
    assert set(AccountSettings.__struct_fields__) - named - timers - {"express_share"} == set()
    assert set(SECRETS) - named == set()


def test_no_setting_on_the_page_is_invented() -> None:
    known = {*AccountSettings.__struct_fields__, *MessageSettings.__struct_fields__, *SECRETS}
    known |= set(EngineSettings.model_fields)
    for prefix in ("enquire_", "already_", "tls_", "dlt_", "outbind_", "id_base_", "receipt_"):
        assert set(re.findall(rf"`({prefix}\w+)`", PAGE)) <= known
