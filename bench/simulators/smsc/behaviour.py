"""What the simulated SMSC does to messages: a person's settings, and the integers that carriers draw with."""

from array import array
from dataclasses import dataclass
from typing import Literal

IdFormat = Literal["hex", "decimal"]

SILENT = 0xFFFFFFFF  # accepted and witnessed, but never answered
THROTTLED = 0x58
FULL_SHARE = 1 << 32

# (share of the undelivered, stat, message_state, err): SMPP 3.4 §5.2.28 and appendix B
UNDELIVERED = (
    (0.60, b"UNDELIV", 5, b"027"),
    (0.20, b"UNDELIV", 5, b"045"),
    (0.15, b"EXPIRED", 3, b"034"),
    (0.05, b"REJECTD", 8, b"088"),
)
DELIVERED = (b"DELIVRD", 2, b"000")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Times in milliseconds, shares from 0 to 1. The same seed and input give the same answers and receipts.

    Raises ValueError for a share outside 0..1, a negative number, or refusals that add up to more than 1.
    """

    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    window: int = 0
    tps: int = 0
    throttle_share: float = 0.0
    errors: tuple[tuple[int, float], ...] = ()
    silent_share: float = 0.0
    receipt_share: float = 1.0
    undelivered_share: float = 0.0
    receipt_delay_ms: float = 0.0
    receipt_jitter_ms: float = 0.0
    receipt_before_response: float = 0.0
    receipt_window: int = 5000
    id_format: IdFormat = "hex"
    receipt_id_format: IdFormat | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        shares = [
            self.throttle_share,
            self.silent_share,
            self.receipt_share,
            self.undelivered_share,
            self.receipt_before_response,
            *(share for _, share in self.errors),
        ]
        if any(not 0.0 <= share <= 1.0 for share in shares):
            raise ValueError("a share lies between 0 and 1")
        if sum((self.throttle_share, self.silent_share, *(share for _, share in self.errors))) > 1.0 + 1e-9:
            raise ValueError("throttle share, silent share and the errors' shares add up to more than 1")
        numbers = [self.latency_ms, self.jitter_ms, self.receipt_delay_ms, self.receipt_jitter_ms]
        if any(number < 0 for number in (*numbers, self.window, self.tps)):
            raise ValueError("times, window and TPS cannot be negative")
        if self.receipt_window < 1:
            raise ValueError("the receipt window is at least 1")
        if any(not 0 < code < SILENT for code, _ in self.errors):
            raise ValueError("an error's command_status lies between 0x1 and 0xFFFFFFFE")

    def plan(self) -> "Plan":
        """The same in integers."""
        limits, statuses, total = array("Q"), array("I"), 0.0
        fates = ((THROTTLED, self.throttle_share), *self.errors, (SILENT, self.silent_share))
        for status, share in fates:
            if share > 0.0:
                total += share
                limits.append(min(FULL_SHARE, round(total * FULL_SHARE)))
                statuses.append(status)
        verdict_limits, total = array("Q"), 0.0
        for share, *_ in UNDELIVERED:
            total += share * self.undelivered_share
            verdict_limits.append(round(total * FULL_SHARE))
        return Plan(
            seed=self.seed & 0xFFFFFFFFFFFFFFFF,
            latency_us=round(self.latency_ms * 1000),
            jitter_us=round(self.jitter_ms * 1000),
            window=self.window,
            tps=self.tps,
            fate_limits=limits,
            fate_statuses=statuses,
            receipt_limit=round(self.receipt_share * FULL_SHARE),
            verdict_limits=verdict_limits,
            stats=[stat for _, stat, _, _ in UNDELIVERED] + [DELIVERED[0]],
            states=[state for _, _, state, _ in UNDELIVERED] + [DELIVERED[1]],
            receipt_errors=[error for _, _, _, error in UNDELIVERED] + [DELIVERED[2]],
            receipt_delay_us=round(self.receipt_delay_ms * 1000),
            receipt_jitter_us=round(self.receipt_jitter_ms * 1000),
            early_limit=round(self.receipt_before_response * FULL_SHARE),
            receipt_window=self.receipt_window,
            hex_ids=self.id_format == "hex",
            hex_receipt_ids=(self.receipt_id_format or self.id_format) == "hex",
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """A behaviour in integers: shares as limits of a 32-bit draw (cumulative where there are several)."""

    seed: int
    latency_us: int
    jitter_us: int
    window: int
    tps: int
    fate_limits: "array[int]"
    fate_statuses: "array[int]"
    receipt_limit: int
    verdict_limits: "array[int]"
    stats: list[bytes]  # one per verdict limit, then the delivered one
    states: list[int]
    receipt_errors: list[bytes]
    receipt_delay_us: int
    receipt_jitter_us: int
    early_limit: int
    receipt_window: int
    hex_ids: bool
    hex_receipt_ids: bool
