"""Whom a stored password is sent to. It goes only where it was given for: who may edit an account does not
learn its password by pointing the account at a host of theirs."""

from typing import Any

from engine.core_api import schema
from engine.ledger.errors import PasswordNeeded

DEFAULTS: dict[str, Any] = {
    "tls": "off",
    "tls_ca_pem": "",
    "tls_server_name": "",
    "outbind": False,
    "outbind_allow": [],
    "outbind_system_id": "",
}
_OFF = (False, 0, "", "0", "false", "off", "no")


def keep_password(stored: schema.AccountSpec, wanted: schema.AccountSpec) -> None:
    """Before `wanted` takes over the password of `stored`. Raises PasswordNeeded."""
    if stored.password and (
        (stored.host, stored.port) != (wanted.host, wanted.port)
        or _less_protected(stored, wanted)
        or _other_callers(stored, wanted)
    ):
        raise PasswordNeeded(
            "a stored password goes only where it was given for: give it again with another host or port, "
            "less TLS, or other callers"
        )


def _less_protected(stored: schema.AccountSpec, wanted: schema.AccountSpec) -> bool:
    """TLS off, or somebody else is believed to be the SMSC."""
    if _of(stored, "tls") != "on":
        return False
    return _of(wanted, "tls") != "on" or _differ(stored, wanted, "tls_ca_pem", "tls_server_name")


def _other_callers(stored: schema.AccountSpec, wanted: schema.AccountSpec) -> bool:
    """An outbind is answered with a bind on the caller's connection: the password goes to who calls."""
    if _of(wanted, "outbind") in _OFF:
        return False
    known = stored.secrets.get("outbind_password") == wanted.secrets.get("outbind_password")
    return not known or _differ(stored, wanted, "outbind", "outbind_allow", "outbind_system_id")


def _differ(stored: schema.AccountSpec, wanted: schema.AccountSpec, *names: str) -> bool:
    return any(_of(stored, name) != _of(wanted, name) for name in names)


def _of(spec: schema.AccountSpec, name: str) -> Any:
    return spec.settings.get(name, DEFAULTS[name])
