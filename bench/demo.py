"""`heliograph demo`: the whole job through the public HTTP routes, and the balance of what came out.

It starts a Heliograph of its own (own folder, own ports), makes a recipient file, and does what people would:
log in, create a campaign, upload, submit, approve as somebody else, and watch it to its end. Then it asks the
ledger for its equation and the simulator's witness for what really arrived.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from bench.measure import peak_rss_bytes
from bench.people import Person, Stuck
from bench.scenarios.recipients_file import Expected, write_recipients
from bench.simulators.smsc.witness import read as read_witness

TEXT = "Hello {{name}}, your order is ready for collection."
SMSC = "--receipt-share 1.0 --undelivered-share 0.02 --receipt-delay-ms 200 --receipt-jitter-ms 100"
CHUNK_BYTES = 256 * 1024
MEASURED = ("engine", "control_plane")  # the programs whose memory we promise something of


@dataclass
class Outcome:
    """What the demo prints. Messages, unless a name says parts; see docs/demo.md."""

    recipients: int
    seed: int
    rows: int = 0
    accepted: int = 0
    duplicates: int = 0
    job_errors: int = 0
    submissions: int = 0
    parts: int = 0
    delivered: int = 0
    undelivered: int = 0
    no_receipt: int = 0
    failed: int = 0
    blocked: int = 0
    expired: int = 0
    cancelled: int = 0
    in_doubt: int = 0
    waiting: int = 0
    witness_parts: int = 0
    witness_duplicates: int = 0
    balanced: bool = False
    first_difference: str = ""
    rate_per_s: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    peak_rss_bytes: dict[str, int] = field(default_factory=dict)


class Stack:
    """A Heliograph of our own: `heliograph up` in a folder, on free ports."""

    def __init__(self, folder: Path, options: list[str]) -> None:
        command = [sys.executable, "-m", "control_plane.launcher.cli", "up", "--json"]
        command += ["--data", str(folder), "--ui-port", "0", "--api-port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise click.ClickException("Heliograph did not start: see the line above")
        self.ready: dict[str, Any] = json.loads(line)

    def login_of(self, role: str) -> tuple[str, str]:
        """(e-mail, one-time password) of the demo workspace's member with this role."""
        login = next(login for login in self.ready["logins"] if login["role"].lower() == role)
        return login["email"], login["password"]

    def peak_rss_bytes(self) -> dict[str, int]:
        """Highest resident memory so far."""
        return {name: peak_rss_bytes(self.ready["pids"][name]) for name in MEASURED}

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


@click.command()
@click.option("--recipients", default=10_000, show_default=True, help="Lines of the recipient file.")
@click.option("--seed", default=1, show_default=True, help="Of the file and the simulator.")
@click.option("--tps", default=100_000, show_default=True, help="Limit of the channel, messages a second.")
@click.option("--window", default=1_000, show_default=True, help="Window of the bind.")
@click.option("--text", default=TEXT, show_default=True, help="Text; {{name}} is the file's column.")
@click.option("--smsc", default=SMSC, show_default=True, help="Options of the SMSC simulator.")
@click.option("--deadline-s", default=900.0, show_default=True, help="Give up after this long.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the data in this folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def demo(
    recipients: int,
    seed: int,
    tps: int,
    window: int,
    text: str,
    smsc: str,
    deadline_s: float,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Send one real campaign through everything, and prove that it balances."""
    folder = keep or Path(tempfile.mkdtemp(prefix="heliograph-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    outcome = Outcome(recipients, seed)
    try:
        file = folder / "recipients.csv"
        expected = write_recipients(file, rows=recipients, seed=seed)
        options = ["--tps", str(tps), "--window", str(window), "--smsc", f"{smsc} --seed {seed}"]
        stack = Stack(folder / "data", options)
        try:
            _play(stack, file, text, outcome, time.monotonic() + deadline_s, quiet=as_json)
            outcome.peak_rss_bytes = stack.peak_rss_bytes()
        finally:
            stack.stop()
        witness = read_witness(folder / "data" / "witness.log")
        outcome.witness_parts, outcome.witness_duplicates = witness.parts, witness.duplicates
        _judge(outcome, expected)
    except Stuck as error:
        outcome.first_difference = str(error)
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    click.echo(json.dumps(asdict(outcome), indent=None if as_json else 2))
    sys.exit(0 if outcome.balanced else 1)


def _play(stack: Stack, file: Path, text: str, outcome: Outcome, deadline: float, *, quiet: bool) -> None:
    with (
        Person(stack.ready["ui"], *stack.login_of("author")) as author,
        Person(stack.ready["ui"], *stack.login_of("moderator")) as moderator,
    ):
        begin = time.monotonic()
        campaign = author.create_campaign("Demo campaign", text)
        author.upload(campaign, file.name, file.stat().st_size, _blocks(file))
        ingested = time.monotonic()
        author.submit(campaign)
        moderator.approve(campaign)
        started = time.monotonic()
        done = 0.0
        for status in author.watch(campaign, deadline):
            if not quiet:
                counts = status["counts"]
                click.echo(
                    f"{status['state']}: {counts['delivered']:,} delivered, {counts['in_flight']:,} "
                    f"in flight of {counts['accepted']:,}, {status['rate_per_s']:,.0f}/s",
                    err=True,
                )
            if status["state"] == "Done" and not done:
                done = time.monotonic()
        settled = time.monotonic()
        equation = author.equation(campaign, Path(stack.ready["data"]), stack.ready["core_api"])
    counts = equation["counted"]
    for name in asdict(outcome):
        if name in counts:
            setattr(outcome, name, counts[name])
    for name in ("rows", "duplicates", "job_errors", "balanced", "first_difference"):
        setattr(outcome, name, equation[name])
    outcome.seconds = {
        "ingest": round(ingested - begin, 3),
        "dispatch": round(done - started, 3),
        "settle": round(settled - done, 3),
    }
    outcome.rate_per_s = round(outcome.submissions / (done - started), 1)


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while block := source.read(CHUNK_BYTES):
            yield block


def _judge(outcome: Outcome, expected: Expected) -> None:
    """Everything the ledger says must hold against what we wrote into the file and what the SMSC saw."""
    facts = {
        "rows": (outcome.rows, expected.rows),
        "accepted": (outcome.accepted, expected.accepted),
        "duplicates": (outcome.duplicates, expected.duplicates),
        "job_errors": (outcome.job_errors, expected.job_errors),
        "waiting at the end": (outcome.waiting, 0),
        "parts the witness saw": (outcome.witness_parts, outcome.parts),
        "parts the witness saw twice": (outcome.witness_duplicates, 0),
    }
    for name, (found, wanted) in facts.items():
        if found != wanted and not outcome.first_difference:
            outcome.balanced = False
            outcome.first_difference = f"{name}: {found}, expected {wanted}"
