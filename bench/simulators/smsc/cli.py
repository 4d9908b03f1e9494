"""`heliograph smsc` and `heliograph witness`: the simulated SMSC and the reader of what it accepted."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import uvloop

from bench.simulators.smsc import witness as witness_file
from bench.simulators.smsc.behaviour import Behaviour, IdFormat

if TYPE_CHECKING:
    from bench.simulators.smsc.server import Simulator


class ErrorShare(click.ParamType[tuple[int, float]]):
    name = "CODE=SHARE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, float]:
        if isinstance(value, tuple):
            return value
        code, _, share = str(value).partition("=")
        try:
            return int(code, 0), float(share)
        except ValueError:
            self.fail(f"{value!r} is not like 0x0B=0.02", param, ctx)


SHARE = click.FloatRange(0.0, 1.0)
MS = click.FloatRange(0.0)


@click.command(
    help="A simulated SMSC: SMPP 3.4 on TCP. Prints one JSON line when it listens; SIGTERM ends it."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=2775, show_default=True, type=click.IntRange(0, 65535), help="0: a free one.")
@click.option("--system-id", default="", help="The only system_id let in. Without it everyone is.")
@click.option("--password", default="", help="Password that --system-id must give.")
@click.option("--latency-ms", default=0.0, type=MS, help="Time until a submit_sm is answered.")
@click.option("--jitter-ms", default=0.0, type=MS, help="Up to this much more, evenly spread.")
@click.option(
    "--window",
    default=0,
    type=click.IntRange(0),
    help="Unanswered submit_sm a bind may have; more gets ESME_RTHROTTLED. 0: any number.",
)
@click.option(
    "--tps",
    default=0,
    type=click.IntRange(0),
    help="submit_sm a second per system_id, 200 ms of it at once; more gets ESME_RTHROTTLED. 0: no limit.",
)
@click.option("--throttle-share", default=0.0, type=SHARE, help="Share answered with ESME_RTHROTTLED.")
@click.option(
    "--error",
    "errors",
    multiple=True,
    type=ErrorShare(),
    help="Share refused with this command_status, as 0x0B=0.02. Repeatable.",
)
@click.option("--silent-share", default=0.0, type=SHARE, help="Share accepted and never answered.")
@click.option(
    "--receipt-share",
    default=1.0,
    show_default=True,
    type=SHARE,
    help="Share of the parts that asked for a receipt which get one.",
)
@click.option(
    "--undelivered-share",
    default=0.0,
    type=SHARE,
    help="Share of the receipts that say UNDELIV, EXPIRED or REJECTD.",
)
@click.option(
    "--receipt-delay-ms",
    default=50.0,
    show_default=True,
    type=MS,
    help="Time from the response to the receipt.",
)
@click.option("--receipt-jitter-ms", default=0.0, type=MS, help="Up to this much more, evenly spread.")
@click.option(
    "--receipt-before-response",
    default=0.0,
    type=SHARE,
    help="Share of the receipts sent before the response.",
)
@click.option(
    "--receipt-window",
    default=5000,
    show_default=True,
    type=click.IntRange(1),
    help="Unanswered deliver_sm per bind; further receipts wait.",
)
@click.option(
    "--id-format",
    default="hex",
    show_default=True,
    type=click.Choice(["hex", "decimal"]),
    help="Message ids in responses.",
)
@click.option(
    "--receipt-id-format",
    default=None,
    type=click.Choice(["hex", "decimal"]),
    help="Message ids in receipts; as in responses unless given.",
)
@click.option(
    "--enquire-link-s",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0.0),
    help="enquire_link after this much silence. 0: never.",
)
@click.option(
    "--witness",
    default=None,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Append every accepted part to this file.",
)
@click.option("--seed", default=0, show_default=True, type=int, help="Same seed, same fates.")
@click.option("--json-status", is_flag=True, help="Counters as a JSON line every second and at the end.")
def smsc(
    host: str,
    port: int,
    system_id: str,
    password: str,
    latency_ms: float,
    jitter_ms: float,
    window: int,
    tps: int,
    throttle_share: float,
    errors: tuple[tuple[int, float], ...],
    silent_share: float,
    receipt_share: float,
    undelivered_share: float,
    receipt_delay_ms: float,
    receipt_jitter_ms: float,
    receipt_before_response: float,
    receipt_window: int,
    id_format: IdFormat,
    receipt_id_format: IdFormat | None,
    enquire_link_s: float,
    witness: Path | None,
    seed: int,
    json_status: bool,
) -> None:
    from bench.simulators.smsc.server import Door, Simulator

    try:
        behaviour = Behaviour(
            latency_ms=latency_ms,
            jitter_ms=jitter_ms,
            window=window,
            tps=tps,
            throttle_share=throttle_share,
            errors=errors,
            silent_share=silent_share,
            receipt_share=receipt_share,
            undelivered_share=undelivered_share,
            receipt_delay_ms=receipt_delay_ms,
            receipt_jitter_ms=receipt_jitter_ms,
            receipt_before_response=receipt_before_response,
            receipt_window=receipt_window,
            id_format=id_format,
            receipt_id_format=receipt_id_format,
            seed=seed,
        )
        door = Door(host, port, system_id, password, enquire_link_s)
        uvloop.run(_serve(Simulator(door, behaviour, witness), json_status))
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


async def _serve(simulator: "Simulator", json_status: bool) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await simulator.start()
    _line({"listening": simulator.port})
    while not stopping.is_set():
        try:
            await asyncio.wait_for(stopping.wait(), 1.0 if json_status else None)
        except TimeoutError:
            _line(simulator.counters())
    await simulator.stop()
    if json_status:
        _line(simulator.counters())


def _line(values: object) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def witness(file: Path, as_json: bool) -> None:
    """Counts what a simulated SMSC accepted, from its witness FILE."""
    try:
        counts = witness_file.read(file).as_dict()
    except witness_file.NotAWitnessError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps(counts))
        return
    for name, value in counts.items():
        click.echo(f"{name:>12}  {value}")
