"""Which PDUs a fault strikes, and when: `drop:submit_sm_resp@share=0.01`."""

import random
import re
from dataclasses import dataclass
from typing import Literal, get_args

COMMANDS = {
    "generic_nack": 0x80000000,
    "bind_receiver": 0x1,
    "bind_transmitter": 0x2,
    "query_sm": 0x3,
    "submit_sm": 0x4,
    "deliver_sm": 0x5,
    "unbind": 0x6,
    "bind_transceiver": 0x9,
    "enquire_link": 0x15,
    "data_sm": 0x103,
}
RESPONSE = 0x80000000
COMMANDS |= {f"{name}_resp": code | RESPONSE for name, code in COMMANDS.items() if code < RESPONSE}
BINDS = frozenset((0x1, 0x2, 0x9))

Action = Literal[
    "delay",  # passes it on after VALUE ms, in order
    "slice",  # passes it on in pieces of VALUE octets (1), each a segment of its own
    "drop",
    "duplicate",
    "reorder",  # behind the next one that goes the same way
    "sequence",  # with VALUE added to its sequence number (1)
    "status",  # the response says VALUE instead, without a body
    "nack",  # it never gets there; whoever waits for it, or for its answer, gets a generic_nack VALUE (3)
    "answer",  # the request never gets there; the answer is status VALUE
    "garbage",  # VALUE random octets (64) go before it
    "oversized",  # its head, with a command_length of VALUE (1 GiB)
    "reset",  # half of it, then a TCP reset to both sides
    "black_hole",  # nothing passes any more, in either direction; nothing is closed
    "half_open",  # the other side is closed; whoever sent it is not told
]

_RULE = re.compile(r"(?P<action>\w+)(?:=(?P<value>\w+))?:(?P<command>\w+)(?:@(?P<when>.+))?")
_DEFAULTS = {"slice": 1, "sequence": 1, "garbage": 64, "oversized": 1 << 30}


@dataclass(frozen=True, slots=True)
class Rule:
    """A fault and its trigger: the matching PDUs that the counts, the share and the time let through.

    `first` is the number of the first one struck (1: the first of all), `every` the step from there on,
    `times` how many at most (0: all), `share` a chance, `from_s` and `to_s` seconds since the proxy's start.
    """

    action: Action
    command: int | None = None  # None: any
    value: int = 0
    first: int = 1
    every: int = 1
    times: int = 0
    share: float = 1.0
    from_s: float = 0.0
    to_s: float = float("inf")

    @property
    def name(self) -> str:
        names = {code: name for name, code in COMMANDS.items()}
        return f"{self.action}:{'any' if self.command is None else names[self.command]}"


def parse(text: str) -> Rule:
    """ACTION[=VALUE]:COMMAND[@count=N,every=N,times=N,share=P,from=S,to=S]. ValueError says what is wrong.

    COMMAND is a name like submit_sm_resp, or `any`. `count=N` alone strikes the N-th and no other.
    """
    match = _RULE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not like drop:submit_sm_resp@share=0.01")
    action, command = match["action"], match["command"]
    if action not in get_args(Action):
        raise ValueError(f"{action!r} is none of {', '.join(get_args(Action))}")
    if command != "any" and command not in COMMANDS:
        raise ValueError(f"{command!r} is no SMPP command")
    value = int(match["value"], 0) if match["value"] else _DEFAULTS.get(action, 0)
    given: dict[str, float] = {}
    for trigger in (match["when"] or "").split(","):
        if trigger:
            name, _, number = trigger.partition("=")
            if name not in ("count", "every", "times", "share", "from", "to"):
                raise ValueError(f"{name!r} is no trigger: count, every, times, share, from, to")
            given[name] = float(number)
    if not 0.0 <= given.get("share", 1.0) <= 1.0:
        raise ValueError("a share lies between 0 and 1")
    once = "count" in given and "every" not in given
    return Rule(
        action=action,  # type: ignore[arg-type]  # one of the names, see above
        command=None if command == "any" else COMMANDS[command],
        value=value,
        first=int(given.get("count", 1)),
        every=max(1, int(given.get("every", 1))),
        times=int(given.get("times", 1 if once else 0)),
        share=given.get("share", 1.0),
        from_s=given.get("from", 0.0),
        to_s=given.get("to", float("inf")),
    )


class Trigger:
    """A rule with its count of what it has seen and struck."""

    def __init__(self, rule: Rule, chance: random.Random) -> None:
        self.rule = rule
        self.seen = 0
        self.struck = 0
        self._chance = chance

    def strikes(self, command: int, at_s: float) -> bool:
        rule = self.rule
        if rule.command is not None and command != rule.command:
            return False
        self.seen += 1
        if not rule.from_s <= at_s < rule.to_s or (rule.times and self.struck >= rule.times):
            return False
        if self.seen < rule.first or (self.seen - rule.first) % rule.every:
            return False
        if rule.share < 1.0 and self._chance.random() >= rule.share:
            return False
        self.struck += 1
        return True
