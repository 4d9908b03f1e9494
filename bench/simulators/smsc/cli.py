"""`heliograph smsc` and `heliograph witness`: the simulated SMSC and the reader of what it accepted."""

import asyncio
import json
import signal
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
import uvloop

from bench.simulators.smsc import witness as witness_file
from bench.simulators.smsc.behaviour import Behaviour
from bench.simulators.smsc.dialects import Dialect, Form, IdFormat

if TYPE_CHECKING:
    from bench.simulators.smsc.server import Simulator


class Number(click.ParamType[int]):
    """Decimal, or hexadecimal with 0x."""

    name = "NUMBER"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else int(str(value), 0)
        except ValueError:
            self.fail(f"{value!r} is no number", param, ctx)


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
@click.option("--late-share", default=0.0, type=SHARE, help="Share of the responses that come late.")
@click.option("--late-ms", default=0.0, type=MS, help="How much later those come.")
@click.option(
    "--window",
    default=0,
    type=click.IntRange(0),
    help="Unanswered submit_sm a bind may have; more gets ESME_RTHROTTLED. 0: any number.",
)
@click.option(
    "--service-tps",
    default=0,
    type=click.IntRange(0, 1_000_000),
    help="submit_sm a second per system_id that it works off; others queue, answered later. 0: any number.",
)
@click.option(
    "--tps",
    default=0,
    type=click.IntRange(0),
    help="submit_sm a second per system_id, 200 ms of it at once; more gets ESME_RTHROTTLED. 0: no limit.",
)
@click.option("--bind-tps", default=0, type=click.IntRange(0), help="The same for each bind by itself.")
@click.option("--throttle-share", default=0.0, type=SHARE, help="Share answered with ESME_RTHROTTLED.")
@click.option(
    "--storm-every-ms", default=0.0, type=MS, help="Time from one throttling storm's begin to the next's."
)
@click.option("--storm-ms", default=0.0, type=MS, help="Length of a storm: all get ESME_RTHROTTLED.")
@click.option(
    "--error",
    "errors",
    multiple=True,
    type=ErrorShare(),
    help="Share refused with this command_status, as 0x0B=0.02. Repeatable.",
)
@click.option(
    "--full-box-share", default=0.0, type=SHARE, help="Share of the destinations that get ESME_RMSGQFUL."
)
@click.option(
    "--full-box-ms", default=0.0, type=MS, help="For so long since the first submit_sm. 0: for ever."
)
@click.option(
    "--empty-id-share", default=0.0, type=SHARE, help="Share of the accepted that get no message id."
)
@click.option(
    "--required-tlv",
    default=0,
    type=Number(),
    help="Tag without which a submit_sm gets ESME_RMISSINGOPTPARAM, as 0x1400. 0: none.",
)
@click.option(
    "--congestion",
    default=-1,
    type=click.IntRange(-1, 101),
    help="congestion_state in responses: 0 to 100, 101 by the TPS limit's load, -1 none.",
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
    "--accepted-first-share",
    default=0.0,
    type=SHARE,
    help="Share that gets ACCEPTD first.",
)
@click.option(
    "--corrected-share", default=0.0, type=SHARE, help="Share that gets UNDELIV, and DELIVRD after it."
)
@click.option("--doubled-share", default=0.0, type=SHARE, help="Share that gets the same receipt twice.")
@click.option(
    "--second-receipt-ms",
    default=50.0,
    show_default=True,
    type=MS,
    help="Time from the first of two receipts to the second.",
)
@click.option("--reply-share", default=0.0, type=SHARE, help="Share whose recipient answers STOP.")
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
    "--receipt-form",
    default="both",
    show_default=True,
    type=click.Choice(get_args(Form)),
    help="Where a receipt is: text and TLVs, one of them, message_payload, UCS-2, data_sm.",
)
@click.option(
    "--receipt-dialect",
    default="standard",
    show_default=True,
    type=click.Choice(get_args(Dialect)),
    help="How its text is written.",
)
@click.option(
    "--receipt-esm-class", default=0x04, show_default=True, type=Number(), help="esm_class of receipts."
)
@click.option(
    "--receipt-local-numbers", is_flag=True, help="Receipts name the recipient as 0 and national digits."
)
@click.option(
    "--unanswered-ms",
    default=0.0,
    type=MS,
    help="Drop a bind that leaves a deliver_sm unanswered for so long. 0: never.",
)
@click.option(
    "--id-format",
    default="hex",
    show_default=True,
    type=click.Choice(get_args(IdFormat)),
    help="Message ids in responses.",
)
@click.option(
    "--receipt-id-format",
    default=None,
    type=click.Choice(get_args(IdFormat)),
    help="Message ids in receipts; as in responses unless given.",
)
@click.option("--ids-per-account", is_flag=True, help="Each system_id counts its ids itself: the same again.")
@click.option(
    "--id-reuse", default=0, type=click.IntRange(0), help="Give the same ids again after so many. 0: never."
)
@click.option(
    "--sc-interface-version",
    default="0x34",
    show_default=True,
    type=click.Choice(["0x33", "0x34", "0x50", "none"]),
    help="In bind responses; none leaves the TLV out.",
)
@click.option(
    "--max-binds", default=0, type=click.IntRange(0), help="Binds per system_id; more get ESME_RALYBND."
)
@click.option(
    "--stale-bind-s",
    default=0.0,
    type=click.FloatRange(0.0),
    help="A session that dropped without unbind holds its bind so long: ESME_RALYBND.",
)
@click.option(
    "--refuse-bind",
    "refused_binds",
    multiple=True,
    type=Number(),
    help="Status of the first bind, as 0x0D; repeated, of the next ones.",
)
@click.option(
    "--restart-down-s",
    default=0.0,
    type=click.FloatRange(0.0),
    help="How long it is away after SIGUSR1 (keeps its memory) or SIGUSR2 (forgets).",
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
@click.option(
    "--receipts",
    default=None,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Append every acknowledged receipt to this file.",
)
@click.option("--seed", default=0, show_default=True, type=int, help="Same seed, same fates.")
@click.option("--json-status", is_flag=True, help="Counters as a JSON line every second and at the end.")
def smsc(**options: Any) -> None:
    from bench.simulators.smsc.server import Door, Simulator

    paths = {name: options.pop(name) for name in ("witness", "receipts")}
    json_status: bool = options.pop("json_status")
    restart_down_s: float = options.pop("restart_down_s")
    version = options.pop("sc_interface_version")
    door_names = {field.name for field in fields(Door)}
    door_options = {name: options.pop(name) for name in list(options) if name in door_names}
    door_options["version"] = None if version == "none" else int(version, 0)
    try:
        door, behaviour = Door(**door_options), Behaviour(**options)
        simulator = Simulator(door, behaviour, paths["witness"], paths["receipts"])
        uvloop.run(_serve(simulator, json_status, restart_down_s))
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


async def _serve(simulator: "Simulator", json_status: bool, restart_down_s: float) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    restarts: set[asyncio.Task[None]] = set()

    def restart(memory: bool) -> None:
        restarts.add(task := loop.create_task(simulator.restart(memory=memory, down_s=restart_down_s)))
        task.add_done_callback(restarts.discard)

    loop.add_signal_handler(signal.SIGUSR1, restart, True)
    loop.add_signal_handler(signal.SIGUSR2, restart, False)
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
