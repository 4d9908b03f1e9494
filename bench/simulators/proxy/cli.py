"""`heliograph proxy`: faults between an ESME and an SMSC, by rules."""

import asyncio
import json
import signal
import sys
from typing import get_args

import click
import uvloop

from bench.simulators.proxy.proxy import FaultProxy
from bench.simulators.proxy.rules import Action, Rule, parse


class RuleOption(click.ParamType[Rule]):
    name = "ACTION[=VALUE]:COMMAND[@TRIGGER]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Rule:
        if isinstance(value, Rule):
            return value
        try:
            return parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(
    help="A proxy with faults before an SMSC. Prints one JSON line when it listens; SIGTERM ends it.\n\n"
    f"Actions: {', '.join(get_args(Action))}. Triggers: count=N, every=N, times=N, share=P, from=S, to=S."
)
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Port to listen on. 0: a free one.")
@click.option("--target", required=True, metavar="HOST:PORT", help="The SMSC.")
@click.option(
    "--rule",
    "rules",
    multiple=True,
    type=RuleOption(),
    help="A fault, as drop:submit_sm_resp@share=0.01. Repeatable.",
)
@click.option("--seed", default=0, show_default=True, type=int, help="Same seed and PDUs, same faults.")
@click.option("--json-status", is_flag=True, help="Counters as a JSON line every second and at the end.")
def proxy(port: int, target: str, rules: tuple[Rule, ...], seed: int, json_status: bool) -> None:
    host, _, number = target.rpartition(":")
    if not host or not number.isdigit():
        raise click.BadParameter(f"{target!r} is not like 127.0.0.1:2775", param_hint="--target")
    one = FaultProxy(host, int(number), rules, seed=seed)
    try:
        uvloop.run(_serve(one, port, json_status))
    except OSError as error:
        raise click.ClickException(str(error)) from error


async def _serve(one: FaultProxy, port: int, json_status: bool) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await one.start(port)
    _line({"listening": one.port})
    while not stopping.is_set():
        try:
            await asyncio.wait_for(stopping.wait(), 1.0 if json_status else None)
        except TimeoutError:
            _line(one.counters())
    await one.stop()
    if json_status:
        _line(one.counters())


def _line(values: object) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()
