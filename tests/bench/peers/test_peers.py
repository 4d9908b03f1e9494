"""`heliograph bench peers`: what cannot be installed or fails is said, and what runs is measured."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import bench
from bench.measure import InvalidRun, Size
from bench.peers import run as driven
from bench.peers.catalogue import PEERS, Peer
from bench.peers.environment import Environment, Installed, last_line

SMPPLIB = next(peer for peer in PEERS if peer.name == "smpplib")


class Ours(Environment):
    """The environment the tests run in, which has smpplib: no index is needed."""

    def __init__(self, folder: Path, driver: str = "") -> None:
        super().__init__(folder)
        self.python = Path(sys.executable)
        self._driver = folder / "driver.py"
        self._driver.write_text(driver)

    def run(
        self, one: Installed, arguments: list[str], timeout_s: float
    ) -> "subprocess.CompletedProcess[str]":
        if one.peer.driver:
            return super().run(one, arguments, timeout_s)
        return self._run([str(self.python), str(self._driver), *arguments], timeout_s)


def measure(folder: Path, *installed: Installed, driver: str = "") -> driven.Peers:
    size = Size(repeats=2, quick=True, count=3000)
    return driven.run(Ours(folder, driver), installed, folder, size, lambda _: None)


def broken(folder: Path, name: str = "broken") -> Installed:
    """A peer whose driver is the test's."""
    return Installed(replace(SMPPLIB, name=name, driver=""), folder, "1.0")


@pytest.mark.system
def test_a_peer_is_measured_beside_our_link_in_the_same_run(tmp_path: Path) -> None:
    outcome = measure(tmp_path, Installed(SMPPLIB, tmp_path, "2.2.4"))
    result = outcome.result
    assert list(result.rates) == ["heliograph", "smpplib"]
    assert result.ratios["heliograph/smpplib"].median > 1
    assert result.parameters["peer_messages"] == {"smpplib": driven.SEVERAL * driven.WINDOW}
    assert outcome.reasons == {}


@pytest.mark.system
@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        ("raise SystemExit('it lost a message')", "it lost a message"),
        ("import no_such_library", "no_such_library"),
        ("print('{}')", "its driver failed"),
        ("print('not json')", "its driver failed"),
        ("pass", "its driver failed"),
        ("import json; print(json.dumps({'units': 1, 'seconds': 1, 'cpu_s': 0}))", "1 of 200 messages"),
        (
            "import sys, json; print(json.dumps({'units': int(sys.argv[2]), 'seconds': 0, 'cpu_s': 0}))",
            "of 200",
        ),
    ],
)
def test_a_peer_that_fails_is_listed_with_its_reason(tmp_path: Path, driver: str, reason: str) -> None:
    outcome = measure(tmp_path, Installed(SMPPLIB, tmp_path, "2.2.4"), broken(tmp_path), driver=driver)
    assert list(outcome.result.rates) == ["heliograph", "smpplib"]
    assert reason in outcome.reasons["broken"]
    assert reason in outcome.result.extra["not_measured"]["broken"]


@pytest.mark.system
def test_a_peer_that_fails_only_under_load_leaves_the_others_their_run(tmp_path: Path) -> None:
    driver = f"""
import json, sys
units = int(sys.argv[2])
if units > {driven.TRIAL}:
    raise SystemExit("its queue overflowed")
print(json.dumps({{"units": units, "seconds": 1.0, "cpu_s": 0.1}}))
"""
    outcome = measure(tmp_path, broken(tmp_path), Installed(SMPPLIB, tmp_path, "2.2.4"), driver=driver)
    assert list(outcome.result.rates) == ["heliograph", "smpplib"]
    assert "its queue overflowed" in outcome.reasons["broken"]


@pytest.mark.system
def test_where_none_works_there_is_no_table(tmp_path: Path) -> None:
    not_installed = Installed(SMPPLIB, tmp_path, reason="does not install: no wheel")
    with pytest.raises(InvalidRun, match="no wheel"):
        measure(tmp_path, not_installed)


@pytest.mark.slow
@pytest.mark.system
def test_without_a_package_it_says_so_and_what_to_do(tmp_path: Path, history_file: Path) -> None:
    empty = tmp_path / "wheels"
    empty.mkdir()
    outcome = CliRunner().invoke(bench, ["peers", "--quick", "--peer", "smpplib", "--wheels", str(empty)])
    assert outcome.exit_code == 3
    assert "nothing could be installed" in outcome.stderr
    assert "--wheels" in outcome.stderr
    assert not history_file.exists()


def test_an_unknown_peer_is_refused() -> None:
    outcome = CliRunner().invoke(bench, ["peers", "--peer", "kannel"])
    assert outcome.exit_code == 2
    assert "kannel" in outcome.output


def test_what_a_program_said_last_names_no_address() -> None:
    done = subprocess.CompletedProcess(
        [], 1, "", "x\nERROR: none at https://user:secret@index.example/simple/ y\n\n"
    )
    assert last_line(done) == "ERROR: none at ... y"


def test_every_peer_has_its_driver_and_a_licence() -> None:
    folder = Path(driven.__file__).parent / "drivers"
    assert {peer.driver for peer in PEERS} == {file.name for file in folder.glob("*_driver.py")}
    assert all(peer.licence and 0 < peer.share <= 1 for peer in PEERS)
    assert len({peer.name for peer in PEERS}) == len(PEERS)


def test_peers_send_the_octets_our_link_sends(tmp_path: Path) -> None:
    file = tmp_path / "messages.json"
    driven.write_messages(file)
    rows = json.loads(file.read_text("utf-8"))
    assert len(rows) == driven.SOME
    codings = {text: coding for _, text, _, coding in rows}
    assert codings["Hello José, your order is ready for collection."] == 0
    assert codings["Hello Zoë, your order is ready for collection."] == 8
    for _, text, octets, coding in rows:
        if coding == 8:
            assert bytes.fromhex(octets) == text.encode("utf-16-be")


def test_a_slow_peer_gets_fewer_messages_but_several_windows() -> None:
    peer = Peer("x", ("x",), "MIT", "x.py", 0.02, "")
    assert driven.share(Installed(peer, Path()), 1_000_000) == 20_000
    assert driven.share(Installed(peer, Path()), 100) == driven.SEVERAL * driven.WINDOW
