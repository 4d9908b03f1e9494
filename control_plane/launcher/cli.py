"""The `heliograph` command: a table of verbs, each loaded only when it is called.

Verbs belong to their packages; the table names them as text, so that the control plane imports nothing of the
engine or the bench. docs/cli.md describes each verb, and a test holds the two together.
"""

import importlib
from typing import cast

import click

VERBS = {
    "up": "control_plane.launcher.up:up",
    "demo": "bench.demo:demo",
    "certs": "engine.core_api.cli:certs",
    "config": "control_plane.launcher.config:config",
    "stop": "engine.core_api.stops_cli:stop",
    "erase": "engine.core_api.erase_cli:erase",
    "audit": "control_plane.audit.cli:audit",
    "verify": "engine.core_api.verify_cli:verify",
    "backup": "control_plane.launcher.backup:backup",
    "restore": "control_plane.launcher.backup:restore",
    "smsc": "bench.simulators.smsc.cli:smsc",
    "proxy": "bench.simulators.proxy.cli:proxy",
    "witness": "bench.simulators.smsc.cli:witness",
    "wallet": "engine.core_api.money_cli:wallet",
    "rates": "engine.core_api.money_cli:rates",
    "text": "engine.channels.text_cli:text",
    "bench": "bench.cli:bench",
    "chaos": "bench.chaos.cli:chaos",
}


class Verbs(click.Group):
    """Resolves a verb by the table, so that `heliograph --help` imports nothing heavy."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, name = VERBS[cmd_name].split(":")
        return cast(click.Command, getattr(importlib.import_module(module), name))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="heliograph", prog_name="heliograph")
def main() -> None:
    """Heliograph: self-hosted bulk messaging. `heliograph up` starts everything on this machine."""


if __name__ == "__main__":
    main()
