"""SMSC accounts, channels, and the state of the engine itself."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine import __version__
from engine._fast import PURE
from engine.bus.postgres import ring
from engine.channels.checks import account_fields, checked_account, checked_channel, message_fields
from engine.channels.interface import BadSettings
from engine.channels.preset_files import presets
from engine.core_api import schema
from engine.core_api.server.answers import Refused, answer, body
from engine.core_api.server.state import engine
from engine.ledger import accounts, decisions
from engine.ledger.pool import Connection


async def health(request: Request) -> Response:
    """Cheap: no database. 200 also while stopping, so that the caller can tell why it gets no service."""
    state = engine(request)
    return answer(
        schema.Health(
            status="stopping" if state.stopping else "ok",
            version=__version__,
            schema_version=state.schema_version,
            implementation="pure" if PURE else "c",
            worker=state.worker,
        )
    )


async def pulse(request: Request) -> Response:
    """Messages in flight, rates, binds, and receipts in the local journal."""
    state = engine(request)
    found = state.dispatcher.pulse()
    if state.writer is not None:
        found = msgspec.structs.replace(found, journal=state.writer.journal)
    return answer(found)


async def published_schema(_request: Request) -> Response:
    """JSON Schema of every type of this API."""
    types = [
        kind
        for _, kind in inspect.getmembers(schema, inspect.isclass)
        if issubclass(kind, schema.Struct) and kind is not schema.Struct
    ]
    _, components = msgspec.json.schema_components(types)
    return answer({"version": schema.VERSION, "components": components})


async def settings_of_accounts(_request: Request) -> Response:
    """Every setting of an account: type, default, meaning; the console draws its form from this."""
    return answer(account_fields())


async def settings_of_messages(_request: Request) -> Response:
    """Every setting of a channel's messages."""
    return answer(message_fields())


async def every_preset(_request: Request) -> Response:
    """Starting points for new accounts."""
    return answer(presets())


# accounts ---------------------------------------------------------------------------------------------------


async def every_account(request: Request) -> Response:
    """All accounts with the state of their binds; secrets never."""
    return answer(schema.Accounts(accounts=await _accounts(request)))


async def one_account(request: Request) -> Response:
    """One account; secrets never."""
    return answer((await _accounts(request, request.path_params["name"]))[0])


async def create_account(request: Request) -> Response:
    """A new account, bound at once."""
    order = await body(request, schema.AccountCommand)
    spec = checked(checked_account, order.account)

    async def act(connection: Connection) -> None:
        await accounts.create_account(connection, spec, engine(request).secrets)

    return await _decide(request, order, "account.create", spec.name, act, 201)


async def change_account(request: Request) -> Response:
    """Change an account whose version is the one given; without a restart."""
    order, name = await body(request, schema.AccountChange), request.path_params["name"]
    box = engine(request).secrets

    async def act(connection: Connection) -> None:
        spec, enabled = await accounts.changed_account(connection, name, order, box)
        await accounts.write_account(connection, checked(checked_account, spec), box, enabled=enabled)

    return await _decide(request, order, "account.change", name, act)


async def clone_account(request: Request) -> Response:
    """A copy under another name, secrets included, disabled."""
    order, name = await body(request, schema.CloneCommand), request.path_params["name"]
    box = engine(request).secrets

    async def act(connection: Connection) -> None:
        spec = await accounts.account_spec(connection, name, box)
        copy = msgspec.structs.replace(spec, name=order.name)
        await accounts.create_account(connection, copy, box, enabled=False)

    return await _decide(request, order, "account.clone", order.name, act, 201)


async def put_account(request: Request) -> Response:
    """Insert or change an SMSC account. The password never comes back."""
    spec = checked(checked_account, await body(request, schema.AccountSpec))
    _same_name(request, spec.name)
    state = engine(request)
    async with state.pool.acquire() as connection:
        await accounts.upsert_account(connection, spec, state.secrets)
    state.dispatcher.wake()
    return Response(status_code=204)


# channels ---------------------------------------------------------------------------------------------------


async def every_channel(request: Request) -> Response:
    """All channels with the state of their binds."""
    return answer(await _channels(request))


async def one_channel(request: Request) -> Response:
    """One channel with the state of its binds."""
    return answer((await _channels(request, request.path_params["name"]))[0])


async def create_channel(request: Request) -> Response:
    """A new channel over an account."""
    order = await body(request, schema.ChannelCommand)

    async def act(connection: Connection) -> None:
        spec = await _checked_channel(request, connection, order.channel)
        await accounts.create_channel(connection, spec)

    return await _decide(request, order, "channel.create", order.channel.name, act, 201)


async def change_channel(request: Request) -> Response:
    """Change a channel whose version is the one given; without a restart."""
    order, name = await body(request, schema.ChannelChange), request.path_params["name"]

    async def act(connection: Connection) -> None:
        (stored,) = await accounts.published_channels(connection, name)
        wanted = schema.ChannelSpec(
            name=name,
            account=stored.account if order.account is UNSET else order.account,
            settings=stored.settings if order.settings is UNSET else order.settings,
        )
        spec = await _checked_channel(request, connection, wanted)
        change = msgspec.structs.replace(order, account=spec.account, settings=spec.settings)
        await accounts.change_channel(connection, name, change)

    return await _decide(request, order, "channel.change", name, act)


async def clone_channel(request: Request) -> Response:
    """A copy under another name, over the same account."""
    order, name = await body(request, schema.CloneCommand), request.path_params["name"]

    async def act(connection: Connection) -> None:
        (stored,) = await accounts.published_channels(connection, name)
        spec = schema.ChannelSpec(name=order.name, account=stored.account, settings=stored.settings)
        await accounts.create_channel(connection, spec, enabled=stored.enabled)

    return await _decide(request, order, "channel.clone", order.name, act, 201)


async def put_channel(request: Request) -> Response:
    """Insert or change a channel over an account."""
    spec = await body(request, schema.ChannelSpec)
    _same_name(request, spec.name)
    state = engine(request)
    async with state.pool.acquire() as connection:
        await accounts.upsert_channel(connection, await _checked_channel(request, connection, spec))
    state.dispatcher.wake()
    return Response(status_code=204)


# ------------------------------------------------------------------------------------------------------------

S = TypeVar("S")


def checked(check: Callable[[S], S], spec: S) -> S:
    """Raises Refused (422) that names the field."""
    try:
        return check(spec)
    except BadSettings as error:
        raise wrong_setting(error) from None


def wrong_setting(error: BadSettings) -> Refused:
    detail = str(error).removeprefix(f"{error.field}: ")
    return Refused("invalid", 422, "A setting is wrong", detail, error.field)


async def _checked_channel(
    request: Request, connection: Connection, spec: schema.ChannelSpec
) -> schema.ChannelSpec:
    (account,) = await accounts.published_accounts(connection, engine(request).secrets, spec.account)
    return checked(lambda wanted: checked_channel(wanted, account), spec)


async def _decide(
    request: Request,
    order: schema.Order,
    command: str,
    name: str,
    act: Callable[[Connection], Awaitable[None]],
    status: int = 200,
) -> Response:
    """Do it once a decision id, wake the workers, and answer with what the account or channel is now."""
    state = engine(request)

    async def once() -> schema.Done:
        await act(connection)
        return schema.Done()

    async with state.pool.acquire() as connection, connection.transaction():
        await decisions.once(
            connection, order.decision_id, f"{command} {name}", without_secrets(order), schema.Done, once
        )
        await ring(connection)
    state.dispatcher.wake()
    read = _accounts if command.startswith("account") else _channels
    return answer((await read(request, name))[0], status)


def without_secrets(order: msgspec.Struct) -> bytes:
    """The body that a decision id stands for. Its hash is stored, and a short password could be found from
    a hash: secrets are left out."""
    return msgspec.json.encode(_bare(msgspec.to_builtins(order)), order="sorted")


def _bare(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _bare(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if name not in ("password", "secrets")
    }


async def _accounts(request: Request, name: str | None = None) -> list[schema.Account]:
    state = engine(request)
    async with state.pool.acquire() as connection:
        stored = await accounts.published_accounts(connection, state.secrets, name)
    live = _live(request)
    return [
        msgspec.structs.replace(
            each, live=[live.get((bind.account, bind.number), bind) for bind in each.live]
        )
        for each in stored
    ]


async def _channels(request: Request, name: str | None = None) -> list[schema.Channel]:
    state = engine(request)
    async with state.pool.acquire() as connection:
        stored = await accounts.published_channels(connection, name)
    live = _live(request)
    return [
        msgspec.structs.replace(
            each, binds=[live.get((bind.account, bind.number), bind) for bind in each.binds]
        )
        for each in stored
    ]


def _live(request: Request) -> dict[tuple[str, int], schema.Bind]:
    """What this worker holds it knows better than the table; other workers' binds stand in the table."""
    return {(bind.account, bind.number): bind for bind in engine(request).dispatcher.binds()}


def _same_name(request: Request, name: str) -> None:
    if request.path_params["name"] != name:
        raise Refused("invalid", 422, "The name does not fit", "name: not the one of the path", "name")


routes = [
    Route("/health", health, methods=["GET"]),
    Route("/pulse", pulse, methods=["GET"]),
    Route("/schema", published_schema, methods=["GET"]),
    Route("/settings/account", settings_of_accounts, methods=["GET"]),
    Route("/settings/message", settings_of_messages, methods=["GET"]),
    Route("/presets", every_preset, methods=["GET"]),
    Route("/accounts", every_account, methods=["GET"]),
    Route("/accounts", create_account, methods=["POST"]),
    Route("/accounts/{name}", one_account, methods=["GET"]),
    Route("/accounts/{name}", change_account, methods=["PATCH"]),
    Route("/accounts/{name}", put_account, methods=["PUT"]),
    Route("/accounts/{name}/clone", clone_account, methods=["POST"]),
    Route("/channels", every_channel, methods=["GET"]),
    Route("/channels", create_channel, methods=["POST"]),
    Route("/channels/{name}", one_channel, methods=["GET"]),
    Route("/channels/{name}", change_channel, methods=["PATCH"]),
    Route("/channels/{name}", put_channel, methods=["PUT"]),
    Route("/channels/{name}/clone", clone_channel, methods=["POST"]),
]
