"""Settings of an account and its binds (`accounts.settings`), each with what it means.

The console's form and the Core API's description of them are made from this.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta, timezone, tzinfo
from ipaddress import ip_network
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

__all__ = ["SECRETS", "AccountSettings", "TpsWindow", "zone"]

SECRETS = {
    "tls_client_key": "Private key of the client certificate (PEM). Stored encrypted, never shown.",
    "outbind_password": "What the SMSC must say in its outbind. Stored encrypted, never shown.",
}
"""Write-only settings beside the password: kept encrypted in `accounts.secrets_encrypted`."""

_CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$"
_IdBase = Literal["auto", "text", "hex", "dec"]


def _m(group: str, description: str, unit: str = "", **limits: Any) -> Meta:
    return Meta(description=description, extra={"group": group, "unit": unit}, **limits)


class TpsWindow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hours with another TPS, in `tz`. `from` after `to` goes over midnight."""

    start: Annotated[str, Meta(pattern=_CLOCK)] = msgspec.field(name="from")
    end: Annotated[str, Meta(pattern=_CLOCK)] = msgspec.field(name="to")
    tps: Annotated[int, Meta(ge=0, le=1_000_000)]
    days: Annotated[str, Meta(pattern=r"^[a-z]{3}(-[a-z]{3})?(,[a-z]{3}(-[a-z]{3})?)*$")] = "mon-sun"


class AccountSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything of an account that its operator may differ in. Times in seconds."""

    # -- bind ---------------------------------------------------------------------------------------------

    tlv: Annotated[
        Literal["always", "negotiated", "never"],
        _m(
            "Bind",
            "Whether optional parameters (TLVs) are sent. negotiated: only where the bind response carries "
            "sc_interface_version 3.4 or above; many SMSCs omit it and still require TLVs, so the default is "
            "always. never: no TLVs, also none for DLT, and parts by UDH.",
        ),
    ] = "always"
    bind_stagger_s: Annotated[
        float,
        _m("Bind", "Least time between two connections of this account.", "s", ge=0, le=60),
    ] = 0.25
    password_tries: Annotated[
        int,
        _m(
            "Bind",
            "Refused passwords or system ids in a row, over all binds of the account, before they stop and "
            "an alarm is raised. SMSCs ban addresses that go on.",
            ge=1,
            le=10,
        ),
    ] = 3
    already_bound_min_s: Annotated[
        float,
        _m(
            "Bind",
            "Shortest wait after ESME_RALYBND: the session of a crash lives on at the SMSC for minutes.",
            "s",
            gt=0,
            le=600,
        ),
    ] = 30.0
    already_bound_max_s: Annotated[
        float,
        _m("Bind", "Longest wait after ESME_RALYBND; it is random in between.", "s", gt=0, le=900),
    ] = 60.0

    # -- timers -------------------------------------------------------------------------------------------

    response_timeout_s: Annotated[
        float,
        _m(
            "Timers",
            "A submit_sm without a response for this long is in doubt. Time in which the engine could not "
            "read does not count.",
            "s",
            gt=0,
            le=600,
        ),
    ] = 30.0
    straggler_s: Annotated[
        float,
        _m(
            "Timers",
            "How long a late response is still taken for its message, which keeps its place in the window.",
            "s",
            gt=0,
            le=3600,
        ),
    ] = 300.0
    enquire_link_s: Annotated[
        float, _m("Timers", "Silence of the SMSC before an enquire_link is sent.", "s", gt=0, le=3600)
    ] = 30.0
    enquire_timeout_s: Annotated[
        float, _m("Timers", "How long an enquire_link may go unanswered.", "s", gt=0, le=300)
    ] = 10.0
    enquire_misses: Annotated[
        int, _m("Timers", "Unanswered enquire_links after which the bind is closed.", ge=1, le=10)
    ] = 2
    bind_timeout_s: Annotated[
        float, _m("Timers", "How long the SMSC may take to answer a bind.", "s", gt=0, le=300)
    ] = 30.0
    unbind_timeout_s: Annotated[
        float, _m("Timers", "How long the SMSC may take to answer an unbind.", "s", gt=0, le=60)
    ] = 5.0
    connect_timeout_s: Annotated[
        float, _m("Timers", "How long connecting (and the TLS handshake) may take.", "s", gt=0, le=120)
    ] = 10.0
    reconnect_min_s: Annotated[
        float, _m("Timers", "First wait before a lost bind comes back; doubles up to the longest.", "s", gt=0)
    ] = 1.0
    reconnect_max_s: Annotated[
        float, _m("Timers", "Longest wait before a lost bind comes back.", "s", gt=0, le=3600)
    ] = 60.0

    # -- TLS ----------------------------------------------------------------------------------------------

    tls: Annotated[
        Literal["off", "on"],
        _m("TLS", "on: the connection is TLS and the SMSC's certificate is verified, always."),
    ] = "off"
    tls_ca_pem: Annotated[
        str,
        _m("TLS", "Certificates (PEM) that may have signed the SMSC's. Empty: those of the system.", "pem"),
    ] = ""
    tls_server_name: Annotated[
        str, _m("TLS", "Name the SMSC's certificate must carry. Empty: the host of the account.")
    ] = ""
    tls_client_cert_pem: Annotated[
        str,
        _m("TLS", "Certificate (PEM) we show to the SMSC, its chain after it. Its key is a secret.", "pem"),
    ] = ""

    # -- rate ---------------------------------------------------------------------------------------------

    express_share: Annotated[
        float,
        _m(
            "Rate",
            "Part of the TPS that bulk campaigns leave free for express messages.",
            "share",
            ge=0,
            le=1,
        ),
    ] = 0.1
    slow_on_response_time: Annotated[
        bool,
        _m(
            "Rate",
            "Slow down where responses take more than twice their best and 50 ms longer: messages queue at "
            "the SMSC. The rate then stays a little under what it takes, and probes upwards. Off: only "
            "throttles slow down.",
        ),
    ] = True
    tps_schedule: Annotated[
        list[TpsWindow],
        _m(
            "Rate",
            "Hours with another TPS; the first that fits counts, outside of them the account's own.",
        ),
    ] = msgspec.field(default_factory=list)
    tz: Annotated[str, _m("Rate", "Time zone of the TPS schedule.", "zone")] = "UTC"

    # -- receipts -----------------------------------------------------------------------------------------

    id_base_response: Annotated[
        _IdBase,
        _m(
            "Receipts",
            "Message ids in submit_sm_resp; auto learns the base and locks it after 100 matches.",
        ),
    ] = "auto"
    id_base_receipt: Annotated[
        _IdBase,
        _m("Receipts", "Message ids in receipts; auto learns the base and locks it after 100 matches."),
    ] = "auto"
    receipt_prefer: Annotated[
        Literal["tlv", "text"],
        _m("Receipts", "Which counts where a receipt's TLVs and its text contradict each other."),
    ] = "tlv"
    accepted_is_final: Annotated[
        bool, _m("Receipts", "ACCEPTD is the last word of this SMSC: the message counts as delivered.")
    ] = False
    receipt_tz: Annotated[
        str,
        _m("Receipts", "Time zone of the dates in receipts, such as Asia/Kolkata or +05:30.", "zone"),
    ] = "UTC"
    receipt_horizon_s: Annotated[
        int,
        _m(
            "Receipts",
            "How long a receipt is awaited. 0: the validity plus 24 hours, at most 72 hours.",
            "s",
            ge=0,
            le=1_209_600,
        ),
    ] = 0

    # -- outbind ------------------------------------------------------------------------------------------

    outbind: Annotated[
        bool,
        _m(
            "Outbind",
            "The SMSC may connect to us and say outbind; a receiver is bound on that connection. Needs the "
            "engine's outbind_port.",
        ),
    ] = False
    outbind_allow: Annotated[
        list[str], _m("Outbind", "Addresses or networks that outbinds of this account may come from.")
    ] = msgspec.field(default_factory=list)
    outbind_system_id: Annotated[str, _m("Outbind", "The system_id the SMSC must say in its outbind.")] = ""

    def __post_init__(self) -> None:
        if self.already_bound_min_s > self.already_bound_max_s:
            raise ValueError("already_bound_min_s: at most already_bound_max_s")
        if self.reconnect_min_s > self.reconnect_max_s:
            raise ValueError("reconnect_min_s: at most reconnect_max_s")
        _check("tz", zone, self.tz)
        _check("receipt_tz", zone, self.receipt_tz)
        for network in self.outbind_allow:
            _check("outbind_allow", ip_network, network)
        if self.outbind and not (self.outbind_allow and self.outbind_system_id):
            raise ValueError("outbind: needs outbind_allow and outbind_system_id")


def zone(name: str) -> tzinfo:
    """An IANA zone, or a fixed offset such as +05:30. Raises ValueError."""
    match = re.fullmatch(r"([+-])(\d\d):(\d\d)", name)
    if match:
        minutes = int(match[2]) * 60 + int(match[3])
        return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone") from None


def _check(name: str, read: Callable[[str], object], value: str) -> None:
    try:
        read(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
