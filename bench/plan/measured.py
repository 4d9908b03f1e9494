"""What a plan is asked for, and what it measures. Rates are submit_sm a second unless a name says more."""

from dataclasses import dataclass, field

HEADROOM_WINDOW = 1.25  # the window holds this much more than the rate needs
KEPT_UP = 0.98  # of the offered rate: less is a queue that grows, though its head is still in time
HEADROOM_BIND = (
    1.2  # of the operator's TPS a bind, where there are several: an engine's pace is the account's
)
HEADROOM_CPU = 0.6  # of a core that a process may use in the steady state


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted. `target_tps` counts messages; `tps_per_bind`, the operator's, counts submit_sm."""

    target_tps: float
    rtt_ms: float
    tps_per_bind: float
    p99_ms: float
    parts: int = 1
    recipients_per_day: int = 0
    retention_days: int = 400

    @property
    def submits_per_s(self) -> float:
        return self.target_tps * self.parts

    @property
    def per_bind(self) -> float:
        """submit_sm a second to count on by the operator's TPS: all of it on one bind, less on several."""
        alone = self.submits_per_s <= self.tps_per_bind
        return self.tps_per_bind if alone else self.tps_per_bind / HEADROOM_BIND

    @property
    def messages_per_day(self) -> int:
        """As given; else eight hours at the target."""
        return self.recipients_per_day or round(self.target_tps * 8 * 3600)


@dataclass(frozen=True, slots=True)
class Step:
    """One rate, held for some seconds. Response times count from when a submit_sm was due by the pace (or was
    sent, if that was earlier) to its response, so that waiting for the window counts, too."""

    offered_per_s: float
    achieved_per_s: float
    response_p50_ms: float
    response_p99_ms: float
    wire_p99_ms: float  # from the write to the response
    seconds: float
    submits: int
    refused: int  # responses with an error, throttles among them
    unsent: int  # due, and not sent when the step ended
    cpu_us: float  # of the sending process, a submit_sm

    def holds(self, p99_ms: float) -> bool:
        """Whether the rate was sent, kept up with, answered without a refusal, and in time."""
        kept_up = not self.unsent and self.achieved_per_s >= KEPT_UP * self.offered_per_s
        return kept_up and not self.refused and self.response_p99_ms <= p99_ms


@dataclass(frozen=True, slots=True)
class WindowRamp:
    """The steps of one bind at one window, and the highest rate that held."""

    window: int
    bound_per_s: float  # window / RTT, Little's law
    best_per_s: float  # 0: none held
    steps: list[Step] = field(default_factory=list)

    @property
    def of_bound(self) -> float:
        return self.best_per_s / self.bound_per_s


@dataclass(frozen=True, slots=True)
class Disk:
    """The data folder's disk."""

    folder: str
    file_system: str
    fdatasync_p50_ms: float  # of 8 KiB
    fdatasync_p99_ms: float
    commit_p50_ms: float  # PostgreSQL, one row a commit
    commit_p99_ms: float
    batch_rows: int
    batch_commit_p50_ms: float  # PostgreSQL, COPY of `batch_rows` rows a commit
    batch_commit_p99_ms: float


@dataclass(frozen=True, slots=True)
class Durable:
    """One campaign through the whole engine and its ledger."""

    tps: float  # of the channel, submit_sm
    held_per_s: float  # submit_sm, between a tenth and nine tenths of the campaign
    messages: int
    submits: int
    throttled: int  # answers of the simulator
    seconds: float
    cpu_us: dict[str, float] = field(default_factory=dict)  # a submit_sm, by program
    wal_bytes: float = 0.0  # a submit_sm
    table_bytes: float = 0.0  # a submit_sm: ledger tables and what indexes they have while hot
    closed_bytes: float = 0.0  # a submit_sm: more, when the partition is closed and indexed
    rss_bytes: dict[str, int] = field(default_factory=dict)

    @property
    def core_us(self) -> float:
        """All of Heliograph, without the simulator: a submit_sm."""
        return sum(us for name, us in self.cpu_us.items() if name != "smsc")
