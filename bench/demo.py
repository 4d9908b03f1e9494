"""`heliograph demo`: the whole job through the public HTTP routes, and the balance of what came out.

It starts a Heliograph of its own (own folder, own ports), makes a recipient file, and does what people would:
log in, create a campaign, upload, submit, approve as somebody else, and watch it to its end. Then it asks the
ledger for its equation and the simulator's witness for what really arrived. With `--kill-one` an engine is
killed on the way, by SIGKILL: what it had claimed and not written down is in doubt, and nothing else.
"""

import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from bench.people import Person, Stuck
from bench.scenarios.recipients_file import Expected, write_recipients
from bench.simulators.smsc.witness import read as read_witness
from bench.stack import Stack, StackError
from bench.usage import Used

TEXT = "Hello {{name}}, your order is ready for collection."
SMSC = (
    "--receipt-share 1.0 --undelivered-share 0.02 --receipt-delay-ms 200 --receipt-jitter-ms 100 "
    "--receipt-window 20000"
)
CHUNK_BYTES = 256 * 1024
MAX_CLAIMED = int(
    os.environ.get("HELIOGRAPH_ENGINE_MAX_CLAIMED", "20000")
)  # what an engine may leave in doubt


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
    workers: int = 1
    binds: int = 1
    kills: int = 0
    in_doubt_bound: int = 0
    balanced: bool = False
    first_difference: str = ""
    rate_per_s: float = 0.0
    received_per_s: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    peak_rss_bytes: dict[str, int] = field(default_factory=dict)
    a_message: dict[str, float] = field(default_factory=dict)


@click.command()
@click.option("--recipients", default=10_000, show_default=True, help="Lines of the recipient file.")
@click.option("--seed", default=1, show_default=True, help="Of the file and the simulator.")
@click.option("--tps", default=100_000, show_default=True, help="Limit of the channel, messages a second.")
@click.option("--window", default=1_000, show_default=True, help="Window of the bind.")
@click.option("--text", default=TEXT, show_default=True, help="Text; {{name}} is the file's column.")
@click.option("--smsc", default=SMSC, show_default=True, help="Options of the SMSC simulator.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Engine processes on the one ledger.",
)
@click.option(
    "--binds",
    type=click.IntRange(1, 256),
    default=None,
    help="Binds of the channel; one for every engine where it is not given.",
)
@click.option("--kill-one", is_flag=True, help="kill -9 one engine in the middle of the campaign.")
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
    workers: int,
    binds: int | None,
    kill_one: bool,
    deadline_s: float,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Send one real campaign through everything, and prove that it balances."""
    folder = keep or Path(tempfile.mkdtemp(prefix="heliograph-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    outcome = Outcome(recipients, seed, workers=workers, binds=binds or workers)
    try:
        file = folder / "recipients.csv"
        expected = write_recipients(file, rows=recipients, seed=seed)
        options = ["--tps", str(tps), "--window", str(window), "--smsc", f"{smsc} --seed {seed}"]
        options += ["--binds", str(outcome.binds)]
        stack = Stack(folder / "data", options, workers=workers)
        killer = Killer(stack, workers, seed) if kill_one else None
        try:
            _play(stack, file, text, outcome, time.monotonic() + deadline_s, killer, quiet=as_json)
            outcome.peak_rss_bytes = stack.peak_rss_bytes()
        finally:
            stack.stop()
        witness = read_witness(folder / "data" / "witness.log")
        outcome.witness_parts, outcome.witness_duplicates = witness.parts, witness.duplicates
        _judge(outcome, expected)
    except StackError as error:
        raise click.ClickException(str(error)) from error
    except Stuck as error:
        outcome.first_difference = str(error)
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    click.echo(json.dumps(asdict(outcome), indent=None if as_json else 2))
    sys.exit(0 if outcome.balanced else 1)


class Killer:
    """Kills one engine, once, when a part of the campaign is out; `up` starts it again.

    The same seed kills the same engine at the same part."""

    def __init__(self, stack: Stack, workers: int, seed: int) -> None:
        chance = random.Random(seed)
        number = chance.randint(1, workers)
        self._name = "engine" if number == 1 else f"engine-{number}"
        self._at = chance.uniform(0.2, 0.6)
        self._stack = stack
        self.killed: int | None = None  # its process id

    def look(self, counts: dict[str, int]) -> bool:
        """Whether it killed now."""
        if self.killed is not None or counts["submissions"] < self._at * counts["accepted"]:
            return False
        self.killed = self._stack.kill(self._name)
        return True

    def back(self) -> None:
        """Waits until the killed one is there again."""
        if self.killed is not None:
            self._stack.restarted(self._name, self.killed)


def _play(
    stack: Stack,
    file: Path,
    text: str,
    outcome: Outcome,
    deadline: float,
    killer: Killer | None,
    *,
    quiet: bool,
) -> None:
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
        used = Used(stack)
        started = time.monotonic()
        done = received = 0.0
        for status in _statuses(author, campaign, deadline, killer):
            if killer is not None and killer.look(status["counts"]):
                outcome.kills += 1
                outcome.in_doubt_bound += MAX_CLAIMED
            if not quiet:
                counts = status["counts"]
                click.echo(
                    f"{status['state']}: {counts['delivered']:,} delivered, {counts['in_flight']:,} "
                    f"in flight of {counts['accepted']:,}, {status['rate_per_s']:,.0f}/s",
                    err=True,
                )
            if status["state"] == "Done" and not done:
                done = time.monotonic()
            if done and not received and not status["counts"]["in_flight"]:
                received = time.monotonic()
        settled = time.monotonic()
        if killer is not None:
            killer.back()
        else:  # a killed one took its figures with it
            outcome.a_message = used.a_message(status["counts"]["submissions"])
        equation = author.equation(campaign, stack.data, stack.ready["core_api"])
    counts = equation["counted"]
    for name in asdict(outcome):
        if name in counts:
            setattr(outcome, name, counts[name])
    for name in ("rows", "duplicates", "job_errors", "balanced", "first_difference"):
        setattr(outcome, name, equation[name])
    outcome.seconds = {
        "ingest": round(ingested - begin, 3),
        "dispatch": round(done - started, 3),
        "receipts": round((received or settled) - done, 3),
        "settle": round(settled - done, 3),
    }
    outcome.rate_per_s = round(outcome.submissions / (done - started), 1)
    outcome.received_per_s = round(outcome.submissions / ((received or settled) - started), 1)


def _statuses(
    author: Person, campaign: str, deadline: float, killer: Killer | None
) -> Iterator[dict[str, Any]]:
    """As `Person.watch`, and on where the only engine is just away."""
    while True:
        try:
            yield from author.watch(campaign, deadline)
            return
        except Stuck:
            if killer is None or killer.killed is None or time.monotonic() > deadline:
                raise
            killer.back()


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
        "parts the witness saw twice": (outcome.witness_duplicates, 0),
    }
    if not outcome.in_doubt:
        facts["parts the witness saw"] = (outcome.witness_parts, outcome.parts)
    for name, (found, wanted) in facts.items():
        if found != wanted and not outcome.first_difference:
            outcome.balanced = False
            outcome.first_difference = f"{name}: {found}, expected {wanted}"
    # what is in doubt may have arrived or not
    known = max(1, outcome.accepted - outcome.in_doubt - outcome.failed)
    most_parts = outcome.parts + outcome.in_doubt * -(-outcome.parts // known)
    ranges = {
        "parts the witness saw": (outcome.parts, outcome.witness_parts, most_parts),
        "messages in doubt": (0, outcome.in_doubt, outcome.in_doubt_bound),
    }
    for name, (least, found, most) in ranges.items():
        if not least <= found <= most and not outcome.first_difference:
            outcome.balanced = False
            outcome.first_difference = f"{name}: {found}, expected {least} to {most}"
