"""Recipient files for demos and benches: numbers of one country, names with accents, bad lines, duplicates.

The file is a function of its arguments: the same ones give the same bytes, on every machine.
"""

import json
from array import array
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import BinaryIO

import click

ROWS_A_WRITE = 50_000
FIRST_NAMES = (
    "Zoë", "Łukasz", "Émilie", "Björn", "María", "Noël", "Anaïs", "Søren", "José", "Chloé", "Marie", "Paul",
    "Lucas", "Emma", "Louis", "Alice", "Hugo", "Jeanne", "Élise", "François", "Gaël", "Inès", "Jérôme",
    "Loïc", "Maëlle", "René", "Thérèse", "Yaël", "Agnès", "Benoît",
)  # fmt: skip
LAST_NAMES = (
    "Müller", "Lefèvre", "Dupont", "García", "Nuñez", "Martin", "Bernard", "Petit", "Çelik", "Durand",
    "Leroy", "Moreau", "Simon", "Laurent", "Lévêque", "Roux", "Fournier", "Girard", "Bonnet", "Mercier",
)  # fmt: skip
CITIES = (
    "Rotherham", "Paris", "Saint-Étienne", "München", "Lyon", "Kraków", "A Coruña", "Villeneuve-d'Ascq",
    "Aix-en-Provence", "Köln", "Málaga", "Leeds",
)  # fmt: skip
EIGHT_COLUMNS = b"number,name,city,postcode,amount,currency,due,link\n"
NAMES = tuple(f"{first} {last}".encode() for first in FIRST_NAMES for last in LAST_NAMES)

# Each would stop or confuse a naive reader in its own way; none is accepted, whatever the default country.
BAD_LINES = (
    b"%s\n",  # a column is missing
    b"not a number,%s\n",
    b"+33 6 12,%s\n",
    b"+999612345678,%s\n",
    b",%s\n",
    b'"+33612345678,%s\n',  # a quote that is never closed
    b"+33612345678,%s,one more\n",
    b"+33612345678,\xff%s\n",
    b"+33612345678,\0%s\n",
    b"+336123456789012345,%s\n",
)


@dataclass(frozen=True)
class Country:
    """Mobile numbers: code, then one of the leads, then the given count of digits."""

    code: int
    leads: tuple[int, ...]
    digits: int

    @property
    def size(self) -> int:
        """How many different numbers there are."""
        span: int = 10**self.digits
        return len(self.leads) * span

    def number(self, place: int) -> int:
        """The number at a place in 0..size-1."""
        span: int = 10**self.digits
        lead, rest = divmod(place, span)
        return int(f"{self.code}{self.leads[lead]}") * span + rest


COUNTRIES = {
    "FR": Country(33, (6, 7), 8),
    "GB": Country(44, (74, 75, 77, 78, 79), 8),
    "DE": Country(49, (151, 160, 170, 171, 175), 7),
    "ES": Country(34, (6,), 8),
}


@dataclass(frozen=True)
class Expected:
    """What an ingest must find: rows = accepted + duplicates + job_errors."""

    rows: int
    accepted: int
    duplicates: int
    job_errors: int
    size_bytes: int


def write_recipients(
    path: Path | str,
    *,
    rows: int,
    seed: int,
    bad_share: float = 0.01,
    duplicate_share: float = 0.01,
    country: str = "FR",
    with_name: bool = True,
    filler_bytes: int = 0,
    eight_columns: bool = False,
) -> Expected:
    """Write a CSV file of `rows` lines besides its header, streamed: memory does not grow with it.

    bad_share, duplicate_share: of the rows, rounded down; duplicates repeat earlier numbers, written
    another way. with_name: False gives numbers alone, one a line, no header. filler_bytes: width of a third
    column, for big files of few rows. eight_columns: number, name and six more, the last a link of its own
    for each row: about 100 bytes a line. Raises ValueError where the country has too few numbers or there is
    nothing to repeat.
    """
    plan = COUNTRIES[country]
    bad, duplicates = int(rows * bad_share), int(rows * duplicate_share)
    good = rows - bad - duplicates
    if good > plan.size or (rows and good < 1):
        raise ValueError(f"cannot make {good} different numbers of {country}")
    with open(path, "wb") as file:
        if with_name:
            header = b"number,name,note\n" if filler_bytes else b"number,name\n"
            file.write(EIGHT_COLUMNS if eight_columns else header)
        writer = _EightColumns if eight_columns else _Writer
        writer(file, Random(seed), plan, with_name, b"x" * filler_bytes).write(good, duplicates, bad)
        size = file.tell()
    return Expected(rows, good, duplicates, bad, size)


class _Writer:
    def __init__(self, file: BinaryIO, random: Random, plan: Country, with_name: bool, filler: bytes) -> None:
        self.file = file
        self.random = random
        self.plan = plan
        self.with_name = with_name
        self.tail = b"," + filler + b"\n" if filler else b"\n"
        self.names = [random.choice(NAMES) + self.tail for _ in range(4096)]
        # A walk through all numbers of the country in a step prime to their count repeats none.
        self.place = random.randrange(plan.size)
        self.step = self._step()

    def _step(self) -> int:
        while True:  # the sizes are products of 2 and 5
            step = self.random.randrange(self.plan.size // 3, self.plan.size // 2)
            if step % 2 and step % 5:
                return step

    def write(self, good: int, duplicates: int, bad: int) -> None:
        left = [good, duplicates, bad]
        while sum(left):
            total = sum(left)
            size = min(ROWS_A_WRITE, total)
            share = [count * size // total for count in left]
            share[0] += size - sum(share)
            lines = self._good(share[0])
            self._mix(lines, share[1], share[2])
            self.file.write(b"".join(lines))
            left = [count - taken for count, taken in zip(left, share, strict=True)]

    def _good(self, count: int) -> list[bytes]:
        numbers = array("q")
        for _ in range(count):
            numbers.append(self.place)
            self.place = (self.place + self.step) % self.plan.size
        span = 10**self.plan.digits
        bases = [self.plan.number(lead * span) for lead in range(len(self.plan.leads))]
        if not self.with_name:
            return [b"+%d\n" % (bases[place // span] + place % span) for place in numbers]
        names = self.random.choices(self.names, k=count)
        return [
            b"+%d,%b" % (bases[place // span] + place % span, name)
            for place, name in zip(numbers, names, strict=True)
        ]

    def _mix(self, lines: list[bytes], duplicates: int, bad: int) -> None:
        """Repeats some of the good lines and puts bad lines between; the file never begins with one."""
        good = len(lines)
        for _ in range(duplicates):
            at = self.random.randrange(good)
            lines[at] += self._repeated(lines[at].partition(b"\n")[0].partition(b",")[0])
        for _ in range(bad):
            at = self.random.randrange(good)
            broken = self.random.choice(BAD_LINES) if self.with_name else b"not a number\n"
            if b"%s" in broken:
                broken = broken % self.random.choice(NAMES)
                if self.tail != b"\n":
                    broken = broken[:-1] + self.tail
            lines[at] += broken

    def _repeated(self, number: bytes) -> bytes:
        """The number with spaces between, and another name."""
        written = number[:4] + b" " + number[4:]
        return written + (b"," + self.random.choice(self.names) if self.with_name else b"\n")


class _EightColumns(_Writer):
    """Lines as a shop exports them."""

    def __init__(self, file: BinaryIO, random: Random, plan: Country, with_name: bool, filler: bytes) -> None:
        super().__init__(file, random, plan, with_name, filler)
        self.tail = b",Lyon,69003,12.50,EUR,2026-12-01,https://shop.example/o/1\n"
        self.names = [
            b"%b,%b,%05d,%d.%02d,EUR,2026-%02d-%02d,https://shop.example/orders/0\n"
            % (
                random.choice(NAMES), random.choice(CITIES).encode(), random.randrange(1000, 99000),
                random.randrange(500), random.randrange(100), random.randint(1, 12), random.randint(1, 28),
            )
            for _ in range(4096)
        ]  # fmt: skip

    def _good(self, count: int) -> list[bytes]:
        return [b"%b%012d\n" % (line[:-2], self.random.randrange(10**12)) for line in super()._good(count)]


@click.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--rows", default=100_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--country", type=click.Choice(sorted(COUNTRIES)), default="FR", show_default=True)
@click.option("--numbers-only", is_flag=True, help="One number a line, no header.")
def main(path: Path, rows: int, seed: int, country: str, numbers_only: bool) -> None:
    """Write a recipient file and print the counts an ingest must find."""
    expected = write_recipients(path, rows=rows, seed=seed, country=country, with_name=not numbers_only)
    click.echo(json.dumps(asdict(expected)))


if __name__ == "__main__":
    main()
