"""The batches that travel between the C functions, Python and the ledger: no object is a single message.

Columns are `array.array`: 'b' int8, 'h' int16, 'i' int32, 'q' int64, 'I' uint32. A variable-length column is
a pair (data, end): item i is `data[end[i - 1]:end[i]]`, and `data[0:end[0]]` for i = 0.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from functools import partial

# Outcome codes of a submit_sm part.
ACCEPTED = 0
FAILED = 1
RETRY = 2
THROTTLED = 3
DOUBT = 4
DEFERRED = 5  # a RETRY whose next try is a retry slice's: the part leaves its claim, the message stays open

# Statuses the window gives itself, beside the command_status of a response.
STATUS_TIMEOUT = -1
STATUS_LOST = -2

# Reasons for which a row gives no PDU.
REJECT_TOO_LONG = 1
REJECT_EMPTY = 2
REJECT_NUMBER = 3
REJECT_CHARACTERS = 4  # outside the channel's alphabets, and the campaign's rule is to reject them
REJECT_CHANGED = (
    5  # a part that goes again does not exist any more: the settings split the text otherwise now
)
REJECT_NO_RATE = 6  # the campaign's price list has no rate for the number
REJECT_NO_ROUTE = 7  # the campaign goes by routes, and none fits the number

# What a deliver_sm or data_sm is.
KIND_RECEIPT = 0
KIND_MO = 1
KIND_INTERMEDIATE = 2
KIND_OTHER_ACK = 3


# The columns' types: each call gives an empty one.
int8 = partial(array, "b")
int16 = partial(array, "h")
int32 = partial(array, "i")
int64 = partial(array, "q")
uint32 = partial(array, "I")


@dataclass(slots=True)
class EncodedBatch:
    """`count` submit_sm PDUs, contiguous in `pdus`; PDU i is `pdus[end[i - 1]:end[i]]`."""

    pdus: bytearray = field(default_factory=bytearray)
    end: array[int] = field(default_factory=int32)
    row: array[int] = field(default_factory=int32)  # row in the slice
    part: array[int] = field(default_factory=int16)  # from 1
    parts: array[int] = field(default_factory=int16)
    msisdn: array[int] = field(default_factory=int64)
    sequence: array[int] = field(default_factory=uint32)
    count: int = 0
    rejected: array[int] = field(default_factory=int32)  # rows that gave no PDU
    reject_code: array[int] = field(default_factory=int8)  # REJECT_*
    billed: array[int] | None = None  # int16: parts to charge for each PDU; None: one each


@dataclass(slots=True)
class ParsedBatch:
    """Every complete PDU of a receive buffer, sorted by what must be done with it."""

    data: bytes = b""  # the complete PDUs
    resp_sequence: array[int] = field(default_factory=uint32)  # submit_sm_resp only
    resp_status: array[int] = field(default_factory=uint32)
    resp_ids: bytearray = field(default_factory=bytearray)
    resp_id_end: array[int] = field(default_factory=int32)
    deliver_start: array[int] = field(default_factory=int32)  # deliver_sm and data_sm, offsets into data
    deliver_end: array[int] = field(default_factory=int32)
    other_start: array[int] = field(default_factory=int32)  # anything else, for the reference codec
    other_end: array[int] = field(default_factory=int32)
    fatal: str | None = None  # a bad command_length: nothing after it was parsed
    fatal_sequence: int = 0


@dataclass(slots=True)
class ResultBatch:
    """Outcomes of submit_sm parts, as the window learnt them."""

    count: int = 0
    claim: array[int] = field(default_factory=int32)  # the caller's claim handle
    index: array[int] = field(default_factory=int32)  # of the PDU in the claim's EncodedBatch
    slice_id: array[int] = field(default_factory=int64)
    row: array[int] = field(default_factory=int32)
    part: array[int] = field(default_factory=int16)
    parts: array[int] = field(default_factory=int16)
    attempt: array[int] = field(default_factory=int16)
    msisdn: array[int] = field(default_factory=int64)
    status: array[int] = field(default_factory=int64)  # command_status, STATUS_TIMEOUT or STATUS_LOST
    sent_us: array[int] = field(default_factory=int64)
    done_us: array[int] = field(default_factory=int64)
    late: array[int] = field(default_factory=int8)  # 1: was reported as STATUS_TIMEOUT before
    ids: bytearray = field(default_factory=bytearray)  # SMSC message ids, may be empty
    id_end: array[int] = field(default_factory=int32)


@dataclass(slots=True)
class ReceiptBatch:
    """deliver_sm and data_sm read as receipts or mobile-originated messages."""

    count: int = 0
    sequence: array[int] = field(default_factory=uint32)
    command: array[int] = field(default_factory=uint32)  # 0x5 deliver_sm, 0x103 data_sm: for the response
    kind: array[int] = field(default_factory=int8)  # KIND_*
    ids: bytearray = field(default_factory=bytearray)
    id_end: array[int] = field(default_factory=int32)
    msisdn: array[int] = field(default_factory=int64)  # digits of the source address, -1 if not numeric
    verdict: array[int] = field(default_factory=int8)  # 0 not final, 1 undelivered, 2 delivered
    stat: array[int] = field(default_factory=int16)  # message_state 0-9, 255 unknown
    errors: bytearray = field(default_factory=bytearray)  # err: text, 0-6 characters
    error_end: array[int] = field(default_factory=int32)
    done_s: array[int] = field(default_factory=int64)  # done date as epoch seconds as if UTC, -1 none
    submit_s: array[int] = field(default_factory=int64)  # submit date likewise
    done_raw: bytearray = field(default_factory=bytearray)  # done date as it came, its first 20 octets
    done_raw_end: array[int] = field(default_factory=int32)
    network: bytearray = field(default_factory=bytearray)  # TLV 0x0423 in hex
    network_end: array[int] = field(default_factory=int32)
    sender: bytearray = field(default_factory=bytearray)  # destination address: who sent what this is about
    sender_end: array[int] = field(default_factory=int32)
    pdu: bytearray = field(default_factory=bytearray)  # all of it where it may be no receipt, else empty
    pdu_end: array[int] = field(default_factory=int32)


@dataclass(slots=True)
class MatchBatch:
    """What the recent ids know of each receipt of a ReceiptBatch; zeros where nothing was found."""

    found: array[int] = field(default_factory=int8)
    slice_id: array[int] = field(default_factory=int64)
    row: array[int] = field(default_factory=int32)
    part: array[int] = field(default_factory=int16)
    parts: array[int] = field(default_factory=int16)
    campaign: array[int] = field(default_factory=int32)
    before: array[int] = field(default_factory=int8)  # the part's verdict before this receipt
    after: array[int] = field(default_factory=int8)  # and after it: the higher of the two
    first: array[int] = field(default_factory=int8)  # 1: the part's first final verdict
    sent_s: array[int] = field(default_factory=int64)  # when the part was sent, epoch seconds
    by_number: array[int] = field(default_factory=int8)  # 1: by the id's number in another base
    done_us: array[int] = field(default_factory=int64)  # when it was done; the ledger's writer fills it


@dataclass(slots=True)
class ClaimUpdate:
    """What one batch of results changed in one claim: counts of messages, and of accepted parts."""

    claim: int
    sent: int = 0
    undelivered: int = 0
    failed: int = 0
    in_doubt: int = 0
    accepted_parts: int = 0
    deferred: int = 0  # messages of which a part goes on in a retry slice: counted nowhere else here
    closed: bool = False  # no row of the claim is open any more


@dataclass(slots=True)
class TextTotals:
    """Sizes of a template's messages."""

    messages: int = 0  # empty ones included
    parts: int = 0
    gsm: int = 0  # messages by encoding; an empty message is in neither
    ucs2: int = 0
    empty: int = 0
    forms: array[int] = field(default_factory=int64)  # messages by form of the repertoire, if there is one
    transliterated: int = 0
    rejected: int = 0  # characters that no form carries; of no parts
    histogram: array[int] = field(default_factory=lambda: array("q", bytes(8 * 256)))
    """Messages by parts - 1; the last of the 256 counts all of 256 parts and more."""
    longest_row: int = -1
    """Position in `rows` of the first message with most parts, then most octets; -1 without rows."""
