"""What an operator types for an account or a channel, checked as a whole before it is stored."""

from typing import Any

import msgspec

from engine.channels.account_settings import SECRETS, AccountSettings
from engine.channels.described import convert, describe
from engine.channels.interface import Account, BadSettings
from engine.channels.message_settings import MessageSettings
from engine.channels.smpp import bind_modes, link_config
from engine.core_api import schema
from engine.smpp.link import LinkConfig

_VERSIONS = (0x33, 0x34, 0x50)


def account_fields() -> list[schema.Setting]:
    """The form of an account's settings; secrets stand at their group."""
    fields = describe(AccountSettings)
    for name, description in SECRETS.items():
        group = {"tls": "TLS"}.get(name.partition("_")[0], name.partition("_")[0].capitalize())
        last = max(position for position, each in enumerate(fields) if each.group == group)
        secret = schema.Setting(
            name=name,
            group=group,
            kind="pem" if name.endswith("_key") else "text",
            description=description,
            default="",
            secret=True,
        )
        fields.insert(last + 1, secret)
    return fields


def message_fields() -> list[schema.Setting]:
    """The form of a channel's settings."""
    return describe(MessageSettings, "Message")


def checked_account(spec: schema.AccountSpec) -> schema.AccountSpec:
    """The account with only those settings that differ from the defaults. Raises BadSettings with the field.

    Numbers and flags of a form may be strings.
    """
    for name in spec.secrets:
        if name not in SECRETS:
            raise BadSettings(f"{name}: there is no such secret", name)
    if spec.interface_version not in _VERSIONS:
        allowed = ", ".join(f"0x{version:02X}" for version in _VERSIONS)
        raise BadSettings(f"interface_version: one of {allowed}", "interface_version")
    settings, spec = _slim(spec, AccountSettings)
    if settings.outbind and not spec.secrets.get("outbind_password"):
        raise BadSettings("outbind_password: an SMSC that calls must know a password", "outbind_password")
    account = account_of(spec)
    for number, mode in bind_modes(account).items():
        link_config(account, settings, number=number, mode=mode)
        break  # they differ in number and mode only
    return spec


def trial_config(spec: schema.AccountSpec) -> LinkConfig:
    """For a test bind: as transmitter where the account binds pairs. Raises BadSettings."""
    account = account_of(spec)
    mode = "transmitter" if spec.bind_mode == "pair" else spec.bind_mode
    return link_config(account, convert(spec.settings, AccountSettings), number=0, mode=mode)


def account_of(spec: schema.AccountSpec) -> Account:
    """An account that is not stored."""
    return Account(
        account_id=0, enabled=True, version=0, **{
            name: getattr(spec, name) for name in schema.AccountSpec.__struct_fields__
        }
    )  # fmt: skip


def checked_channel(spec: schema.ChannelSpec, account: schema.Account) -> schema.ChannelSpec:
    """See `checked_account`; also against what the account can carry."""
    settings, spec = _slim(spec, MessageSettings)
    if account.settings.get("tlv") == "never" and settings.dlt_required:
        raise BadSettings("dlt_required: the account sends no TLVs (its setting tlv)", "dlt_required")
    return spec


def _slim(spec: Any, kind: type[Any]) -> tuple[Any, Any]:
    settings = convert(spec.settings, kind)
    defaults = msgspec.to_builtins(convert({}, kind))
    chosen = {name: value for name, value in msgspec.to_builtins(settings).items() if value != defaults[name]}
    return settings, msgspec.structs.replace(spec, settings=chosen)
