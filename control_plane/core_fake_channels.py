"""The fake engine's accounts and channels: kept, versioned, cloned, tested; nothing is bound or sent."""

from typing import Any
from uuid import UUID

import msgspec

from control_plane.core import BindControl
from control_plane.core_fake_operations import STARTED, FakeOperations, refuse
from engine.core_api import schema

ACCOUNT_SETTINGS = [
    schema.Setting(
        name="tlv",
        group="Bind",
        kind="choice",
        description="Whether optional parameters are sent.",
        default="always",
        choices=["always", "negotiated", "never"],
    ),
    schema.Setting(
        name="enquire_link_s",
        group="Timers",
        kind="number",
        description="Silence of the SMSC before an enquire_link is sent.",
        unit="s",
        default=30.0,
        minimum=0,
        maximum=3600,
    ),
    schema.Setting(
        name="enquire_misses",
        group="Timers",
        kind="whole",
        description="Unanswered enquire_links after which the bind is closed.",
        default=2,
        minimum=1,
        maximum=10,
    ),
    schema.Setting(
        name="tls_ca_pem", group="TLS", kind="pem", description="Certificates that may sign.", default=""
    ),
    schema.Setting(
        name="tls_client_key", group="TLS", kind="pem", description="Private key.", default="", secret=True
    ),
    schema.Setting(
        name="outbind", group="Outbind", kind="flag", description="The SMSC may connect to us.", default=False
    ),
    schema.Setting(
        name="outbind_allow",
        group="Outbind",
        kind="lines",
        description="Addresses it may come from.",
        default=[],
    ),
    schema.Setting(
        name="receipt_tz", group="Receipts", kind="zone", description="Zone of the dates.", default="UTC"
    ),
    schema.Setting(
        name="tps_schedule",
        group="Rate",
        kind="table",
        description="Hours with another TPS.",
        default=[],
        columns=[
            schema.Setting(name="from", group="", kind="text", description="From", default=None),
            schema.Setting(name="to", group="", kind="text", description="To", default=None),
            schema.Setting(name="tps", group="", kind="whole", description="TPS", default=None),
        ],
    ),
]
MESSAGE_SETTINGS = [
    schema.Setting(
        name="default_alphabet",
        group="Text",
        kind="choice",
        description="What data_coding 0 means.",
        default="gsm_unpacked",
        choices=["gsm_unpacked", "gsm_packed", "ia5", "latin1"],
    ),
    schema.Setting(
        name="registered_delivery",
        group="Flags",
        kind="whole",
        description="Receipts.",
        default=1,
        maximum=255,
    ),
]
PRESETS = [
    schema.Preset(
        name="generic",
        title="Generic SMPP 3.4",
        description="A starting point.",
        account={"window_size": 20},
        settings={"tlv": "negotiated"},
        message_settings={"default_alphabet": "latin1"},
    )
]
REPORT = schema.BindReport(
    bound=True,
    mode="transceiver",
    detail="",
    status=0,
    status_name="ESME_ROK",
    peer_system_id="SMSC",
    interface_version=0x34,
    tlvs={"sc_interface_version": "34"},
    connect_ms=1.0,
    tls="",
    tls_peer="",
    bind_ms=2.0,
    enquire_link_ms=0.5,
    unbound=True,
    warnings=[],
)


class FakeChannels(FakeOperations):
    """Starts with the channel `Demo SMSC` over the account `demo`."""

    def __init__(self) -> None:
        super().__init__()
        self._accounts: dict[str, schema.Account] = {}
        self._channels: dict[str, schema.Channel] = {}
        self._decided: set[UUID] = set()
        self._tests: dict[str, list[schema.TestMessage]] = {}
        self._traces: dict[int, schema.Trace] = {}
        self.passwords: dict[str, str] = {}
        self._keep_account(
            schema.AccountSpec(
                name="demo",
                host="127.0.0.1",
                port=2775,
                system_id="demo",
                password="x",  # noqa: S106 - of nothing
                tps=500,
            ),
            enabled=True,
        )
        self._keep_channel(schema.ChannelSpec(name="Demo SMSC", account="demo"))
        self.done.clear()

    async def put_account(self, spec: schema.AccountSpec) -> None:
        self._reach()
        self._keep_account(spec, enabled=True)

    async def put_channel(self, spec: schema.ChannelSpec) -> None:
        self._reach()
        self._keep_channel(spec)

    async def channels(self) -> list[schema.Channel]:
        self._reach()
        return [self._shown(name) for name in self._channels]

    async def channel(self, name: str) -> schema.Channel:
        self._reach()
        self._require_channel(name)
        return self._shown(name)

    async def create_channel(self, command: schema.ChannelCommand) -> schema.Channel:
        self._reach()
        spec = command.channel
        if command.decision_id not in self._decided:
            if spec.name in self._channels:
                refuse("name-taken", 409, "there is such a channel")
            self._require_account(spec.account)
            self._keep_channel(spec)
            self._decide(command.decision_id, "create channel")
        return self._shown(spec.name)

    async def change_channel(self, name: str, change: schema.ChannelChange) -> schema.Channel:
        found = await self.channel(name)
        if change.decision_id not in self._decided:
            if change.version != found.version:
                refuse("changed", 409, "another was first")
            fields = _given(change)
            if "account" in fields:
                self._require_account(fields["account"])
            self._channels[name] = msgspec.structs.replace(found, **fields, version=found.version + 1)
            self._decide(change.decision_id, "change channel")
        return self._shown(name)

    async def clone_channel(self, name: str, command: schema.CloneCommand) -> schema.Channel:
        found = await self.channel(name)
        spec = schema.ChannelSpec(name=command.name, account=found.account, settings=found.settings)
        return await self.create_channel(schema.ChannelCommand(decision_id=command.decision_id, channel=spec))

    async def accounts(self) -> schema.Accounts:
        self._reach()
        return schema.Accounts(accounts=[await self.account(name) for name in self._accounts])

    async def account(self, name: str) -> schema.Account:
        self._reach()
        self._require_account(name)
        over = [channel.name for channel in self._channels.values() if channel.account == name]
        return msgspec.structs.replace(self._accounts[name], channels=over)

    async def create_account(self, command: schema.AccountCommand) -> schema.Account:
        self._reach()
        if command.decision_id not in self._decided:
            if command.account.name in self._accounts:
                refuse("name-taken", 409, "there is such an account")
            _check(command.account.settings)
            self._keep_account(command.account, enabled=True)
            self._decide(command.decision_id, "create account")
        return await self.account(command.account.name)

    async def change_account(self, name: str, change: schema.AccountChange) -> schema.Account:
        found = await self.account(name)
        if change.decision_id not in self._decided:
            if change.version != found.version:
                refuse("changed", 409, "another was first")
            fields = _given(change)
            _check(fields.get("settings", {}))
            if password := fields.pop("password", ""):
                self.passwords[name] = password
            elif any(fields.get(key, getattr(found, key)) != getattr(found, key) for key in ("host", "port")):
                refuse("invalid", 422, "give the password again", "password")
            secrets = {*found.secrets_set, *fields.pop("secrets", {})}
            self._accounts[name] = msgspec.structs.replace(
                found, **fields, secrets_set=sorted(secrets), version=found.version + 1
            )
            self._decide(change.decision_id, "change account")
        return await self.account(name)

    async def clone_account(self, name: str, command: schema.CloneCommand) -> schema.Account:
        found = await self.account(name)
        if command.decision_id not in self._decided:
            if command.name in self._accounts:
                refuse("name-taken", 409, "there is such an account")
            self._accounts[command.name] = msgspec.structs.replace(
                found, name=command.name, enabled=False, version=1, account_id=found.account_id + 100, live=[]
            )
            self._decide(command.decision_id, "clone account")
        return await self.account(command.name)

    async def account_settings(self) -> list[schema.Setting]:
        self._reach()
        return ACCOUNT_SETTINGS

    async def message_settings(self) -> list[schema.Setting]:
        self._reach()
        return MESSAGE_SETTINGS

    async def presets(self) -> list[schema.Preset]:
        self._reach()
        return PRESETS

    async def test_bind(self, spec: schema.AccountSpec) -> schema.BindReport:
        self._reach()
        return REPORT

    async def test_account(self, name: str) -> schema.BindReport:
        await self.account(name)
        return REPORT

    async def send_test(self, channel: str, spec: schema.TestMessageSpec) -> schema.TestMessage:
        await self.channel(channel)
        sent = schema.TestMessage(
            test_id=spec.decision_id,
            channel=channel,
            msisdn=spec.msisdn,
            sender=spec.sender,
            text="@£$_{}[]~^|€ñ" if spec.alphabet else spec.text,
            state="queued",
            detail="",
            requested_at=STARTED,
            parts=[],
        )
        self._tests.setdefault(channel, []).insert(0, sent)
        self.done.append("test message")
        return sent

    async def test_messages(self, channel: str) -> schema.TestMessages:
        await self.channel(channel)
        return schema.TestMessages(messages=self._tests.get(channel, []))

    async def drain(self, name: str, spec: schema.ControlSpec, *, drained: bool = True) -> None:
        self._accounts[name] = msgspec.structs.replace(await self.account(name), drained=drained)
        self.done.append("drain" if drained else "undrain")

    async def control_bind(
        self, name: str, number: int, action: BindControl, spec: schema.ControlSpec
    ) -> None:
        account = await self.account(name)
        if not 1 <= number <= account.binds:
            refuse("not-found", 404, "no such bind")
        self.done.append(f"{action} bind {number}")

    async def start_trace(self, spec: schema.TraceSpec) -> schema.Trace:
        self._reach()
        if spec.account:
            self._require_account(spec.account)
        number = len(self._traces) + 1
        self._traces[number] = schema.Trace(
            trace_id=number,
            scope=spec.scope,
            target=spec.account or "…",
            started_at=STARTED,
            ends_at=STARTED,
            ended=False,
            pdus=0,
            skipped=0,
        )
        self.done.append("trace")
        return self._traces[number]

    async def traces(self) -> schema.Traces:
        self._reach()
        return schema.Traces(traces=[*self._traces.values()])

    async def trace(self, trace_id: int, after: int = 0) -> schema.TracePdus:
        self._reach()
        if trace_id not in self._traces:
            refuse("not-found", 404, "no such trace")
        return schema.TracePdus(trace=self._traces[trace_id], pdus=[], next=after)

    async def end_trace(self, trace_id: int) -> None:
        found = (await self.trace(trace_id)).trace
        self._traces[trace_id] = msgspec.structs.replace(found, ended=True)

    async def account_ids(self, name: str) -> schema.AccountIds:
        await self.account(name)
        return schema.AccountIds(
            account=name,
            set_response="auto",
            set_receipt="auto",
            response=None,
            receipt=None,
            locked_at=None,
            needed=100,
            evidence=[],
            receipt_tz="UTC",
            zone_proposal=None,
            orphans_waiting=0,
            orphans_aged=0,
        )

    async def reset_account_ids(self, name: str, spec: schema.IdReset) -> schema.AccountIds:
        answer = await self.account_ids(name)
        self.done.append("reset ids")
        return answer

    def _decide(self, decision_id: UUID, what: str) -> None:
        self._decided.add(decision_id)
        self.done.append(what)

    def _shown(self, name: str) -> schema.Channel:
        channel = self._channels[name]
        account = self._accounts[channel.account]
        return msgspec.structs.replace(
            channel, tps=account.tps, binds=account.live, account_enabled=account.enabled
        )

    def _knows_channel(self, name: str) -> bool:
        return name in self._channels

    def _require_account(self, name: str) -> None:
        if name not in self._accounts:
            refuse("not-found", 404, f"no account {name}")

    def _keep_channel(self, spec: schema.ChannelSpec) -> None:
        self._channels[spec.name] = schema.Channel(
            channel_id=len(self._channels) + 1,
            name=spec.name,
            kind="smpp",
            account=spec.account,
            tps=0,
            binds=[],
            settings=spec.settings,
        )

    def _keep_account(self, spec: schema.AccountSpec, *, enabled: bool) -> None:
        self.passwords[spec.name] = spec.password
        live = [
            schema.Bind(
                account=spec.name,
                number=number,
                state="bound",
                reason="",
                in_flight=3,
                window_size=spec.window_size,
                changed_at=STARTED,
                mode="transceiver",
                tps_now=12.5,
                tps_limit=float(spec.tps),
                tps_set=float(spec.tps),
                response_ms=21.5,
            )
            for number in range(1, spec.binds + 1)
        ]
        self._accounts[spec.name] = schema.Account(
            account_id=len(self._accounts) + 1,
            name=spec.name,
            host=spec.host,
            port=spec.port,
            system_id=spec.system_id,
            password_set=bool(spec.password),
            system_type=spec.system_type,
            bind_mode=spec.bind_mode,
            interface_version=spec.interface_version,
            tps=spec.tps,
            binds=spec.binds,
            window_size=spec.window_size,
            settings=spec.settings,
            secrets_set=sorted(spec.secrets),
            enabled=enabled,
            drained=False,
            version=1,
            created_at=STARTED,
            updated_at=STARTED,
            warnings=[],
            learned={},
            live=live,
            channels=[],
        )


def _given(change: msgspec.Struct) -> dict[str, Any]:
    named = {name: getattr(change, name) for name in change.__struct_fields__}
    return {
        name: value
        for name, value in named.items()
        if value is not msgspec.UNSET and name not in ("decision_id", "version")
    }


def _check(settings: schema.Settings) -> None:
    known = {setting.name: setting for setting in ACCOUNT_SETTINGS}
    for name, value in settings.items():
        if name not in known:
            refuse("invalid", 422, f"{name}: no such setting", name)
        most = known[name].maximum
        if most is not None and value > most:
            refuse("invalid", 422, f"{name}: at most {most}", name)
