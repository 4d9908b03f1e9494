"""Phone numbers as people may see them: a keyed hash and the last digits."""

import hashlib
import hmac

HASH_CHARACTERS = 16
LAST_DIGITS = 3


def ctn_hash(key: bytes, msisdn: str) -> str:
    """16 hex characters of HMAC-SHA-256 over the E.164 digits, by the workspace's key.

    A plain SHA-256 of a phone number is reversed in seconds; this one not without the key.
    """
    return hmac.new(key, msisdn.encode(), hashlib.sha256).hexdigest()[:HASH_CHARACTERS]


def last_digits(msisdn: str) -> str:
    return msisdn[-LAST_DIGITS:]


def masked(msisdn: str) -> str:
    """`…678`"""
    return f"…{last_digits(msisdn)}"
