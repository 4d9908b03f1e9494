"""What every driver shares. It runs in the throw-away environment: the standard library is all there is.

A driver is called as `python DRIVER.py PORT COUNT WINDOW MESSAGES`, sends so many of the messages over one
transceiver, and prints one JSON line when each has its response and its receipt.
"""

import json
import sys
import time
from typing import NamedTuple


class Message(NamedTuple):
    number: str
    text: str
    octets: bytes  # of the text in its data_coding
    data_coding: int  # 0 or 8


class Work:
    """The command line, read before any clock runs."""

    def __init__(self) -> None:
        port, count, window, path = sys.argv[1:]
        self.port, self.count, self.window = int(port), int(count), int(window)
        with open(path, encoding="utf-8") as file:
            some = [Message(n, t, bytes.fromhex(h), c) for n, t, h, c in json.load(file)]
        self.messages = (some * (self.count // len(some) + 1))[: self.count]
        self.answered = self.receipts = 0
        self._began = self._cpu_s = 0.0

    @property
    def done(self) -> bool:
        return self.answered >= self.count and self.receipts >= self.count

    def begin(self) -> None:
        self._cpu_s, self._began = time.process_time(), time.perf_counter()

    def end(self) -> None:
        seconds, cpu_s = time.perf_counter() - self._began, time.process_time() - self._cpu_s
        print(json.dumps({"units": self.count, "seconds": seconds, "cpu_s": cpu_s}), flush=True)
