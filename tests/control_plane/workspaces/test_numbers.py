"""Phone numbers are shown as a keyed hash and their last digits."""

import hashlib
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.workspaces.key_file import NAME, KeyFile, KeyFileError
from control_plane.workspaces.numbers import ctn_hash, last_digits, masked

KEY = b"k" * 32
msisdns = st.integers(10**6, 10**15 - 1).map(str)


def test_the_hash_is_the_keyed_one() -> None:
    # HMAC-SHA-256 by hand (RFC 2104), so that another program can compute the same.
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in KEY.ljust(64, b"\0")) + b"491510000001").digest()
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in KEY.ljust(64, b"\0")) + inner).hexdigest()
    assert ctn_hash(KEY, "491510000001") == outer[:16]


@given(msisdns, msisdns)
def test_hashes_tell_numbers_and_keys_apart(one: str, other: str) -> None:
    assert (ctn_hash(KEY, one) == ctn_hash(KEY, other)) == (one == other)
    assert ctn_hash(KEY, one) != ctn_hash(b"x" * 32, one)


@given(msisdns)
def test_three_digits_remain(msisdn: str) -> None:
    assert masked(msisdn) == "…" + last_digits(msisdn)
    assert len(last_digits(msisdn)) == 3
    assert msisdn.endswith(last_digits(msisdn))


def test_the_key_file_is_private_and_opens_what_it_sealed(tmp_path: Path) -> None:
    sealed = KeyFile(tmp_path / "new").seal(b"secret")
    assert "secret" not in sealed
    assert KeyFile(tmp_path / "new").open(sealed) == b"secret"
    assert stat.S_IMODE((tmp_path / "new" / NAME).stat().st_mode) == 0o600


def test_another_key_file_says_so(tmp_path: Path) -> None:
    sealed = KeyFile(tmp_path / "one").seal(b"secret")
    with pytest.raises(KeyFileError, match="not the key"):
        KeyFile(tmp_path / "two").open(sealed)
    (tmp_path / "two" / NAME).write_text("damaged")
    with pytest.raises(KeyFileError):
        KeyFile(tmp_path / "two")
