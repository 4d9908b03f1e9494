"""What the simulated SMSC does to messages: a person's settings, and the integers that carriers draw with."""

from array import array
from dataclasses import dataclass

from bench.simulators.smsc.dialects import (
    DIALECTS,
    FORMS,
    ID_FORMATS,
    Dialect,
    Form,
    IdForm,
    IdFormat,
    compiled,
)

SILENT = 0xFFFFFFFF  # accepted and witnessed, but never answered
THROTTLED = 0x58
QUEUE_FULL = 0x14
FULL_SHARE = 1 << 32
CONGESTION_AUTO = 101  # the used part of the TPS limit's reserve, in percent

# (share of the undelivered, message_state, err): SMPP 3.4 §5.2.28 and appendix B
UNDELIVERED = ((0.60, 5, b"027"), (0.20, 5, b"045"), (0.15, 3, b"034"), (0.05, 8, b"088"))
DELIVERED = (2, b"000")
ACCEPTED = (6, b"000")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Times in milliseconds, shares from 0 to 1. The same seed and input give the same answers and receipts.

    Raises ValueError for a share outside 0..1, a negative number, or refusals that add up to more than 1.
    """

    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    late_share: float = 0.0
    late_ms: float = 0.0
    window: int = 0
    service_tps: int = 0
    tps: int = 0
    bind_tps: int = 0
    throttle_share: float = 0.0
    storm_every_ms: float = 0.0
    storm_ms: float = 0.0
    errors: tuple[tuple[int, float], ...] = ()
    full_box_share: float = 0.0
    full_box_ms: float = 0.0
    silent_share: float = 0.0
    empty_id_share: float = 0.0
    required_tlv: int = 0
    congestion: int = -1
    receipt_share: float = 1.0
    undelivered_share: float = 0.0
    accepted_first_share: float = 0.0
    corrected_share: float = 0.0
    doubled_share: float = 0.0
    second_receipt_ms: float = 50.0
    reply_share: float = 0.0
    receipt_delay_ms: float = 0.0
    receipt_jitter_ms: float = 0.0
    receipt_before_response: float = 0.0
    receipt_window: int = 5000
    receipt_form: Form = "both"
    receipt_dialect: Dialect = "standard"
    receipt_esm_class: int = 0x04
    receipt_local_numbers: bool = False
    unanswered_ms: float = 0.0
    id_format: IdFormat = "hex"
    receipt_id_format: IdFormat | None = None
    ids_per_account: bool = False
    id_reuse: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        shares = [getattr(self, name) for name in self.__slots__ if name.endswith("_share")]
        shares += [self.receipt_before_response, *(share for _, share in self.errors)]
        if any(not 0.0 <= share <= 1.0 for share in shares):
            raise ValueError("a share lies between 0 and 1")
        if sum((self.throttle_share, self.silent_share, *(share for _, share in self.errors))) > 1.0 + 1e-9:
            raise ValueError("throttle share, silent share and the errors' shares add up to more than 1")
        if self.accepted_first_share + self.corrected_share + self.doubled_share > 1.0 + 1e-9:
            raise ValueError("the shares of two receipts a message add up to more than 1")
        numbers = [getattr(self, name) for name in self.__slots__ if name.endswith("_ms")]
        if any(
            n < 0 for n in (*numbers, self.window, self.service_tps, self.tps, self.bind_tps, self.id_reuse)
        ):
            raise ValueError("times, window, TPS and id reuse cannot be negative")
        if self.storm_ms > self.storm_every_ms:
            raise ValueError("a storm is not longer than the time between two")
        if self.receipt_window < 1:
            raise ValueError("the receipt window is at least 1")
        if any(not 0 < code < SILENT for code, _ in self.errors):
            raise ValueError("an error's command_status lies between 0x1 and 0xFFFFFFFE")
        if not 0 <= self.required_tlv <= 0xFFFF or not 0 <= self.receipt_esm_class <= 0xFF:
            raise ValueError("a TLV's tag has 16 bits, esm_class 8")
        if not -1 <= self.congestion <= CONGESTION_AUTO:
            raise ValueError("congestion_state lies between 0 and 100; 101 is by load, -1 none")

    def plan(self) -> "Plan":
        """The same in integers."""
        template, words = DIALECTS[self.receipt_dialect]
        states = [*(state for _, state, _ in UNDELIVERED), DELIVERED[0], ACCEPTED[0]]
        forms = range(len(FORMS)) if self.receipt_form == "mixed" else [FORMS.index(self.receipt_form)]
        verdicts = [share * self.undelivered_share for share, _, _ in UNDELIVERED]
        fates = ((THROTTLED, self.throttle_share), *self.errors, (SILENT, self.silent_share))
        played = [(status, share) for status, share in fates if share > 0.0]
        return Plan(
            seed=self.seed & 0xFFFFFFFFFFFFFFFF,
            latency_us=_us(self.latency_ms),
            jitter_us=_us(self.jitter_ms),
            late_limit=_limit(self.late_share),
            late_us=_us(self.late_ms),
            window=self.window,
            service_tps=self.service_tps,
            tps=self.tps,
            bind_tps=self.bind_tps,
            storm_every_us=_us(self.storm_every_ms),
            storm_us=_us(self.storm_ms),
            fate_limits=_limits([share for _, share in played]),
            fate_statuses=array("I", (status for status, _ in played)),
            full_box_limit=_limit(self.full_box_share),
            full_box_us=_us(self.full_box_ms),
            empty_id_limit=_limit(self.empty_id_share),
            required_tlv=self.required_tlv,
            congestion=self.congestion,
            receipt_limit=_limit(self.receipt_share),
            verdict_limits=_limits(verdicts),
            stats=[words[state] for state in states],
            states=states,
            receipt_errors=[*(error for _, _, error in UNDELIVERED), DELIVERED[1], ACCEPTED[1]],
            pair_limits=_limits([self.accepted_first_share, self.corrected_share, self.doubled_share]),
            second_receipt_us=_us(self.second_receipt_ms),
            reply_limit=_limit(self.reply_share),
            receipt_delay_us=_us(self.receipt_delay_ms),
            receipt_jitter_us=_us(self.receipt_jitter_ms),
            early_limit=_limit(self.receipt_before_response),
            receipt_window=self.receipt_window,
            forms=array("B", forms),
            template=compiled(template),
            receipt_esm_class=self.receipt_esm_class,
            local_numbers=self.receipt_local_numbers,
            unanswered_us=_us(self.unanswered_ms),
            id_form=ID_FORMATS[self.id_format],
            receipt_id_form=ID_FORMATS[self.receipt_id_format or self.id_format],
            ids_per_account=self.ids_per_account,
            id_reuse=self.id_reuse,
        )


def _us(milliseconds: float) -> int:
    return round(milliseconds * 1000)


def _limit(share: float) -> int:
    return round(share * FULL_SHARE)


def _limits(shares: list[float]) -> "array[int]":
    """Cumulative, so that one draw decides among them."""
    limits, total = array("Q"), 0.0
    for share in shares:
        total += share
        limits.append(min(FULL_SHARE, _limit(total)))
    return limits


@dataclass(frozen=True, slots=True)
class Plan:
    """A behaviour in integers: shares as limits of a 32-bit draw (cumulative where there are several).

    Verdicts are indexes of `stats`: one a verdict limit, then delivered, then accepted.
    """

    seed: int
    latency_us: int
    jitter_us: int
    late_limit: int
    late_us: int
    window: int
    service_tps: int
    tps: int
    bind_tps: int
    storm_every_us: int
    storm_us: int
    fate_limits: "array[int]"
    fate_statuses: "array[int]"
    full_box_limit: int
    full_box_us: int
    empty_id_limit: int
    required_tlv: int
    congestion: int
    receipt_limit: int
    verdict_limits: "array[int]"
    stats: list[bytes]
    states: list[int]
    receipt_errors: list[bytes]
    pair_limits: "array[int]"  # ACCEPTD first, undelivered first, the same twice
    second_receipt_us: int
    reply_limit: int
    receipt_delay_us: int
    receipt_jitter_us: int
    early_limit: int
    receipt_window: int
    forms: "array[int]"  # codes, drawn from
    template: list[tuple[bytes, int]]
    receipt_esm_class: int
    local_numbers: bool
    unanswered_us: int
    id_form: IdForm
    receipt_id_form: IdForm
    ids_per_account: bool
    id_reuse: int
