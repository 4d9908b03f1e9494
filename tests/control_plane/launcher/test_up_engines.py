"""The engines of `heliograph up`: their names, what finds them, and how they come back."""

from pathlib import Path

import pytest

from control_plane.launcher import up
from control_plane.launcher.ready import Program
from engine.core_api.console_link import URL_FILE


def program(port: int) -> Program:
    made = Program("an engine", "engine", [], {}, Path("engine.log"))
    made.ready = {"core_api": port}
    return made


def test_the_verbs_find_the_engines_where_up_says_they_are(tmp_path: Path) -> None:
    assert up.URL_FILE == URL_FILE
    options = up.Options(tmp_path, 0, 0, True, 1, 1, "", 2)
    options.programs = {"smsc": program(1), "engine": program(2), "engine-2": program(3)}
    up._publish(tmp_path / up.URL_FILE, up._core_urls(options))
    assert (tmp_path / URL_FILE).read_text().split() == ["https://127.0.0.1:2", "https://127.0.0.1:3"]
    assert [path.name for path in tmp_path.iterdir()] == [URL_FILE]


def test_a_program_that_does_not_stay_up_is_started_ever_more_slowly() -> None:
    delays = up.Delays()
    waits = [delays.after(1.0) for _ in range(8)]
    assert waits[0] == up.RESTART_DELAY_S
    assert waits == sorted(waits)
    assert waits[-1] == up.LONGEST_DELAY_S


@pytest.mark.parametrize("failures", [1, 10])
def test_one_that_stayed_up_comes_back_soon_again(failures: int) -> None:
    delays = up.Delays()
    for _ in range(failures):
        delays.after(0.1)
    assert delays.after(up.STAYED_UP_S) == up.RESTART_DELAY_S
