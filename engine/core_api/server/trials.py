"""Trying things out on an SMSC: test binds, test messages, traces of PDUs."""

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.bus.postgres import ring
from engine.channels.checks import checked_account, trial_config
from engine.channels.interface import BadSettings
from engine.core_api import schema
from engine.core_api.server.answers import Refused, answer, body, path_uuid, whole_number
from engine.core_api.server.channels import checked, without_secrets, wrong_setting
from engine.core_api.server.state import EngineState, engine
from engine.ledger import accounts, decisions, traces, trial_messages
from engine.ledger.errors import NotFound
from engine.smpp import status
from engine.smpp.limits import field_warnings
from engine.smpp.trial import Trial, try_bind

log = structlog.get_logger(__name__)

ALPHABET = "@£$_{}[]~^|€ñ"
"""The text of a test alphabet: characters that the alphabets of SMSCs disagree about."""

PAGE = 500
MAX_TEXT = 10_000


async def test_given_account(request: Request) -> Response:
    """Bind with what is given, look, unbind. An empty password is that of the stored account of the name."""
    spec, state = await body(request, schema.AccountSpec), engine(request)
    if not spec.password:
        spec = await _with_stored_secrets(state, spec)
    return answer(await _test(checked(checked_account, spec)))


async def test_stored_account(request: Request) -> Response:
    """Bind with a stored account, look, unbind. Its running binds may use up what the SMSC allows."""
    state = engine(request)
    async with state.pool.acquire() as connection:
        spec = await accounts.account_spec(connection, request.path_params["name"], state.secrets)
    return answer(await _test(spec))


async def _with_stored_secrets(state: EngineState, spec: schema.AccountSpec) -> schema.AccountSpec:
    try:
        async with state.pool.acquire() as connection:
            stored = await accounts.account_spec(connection, spec.name, state.secrets)
    except NotFound:
        return spec
    return accounts.with_secrets(spec, stored)


async def _test(spec: schema.AccountSpec) -> schema.BindReport:
    try:
        config = trial_config(spec)
    except BadSettings as error:
        raise wrong_setting(error) from None
    trial = await try_bind(config)
    log.info("test bind", account=spec.name, bound=trial.bound, detail=trial.detail)
    return report(trial, spec, config.bind_mode)


def report(trial: Trial, spec: schema.AccountSpec, mode: str) -> schema.BindReport:
    """A trial as the console shows it."""
    warnings = field_warnings(system_id=spec.system_id, password=spec.password, system_type=spec.system_type)
    if trial.put_off:
        warnings.append(f"{trial.put_off} messages of the SMSC were put off; it sends them again")
    if trial.bound and trial.interface_version is None and spec.settings.get("tlv") == "negotiated":
        warnings.append("the SMSC says no version: with tlv = negotiated it gets no TLVs")
    return schema.BindReport(
        bound=trial.bound,
        mode=mode,
        detail=trial.detail,
        status=trial.status,
        status_name="" if trial.status is None else status.name(trial.status),
        peer_system_id=trial.peer_system_id,
        interface_version=trial.interface_version,
        tlvs=trial.tlvs,
        connect_ms=trial.connect_ms,
        tls=trial.tls,
        tls_peer=trial.tls_peer,
        bind_ms=trial.bind_ms,
        enquire_link_ms=trial.enquire_link_ms,
        unbound=trial.unbound,
        warnings=warnings,
    )


async def send_test_message(request: Request) -> Response:
    """Record a test message; a worker with a bind of the channel claims and sends it, once."""
    order, name = await body(request, schema.TestMessageSpec), request.path_params["name"]
    if order.alphabet == bool(order.text):
        raise Refused("invalid", 422, "Which text?", "either a text or the test alphabet", "text")
    if len(order.text) > MAX_TEXT:
        raise Refused("invalid", 422, "The text is too long", f"at most {MAX_TEXT} characters", "text")
    text, state = order.text or ALPHABET, engine(request)

    async def act() -> schema.Done:
        (channel,) = await accounts.published_channels(connection, name)
        if not (channel.enabled and channel.account_enabled):
            raise Refused("conflict", 409, "The channel is disabled", f"channel {name!r} or its account")
        await trial_messages.record(connection, name, order, text)
        await ring(connection)
        return schema.Done()

    async with state.pool.acquire() as connection:
        async with connection.transaction():
            command = f"channel.test {name}"
            await decisions.once(
                connection, order.decision_id, command, without_secrets(order), schema.Done, act
            )
        recorded = await trial_messages.one(connection, order.decision_id)
    state.dispatcher.wake()
    return answer(recorded, 202)


async def one_test_message(request: Request) -> Response:
    """A test message with its responses and receipts."""
    async with engine(request).pool.acquire() as connection:
        return answer(await trial_messages.one(connection, path_uuid(request)))


async def test_messages(request: Request) -> Response:
    """The channel's newest 50 test messages."""
    async with engine(request).pool.acquire() as connection:
        found = await trial_messages.of_channel(connection, request.path_params["name"])
    return answer(schema.TestMessages(messages=found))


async def start_trace(request: Request) -> Response:
    """Record PDUs of a bind, a number or a message for at most 15 minutes."""
    order, state = await body(request, schema.TraceSpec), engine(request)
    needed = {"bind": order.account, "number": order.msisdn, "message": order.message_id}[order.scope]
    if not needed:
        field = {"bind": "account", "number": "msisdn", "message": "message_id"}[order.scope]
        raise Refused("invalid", 422, "What is to be traced?", f"needed to trace a {order.scope}", field)

    async def act() -> schema.Trace:
        return await traces.one(connection, await traces.create(connection, order))

    async with state.pool.acquire() as connection, connection.transaction():
        made = await decisions.once(
            connection, order.decision_id, "trace", without_secrets(order), schema.Trace, act
        )
        await ring(connection)
    state.dispatcher.wake()
    return answer(made, 201)


async def every_trace(request: Request) -> Response:
    """The newest 50 traces."""
    async with engine(request).pool.acquire() as connection:
        return answer(schema.Traces(traces=await traces.listed(connection)))


async def one_trace(request: Request) -> Response:
    """A trace and up to 500 PDUs after `after`, decoded and masked."""
    after = whole_number(request, "after", 0, 2**62)
    async with engine(request).pool.acquire() as connection:
        return answer(await traces.pdus(connection, _trace_id(request), after, PAGE))


async def end_trace(request: Request) -> Response:
    """Record no more; what was recorded stays for a day."""
    async with engine(request).pool.acquire() as connection:
        await traces.end(connection, _trace_id(request))
        await ring(connection)
    engine(request).dispatcher.wake()
    return Response(status_code=204)


def _trace_id(request: Request) -> int:
    given = request.path_params["id"]
    if not (given.isascii() and given.isdigit() and len(given) < 10):
        raise Refused("not-found", 404, "There is no such thing")
    return int(given)


routes = [
    Route("/accounts/test", test_given_account, methods=["POST"]),
    Route("/accounts/{name}/test", test_stored_account, methods=["POST"]),
    Route("/channels/{name}/test-message", send_test_message, methods=["POST"]),
    Route("/channels/{name}/test-messages", test_messages, methods=["GET"]),
    Route("/test-messages/{id}", one_test_message, methods=["GET"]),
    Route("/traces", start_trace, methods=["POST"]),
    Route("/traces", every_trace, methods=["GET"]),
    Route("/traces/{id}", one_trace, methods=["GET"]),
    Route("/traces/{id}", end_trace, methods=["DELETE"]),
]
