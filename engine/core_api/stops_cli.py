"""`heliograph stop`: stop all sending from the command line, also where the control plane is away."""

from uuid import UUID, uuid4

import click

from engine.core_api import schema
from engine.core_api.client import CoreClient
from engine.core_api.console_link import CoreLink, ask, core_options, print_json


@click.command()
@core_options
@click.argument("scope", type=click.Choice(["everything", "workspace", "channel"]), required=False)
@click.argument("which", required=False)
@click.option("--reason", default="", help="Shown beside the campaigns that it holds.")
@click.option("--lift", is_flag=True, help="Let go on what these words stopped; alone: all of it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def stop(
    link: CoreLink, scope: schema.StopScope | None, which: str | None, reason: str, lift: bool, as_json: bool
) -> None:
    """Stop all sending within a second: `everything`, `workspace ID` or `channel NAME`.

    Nothing is claimed while a stop stands; messages the operator has already accepted are not recalled.
    Campaigns stay in Sending and say why they wait. Without arguments: what is stopped now. --lift ends it.
    """
    if (scope in ("workspace", "channel")) != (which is not None):
        raise click.UsageError("name a workspace by its id, a channel by its name; everything takes no name")
    if lift:
        stops = ask(link, lambda client: _lift(client, scope, which))
    elif scope is None:
        stops = [one for one in ask(link, lambda client: client.stops()).stops if one.lifted_at is None]
    else:
        spec = schema.StopSpec(
            decision_id=uuid4(),
            scope=scope,
            workspace_id=_uuid(which) if scope == "workspace" else None,
            channel=which if scope == "channel" else None,
            reason=reason,
            made_by="installation",  # who has this machine is above any workspace
        )
        stops = [ask(link, lambda client: client.stop(spec))]
    if as_json:
        print_json(stops)
        return
    for one in stops:
        done = "lifted" if one.lifted_at else "stopped"
        click.echo(f"{done}: {_words(one)} (since {one.stopped_at:%F %T}Z)")
    if not stops:
        click.echo("nothing is stopped")


async def _lift(client: CoreClient, scope: schema.StopScope | None, which: str | None) -> list[schema.Stop]:
    lifted = []
    for one in (await client.stops()).stops:
        named = str(one.workspace_id) if one.scope == "workspace" else one.channel
        same = which is None or which.lower() == str(named).lower()
        if one.lifted_at is None and (scope is None or (one.scope == scope and same)):
            lifted.append(await client.lift_stop(one.stop_id, schema.LiftSpec(decision_id=uuid4())))
    return lifted


def _uuid(text: str | None) -> UUID:
    try:
        return UUID(str(text))
    except ValueError:
        raise click.UsageError(f"{text!r} is no workspace id") from None


def _words(one: schema.Stop) -> str:
    what = {"everything": "everything", "workspace": f"workspace {one.workspace_id}"}
    words = what.get(one.scope, f"channel {one.channel}")
    return f"{words}, {one.reason}" if one.reason else words
