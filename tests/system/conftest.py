"""One running Heliograph for the system tests that only use it, and people logged in to it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from bench.people import Person
from bench.stack import Stack

SMSC = "--receipt-share 1.0 --receipt-delay-ms 50 --seed 5"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`heliograph up` on free ports, in a folder of its own."""
    running = Stack(tmp_path_factory.mktemp("stack"), ["--tps", "2000", "--window", "100", "--smsc", SMSC])
    try:
        yield running
    finally:
        running.stop()


@dataclass(frozen=True)
class People:
    author: Person
    moderator: Person


@pytest.fixture(scope="session")
def people(stack: Stack) -> Iterator[People]:
    with (
        Person(stack.ready["ui"], *stack.login_of("author")) as author,
        Person(stack.ready["ui"], *stack.login_of("moderator")) as moderator,
    ):
        yield People(author, moderator)
