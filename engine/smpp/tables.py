"""SMPP 3.4 as tables: every PDU, TLV and command_status. `codec` and `status` interpret them.

A layout row is (name, kind, size). Sizes are the specification's maxima in octets, the NUL of a
C-octet string included; they are what `codec.oversize` warns about, never a reason to refuse.
Source: SMPP 3.4 §4 (PDUs), §5.1.2.1 (command ids), §5.1.3 (command_status), §5.3 (TLVs); the
statuses from 0x100 and congestion_state are SMPP 5.0, which SMSCs send on 3.4 binds too.
"""

from dataclasses import dataclass, field
from enum import Enum, StrEnum

HEADER_SIZE = 16
MAX_PDU_SIZE = 64 * 1024  # above this a command_length is taken for a lost frame boundary
RESPONSE = 0x80000000
MAX_SEQUENCE = 0x7FFFFFFF  # of ours; a peer's may be any 32 bits

GENERIC_NACK = 0x80000000
BIND_RECEIVER = 0x00000001
BIND_TRANSMITTER = 0x00000002
QUERY_SM = 0x00000003
SUBMIT_SM = 0x00000004
DELIVER_SM = 0x00000005
UNBIND = 0x00000006
REPLACE_SM = 0x00000007
CANCEL_SM = 0x00000008
BIND_TRANSCEIVER = 0x00000009
OUTBIND = 0x0000000B
ENQUIRE_LINK = 0x00000015
SUBMIT_MULTI = 0x00000021
ALERT_NOTIFICATION = 0x00000102
DATA_SM = 0x00000103


class Kind(Enum):
    """How a field stands on the wire."""

    INTEGER = "integer"  # `size` octets, big-endian
    C_OCTETS = "c-octet string"  # up to and with a NUL
    COUNTED = "counted octets"  # one octet of length (sm_length), then that many octets
    OCTETS = "octets"  # TLVs only: the whole value
    FLAG = "flag"  # TLVs only: no value, its presence says it
    DESTINATIONS = (
        "destinations"  # submit_multi §4.5.1.1: one octet of count, then SME addresses or list names
    )
    UNSUCCESSFUL = "unsuccessful"  # submit_multi_resp §4.5.2.1: one octet of count, then the refused SMEs


@dataclass(frozen=True, slots=True)
class Field:
    """One mandatory parameter."""

    name: str
    kind: Kind
    size: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A PDU: its mandatory fields in wire order; `answer` is the command id of its response, if any."""

    name: str
    command_id: int
    fields: tuple[Field, ...] = ()
    answer: int | None = None
    by_name: dict[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {each.name: each for each in self.fields})


def _integer(name: str, size: int = 1) -> Field:
    return Field(name, Kind.INTEGER, size)


def _text(name: str, size: int) -> Field:
    return Field(name, Kind.C_OCTETS, size)


def _address(prefix: str, name: str, size: int = 21) -> tuple[Field, ...]:
    return _integer(f"{prefix}_ton"), _integer(f"{prefix}_npi"), _text(name, size)


_MESSAGE_ID = _text("message_id", 65)
_SHORT_MESSAGE = Field("short_message", Kind.COUNTED, 254)
_SOURCE = _address("source_addr", "source_addr")
_DESTINATION = _address("dest_addr", "destination_addr")
_BIND = (
    _text("system_id", 16),
    _text("password", 9),
    _text("system_type", 13),
    _integer("interface_version"),
    *_address("addr", "address_range", 41),
)
_HANDLING = (
    _integer("esm_class"),
    _integer("protocol_id"),
    _integer("priority_flag"),
    _text("schedule_delivery_time", 17),
    _text("validity_period", 17),
    _integer("registered_delivery"),
    _integer("replace_if_present_flag"),
    _integer("data_coding"),
    _integer("sm_default_msg_id"),
    _SHORT_MESSAGE,
)
_MESSAGE = (_text("service_type", 6), *_SOURCE, *_DESTINATION, *_HANDLING)

_REQUESTS: tuple[tuple[str, int, tuple[Field, ...], tuple[Field, ...]], ...] = (
    ("bind_receiver", BIND_RECEIVER, _BIND, (_text("system_id", 16),)),
    ("bind_transmitter", BIND_TRANSMITTER, _BIND, (_text("system_id", 16),)),
    ("bind_transceiver", BIND_TRANSCEIVER, _BIND, (_text("system_id", 16),)),
    ("unbind", UNBIND, (), ()),
    ("enquire_link", ENQUIRE_LINK, (), ()),
    ("submit_sm", SUBMIT_SM, _MESSAGE, (_MESSAGE_ID,)),
    ("deliver_sm", DELIVER_SM, _MESSAGE, (_MESSAGE_ID,)),
    (
        "submit_multi",
        SUBMIT_MULTI,
        (
            _text("service_type", 6),
            *_SOURCE,
            Field("dest_addresses", Kind.DESTINATIONS, 254),
            *_HANDLING,
        ),
        (_MESSAGE_ID, Field("unsuccess_smes", Kind.UNSUCCESSFUL, 255)),
    ),
    (
        "data_sm",
        DATA_SM,
        (
            _text("service_type", 6),
            *_address("source_addr", "source_addr", 65),
            *_address("dest_addr", "destination_addr", 65),
            _integer("esm_class"),
            _integer("registered_delivery"),
            _integer("data_coding"),
        ),
        (_MESSAGE_ID,),
    ),
    (
        "query_sm",
        QUERY_SM,
        (_MESSAGE_ID, *_SOURCE),
        (_MESSAGE_ID, _text("final_date", 17), _integer("message_state"), _integer("error_code")),
    ),
    ("cancel_sm", CANCEL_SM, (_text("service_type", 6), _MESSAGE_ID, *_SOURCE, *_DESTINATION), ()),
    (
        "replace_sm",
        REPLACE_SM,
        (
            _MESSAGE_ID,
            *_SOURCE,
            _text("schedule_delivery_time", 17),
            _text("validity_period", 17),
            _integer("registered_delivery"),
            _integer("sm_default_msg_id"),
            _SHORT_MESSAGE,
        ),
        (),
    ),
)


def _layouts() -> dict[int, Layout]:
    layouts = [
        Layout("generic_nack", GENERIC_NACK),
        Layout("outbind", OUTBIND, (_text("system_id", 16), _text("password", 9))),
        Layout(
            "alert_notification",
            ALERT_NOTIFICATION,
            (*_address("source_addr", "source_addr", 65), *_address("esme_addr", "esme_addr", 65)),
        ),
    ]
    for name, command_id, request, response in _REQUESTS:
        layouts.append(Layout(name, command_id, request, answer=command_id | RESPONSE))
        layouts.append(Layout(f"{name}_resp", command_id | RESPONSE, response))
    table = {layout.command_id: layout for layout in layouts}
    assert len(table) == len(layouts), "a command id stands twice"
    return table


PDUS: dict[int, Layout] = _layouts()
COMMAND_IDS: dict[str, int] = {layout.name: command_id for command_id, layout in PDUS.items()}


@dataclass(frozen=True, slots=True)
class Tlv:
    """One optional parameter. `size`: octets of an integer, or the maximum of a string."""

    tag: int
    name: str
    kind: Kind
    size: int


_TLVS = (
    Tlv(0x0005, "dest_addr_subunit", Kind.INTEGER, 1),
    Tlv(0x0006, "dest_network_type", Kind.INTEGER, 1),
    Tlv(0x0007, "dest_bearer_type", Kind.INTEGER, 1),
    Tlv(0x0008, "dest_telematics_id", Kind.INTEGER, 2),
    Tlv(0x000D, "source_addr_subunit", Kind.INTEGER, 1),
    Tlv(0x000E, "source_network_type", Kind.INTEGER, 1),
    Tlv(0x000F, "source_bearer_type", Kind.INTEGER, 1),
    Tlv(0x0010, "source_telematics_id", Kind.INTEGER, 1),
    Tlv(0x0017, "qos_time_to_live", Kind.INTEGER, 4),
    Tlv(0x0019, "payload_type", Kind.INTEGER, 1),
    Tlv(0x001D, "additional_status_info_text", Kind.C_OCTETS, 256),
    Tlv(0x001E, "receipted_message_id", Kind.C_OCTETS, 65),
    Tlv(0x0030, "ms_msg_wait_facilities", Kind.INTEGER, 1),
    Tlv(0x0201, "privacy_indicator", Kind.INTEGER, 1),
    Tlv(0x0202, "source_subaddress", Kind.OCTETS, 23),
    Tlv(0x0203, "dest_subaddress", Kind.OCTETS, 23),
    Tlv(0x0204, "user_message_reference", Kind.INTEGER, 2),
    Tlv(0x0205, "user_response_code", Kind.INTEGER, 1),
    Tlv(0x020A, "source_port", Kind.INTEGER, 2),
    Tlv(0x020B, "destination_port", Kind.INTEGER, 2),
    Tlv(0x020C, "sar_msg_ref_num", Kind.INTEGER, 2),
    Tlv(0x020D, "language_indicator", Kind.INTEGER, 1),
    Tlv(0x020E, "sar_total_segments", Kind.INTEGER, 1),
    Tlv(0x020F, "sar_segment_seqnum", Kind.INTEGER, 1),
    Tlv(0x0210, "sc_interface_version", Kind.INTEGER, 1),
    Tlv(0x0302, "callback_num_pres_ind", Kind.INTEGER, 1),
    Tlv(0x0303, "callback_num_atag", Kind.OCTETS, 65),
    Tlv(0x0304, "number_of_messages", Kind.INTEGER, 1),
    Tlv(0x0381, "callback_num", Kind.OCTETS, 19),
    Tlv(0x0420, "dpf_result", Kind.INTEGER, 1),
    Tlv(0x0421, "set_dpf", Kind.INTEGER, 1),
    Tlv(0x0422, "ms_availability_status", Kind.INTEGER, 1),
    Tlv(0x0423, "network_error_code", Kind.OCTETS, 3),
    Tlv(0x0424, "message_payload", Kind.OCTETS, 65535),
    Tlv(0x0425, "delivery_failure_reason", Kind.INTEGER, 1),
    Tlv(0x0426, "more_messages_to_send", Kind.INTEGER, 1),
    Tlv(0x0427, "message_state", Kind.INTEGER, 1),
    Tlv(0x0428, "congestion_state", Kind.INTEGER, 1),
    Tlv(0x0501, "ussd_service_op", Kind.OCTETS, 1),
    Tlv(0x1201, "display_time", Kind.INTEGER, 1),
    Tlv(0x1203, "sms_signal", Kind.INTEGER, 2),
    Tlv(0x1204, "ms_validity", Kind.INTEGER, 1),
    Tlv(0x130C, "alert_on_message_delivery", Kind.FLAG, 0),
    Tlv(0x1380, "its_reply_type", Kind.INTEGER, 1),
    Tlv(0x1383, "its_session_info", Kind.OCTETS, 2),
    # India DLT, vendor range 0x1400-0x3FFF: ASCII digits without a NUL
    Tlv(0x1400, "dlt_pe_id", Kind.OCTETS, 30),
    Tlv(0x1401, "dlt_template_id", Kind.OCTETS, 30),
    Tlv(0x1402, "dlt_chain", Kind.OCTETS, 65535),
)

TLVS: dict[int, Tlv] = {tlv.tag: tlv for tlv in _TLVS}
TLV_TAGS: dict[str, int] = {tlv.name: tlv.tag for tlv in _TLVS}
assert len(TLVS) == len(TLV_TAGS) == len(_TLVS), "a TLV stands twice"


class Class(StrEnum):
    """What a command_status means for the sender of the message."""

    OK = "ok"
    SESSION = "session"  # the bind is at fault: requeue, stop this bind, the attempt is not counted
    THROTTLE = "throttle"  # too fast: pause the bind, the attempt is not counted
    QUEUE_FULL = "queue_full"  # this subscriber's queue, or the SMSC's: the message again later
    TEMPORARY = "temporary"  # up to three tries
    CHANNEL = (
        "channel"  # refused for good by this operator: another channel of the route may take it, else FAILED
    )
    PERMANENT = "permanent"  # FAILED


@dataclass(frozen=True, slots=True)
class Status:
    """One command_status."""

    code: int
    name: str
    group: Class
    meaning: str


_P, _T, _S, _C = Class.PERMANENT, Class.TEMPORARY, Class.SESSION, Class.CHANNEL

_STATUSES = (
    Status(0x000, "ESME_ROK", Class.OK, "No error"),
    Status(0x001, "ESME_RINVMSGLEN", _P, "Message length is invalid"),
    Status(0x002, "ESME_RINVCMDLEN", _P, "Command length is invalid"),
    Status(0x003, "ESME_RINVCMDID", _P, "Invalid command id"),
    Status(0x004, "ESME_RINVBNDSTS", _S, "Incorrect bind status for the command"),
    Status(0x005, "ESME_RALYBND", _S, "ESME already in bound state"),
    Status(0x006, "ESME_RINVPRTFLG", _P, "Invalid priority flag"),
    Status(0x007, "ESME_RINVREGDLVFLG", _P, "Invalid registered delivery flag"),
    Status(0x008, "ESME_RSYSERR", _T, "System error at the SMSC"),
    Status(0x00A, "ESME_RINVSRCADR", _C, "Invalid source address"),
    Status(0x00B, "ESME_RINVDSTADR", _C, "Invalid destination address"),
    Status(0x00C, "ESME_RINVMSGID", _P, "Message id is invalid"),
    Status(0x00D, "ESME_RBINDFAIL", _S, "Bind failed"),
    Status(0x00E, "ESME_RINVPASWD", _S, "Invalid password"),
    Status(0x00F, "ESME_RINVSYSID", _S, "Invalid system id"),
    Status(0x011, "ESME_RCANCELFAIL", _P, "cancel_sm failed"),
    Status(0x013, "ESME_RREPLACEFAIL", _P, "replace_sm failed"),
    Status(0x014, "ESME_RMSGQFUL", Class.QUEUE_FULL, "Message queue full"),
    Status(0x015, "ESME_RINVSERTYP", _C, "Invalid service type"),
    Status(0x033, "ESME_RINVNUMDESTS", _P, "Invalid number of destinations"),
    Status(0x034, "ESME_RINVDLNAME", _P, "Invalid distribution list name"),
    Status(0x040, "ESME_RINVDESTFLAG", _P, "Invalid destination flag"),
    Status(0x042, "ESME_RINVSUBREP", _P, "Invalid submit with replace request"),
    Status(0x043, "ESME_RINVESMCLASS", _P, "Invalid esm_class"),
    Status(0x044, "ESME_RCNTSUBDL", _P, "Cannot submit to the distribution list"),
    Status(0x045, "ESME_RSUBMITFAIL", _T, "submit_sm or submit_multi failed"),
    Status(0x048, "ESME_RINVSRCTON", _C, "Invalid source address TON"),
    Status(0x049, "ESME_RINVSRCNPI", _C, "Invalid source address NPI"),
    Status(0x050, "ESME_RINVDSTTON", _C, "Invalid destination address TON"),
    Status(0x051, "ESME_RINVDSTNPI", _C, "Invalid destination address NPI"),
    Status(0x053, "ESME_RINVSYSTYP", _P, "Invalid system type"),
    Status(0x054, "ESME_RINVREPFLAG", _P, "Invalid replace_if_present flag"),
    Status(0x055, "ESME_RINVNUMMSGS", _P, "Invalid number of messages"),
    Status(0x058, "ESME_RTHROTTLED", Class.THROTTLE, "Throttled: over the allowed message rate"),
    Status(0x061, "ESME_RINVSCHED", _P, "Invalid scheduled delivery time"),
    Status(0x062, "ESME_RINVEXPIRY", _P, "Invalid validity period"),
    Status(0x063, "ESME_RINVDFTMSGID", _P, "Predefined message is invalid or not found"),
    Status(0x064, "ESME_RX_T_APPN", _T, "Temporary application error at the receiver"),
    Status(0x065, "ESME_RX_P_APPN", _P, "Permanent application error at the receiver"),
    Status(0x066, "ESME_RX_R_APPN", _P, "Message rejected by the receiver"),
    Status(0x067, "ESME_RQUERYFAIL", _P, "query_sm failed"),
    Status(0x0C0, "ESME_RINVOPTPARSTREAM", _P, "Error in the optional part of the PDU"),
    Status(0x0C1, "ESME_ROPTPARNOTALLWD", _P, "Optional parameter not allowed"),
    Status(0x0C2, "ESME_RINVPARLEN", _P, "Invalid parameter length"),
    Status(0x0C3, "ESME_RMISSINGOPTPARAM", _P, "Expected optional parameter missing"),
    Status(0x0C4, "ESME_RINVOPTPARAMVAL", _P, "Invalid optional parameter value"),
    Status(0x0FE, "ESME_RDELIVERYFAILURE", _T, "Delivery failure"),
    Status(0x0FF, "ESME_RUNKNOWNERR", _T, "Unknown error"),
    Status(0x100, "ESME_RSERTYPUNAUTH", _C, "Not authorised for the service type"),
    Status(0x101, "ESME_RPROHIBITED", _C, "Operation prohibited"),
    Status(0x102, "ESME_RSERTYPUNAVAIL", _C, "Service type unavailable"),
    Status(0x103, "ESME_RSERTYPDENIED", _C, "Service type denied"),
    Status(0x104, "ESME_RINVDCS", _P, "Invalid data coding scheme"),
    Status(0x105, "ESME_RINVSRCADDRSUBUNIT", _P, "Invalid source address subunit"),
    Status(0x106, "ESME_RINVDSTADDRSUBUNIT", _P, "Invalid destination address subunit"),
    Status(0x107, "ESME_RINVBCASTFREQINT", _P, "Invalid broadcast frequency interval"),
    Status(0x108, "ESME_RINVBCASTALIAS_NAME", _P, "Invalid broadcast alias name"),
    Status(0x109, "ESME_RINVBCASTAREAFMT", _P, "Invalid broadcast area format"),
    Status(0x10A, "ESME_RINVNUMBCAST_AREAS", _P, "Invalid number of broadcast areas"),
    Status(0x10B, "ESME_RINVBCASTCNTTYPE", _P, "Invalid broadcast content type"),
    Status(0x10C, "ESME_RINVBCASTMSGCLASS", _P, "Invalid broadcast message class"),
    Status(0x10D, "ESME_RBCASTFAIL", _P, "broadcast_sm failed"),
    Status(0x10E, "ESME_RBCASTQUERYFAIL", _P, "query_broadcast_sm failed"),
    Status(0x10F, "ESME_RBCASTCANCELFAIL", _P, "cancel_broadcast_sm failed"),
    Status(0x110, "ESME_RINVBCAST_REP", _P, "Invalid number of repeated broadcasts"),
    Status(0x111, "ESME_RINVBCASTSRVGRP", _P, "Invalid broadcast service group"),
    Status(0x112, "ESME_RINVBCASTCHANIND", _P, "Invalid broadcast channel indicator"),
)

STATUSES: dict[int, Status] = {status.code: status for status in _STATUSES}
assert len(STATUSES) == len({status.name for status in _STATUSES}) == len(_STATUSES), "a status stands twice"
