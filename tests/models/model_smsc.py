"""The other side of the model: an SMSC that knows SMPP 3.4 by its octets alone and keeps a witness.

It shares no code with what it judges. A connection is a pair of octet streams; nothing arrives before
somebody carries it, in pieces of any size.
"""

import struct
from collections import Counter
from dataclasses import dataclass, field

SUBMIT_SM, SUBMIT_SM_RESP = 0x4, 0x80000004
DELIVER_SM, DELIVER_SM_RESP = 0x5, 0x80000005
BIND_TRANSCEIVER, BIND_TRANSCEIVER_RESP = 0x9, 0x80000009
ENQUIRE_LINK, ENQUIRE_LINK_RESP = 0x15, 0x80000015
UNBIND, UNBIND_RESP = 0x6, 0x80000006


def pdu(command, sequence, body=b"", status=0):
    return struct.pack(">IIII", 16 + len(body), command, status, sequence) + body


def text_of(body):
    """(destination number, part) of a submit_sm; part 1 where it has no user data header."""

    def c_string(at):
        end = body.index(0, at)
        return body[at:end], end + 1

    _, at = c_string(0)
    _, at = c_string(at + 2)
    number, at = c_string(at + 2)
    esm_class = body[at]
    _, at = c_string(at + 3)
    _, at = c_string(at)
    length = body[at + 4]
    message = body[at + 5 : at + 5 + length]
    part = message[5] if esm_class & 0x40 else 1
    return int(number), part


@dataclass
class Receipt:
    smsc_id: bytes
    number: int
    delivered: bool


@dataclass
class Connection:
    up: bytearray = field(default_factory=bytearray)  # written by the engine, not read here yet
    down: bytearray = field(default_factory=bytearray)
    read: bytearray = field(default_factory=bytearray)
    bound: bool = False
    open: bool = True
    waiting: dict = field(default_factory=dict)  # sequence -> (number, part): not answered
    silent: dict = field(default_factory=dict)  # sequence -> id: accepted, not answered
    answered: list = field(default_factory=list)  # sequences
    unacknowledged: dict = field(default_factory=dict)  # sequence -> Receipt
    next_sequence: int = 1
    most_waiting: int = 0


class Smsc:
    """Every submit_sm that comes in waits for a rule to answer it."""

    def __init__(self, window):
        self.window = window
        self.witness = Counter()  # (number, part) -> times accepted
        self.owed = []  # receipts to send
        self.acknowledged = []
        self.ids = 0

    def carry(self, connection, count):
        """Read up to `count` octets of what the engine wrote."""
        connection.read += connection.up[:count]
        del connection.up[:count]
        while len(connection.read) >= 16:
            length, command, _, sequence = struct.unpack_from(">IIII", connection.read)
            assert 16 <= length <= 65536, "the engine's framing broke"
            if len(connection.read) < length:
                return
            body = bytes(connection.read[16:length])
            del connection.read[:length]
            self._take(connection, command, sequence, body)

    def _take(self, connection, command, sequence, body):
        if command == BIND_TRANSCEIVER:
            connection.down += pdu(BIND_TRANSCEIVER_RESP, sequence, b"model\0")
            connection.bound = True
        elif command == SUBMIT_SM:
            assert connection.bound, "a submit_sm before the bind was answered"
            assert sequence not in connection.waiting, "a sequence number is used again in flight"
            connection.waiting[sequence] = text_of(body)
            connection.most_waiting = max(connection.most_waiting, len(connection.waiting))
        elif command == DELIVER_SM_RESP:
            self.acknowledged.append(connection.unacknowledged.pop(sequence))
        elif command == ENQUIRE_LINK:
            connection.down += pdu(ENQUIRE_LINK_RESP, sequence)
        elif command == UNBIND:
            connection.down += pdu(UNBIND_RESP, sequence)

    def answer(self, connection, pick, status, *, silent=False, receipt_first=False, delivered=True):
        """Answer one that waits. `silent`: it is accepted, and its answer may come later or never."""
        sequence = sorted(connection.waiting)[pick % len(connection.waiting)]
        number, part = connection.waiting[sequence]
        smsc_id = connection.silent.get(sequence)
        if smsc_id is None and not status:
            self.ids += 1
            smsc_id = b"%08X" % self.ids
            self.witness[number, part] += 1
            self.owed.append(Receipt(smsc_id, number, delivered))
            if silent:
                connection.silent[sequence] = smsc_id
            elif receipt_first:
                self.send_receipt(connection, len(self.owed) - 1)
        if silent:
            return
        del connection.waiting[sequence]
        connection.silent.pop(sequence, None)
        connection.answered.append(sequence)
        if smsc_id is None:
            connection.down += pdu(SUBMIT_SM_RESP, sequence, b"", status)
        else:
            connection.down += pdu(SUBMIT_SM_RESP, sequence, smsc_id + b"\0")

    def send_receipt(self, connection, pick, *, twice=False):
        receipt = self.owed.pop(pick % len(self.owed))
        for _ in range(1 + twice):
            sequence, connection.next_sequence = connection.next_sequence, connection.next_sequence + 1
            stat = b"DELIVRD" if receipt.delivered else b"UNDELIV"
            text = (
                b"id:%s sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:%s err:000 text:"
                % (
                    receipt.smsc_id,
                    stat,
                )
            )
            addresses = b"\0\1\1%d\0" % receipt.number + b"\5\0Shop\0"
            body = addresses + b"\x04\0\0\0\0\0\0\0\0" + bytes([len(text)]) + text
            connection.down += pdu(DELIVER_SM, sequence, body)
            connection.unacknowledged[sequence] = receipt

    def lost(self, connection):
        """The connection is gone: what was not acknowledged is sent again, what was not answered never is."""
        connection.open = False
        self.owed += connection.unacknowledged.values()
        connection.unacknowledged.clear()
        connection.waiting.clear()
