"""Messages in the cheapest of a channel's forms. `engine._fast.pure.repertoire` says what each means."""

from collections.abc import Mapping, Sequence

from engine._fast.forms import Form, Written

class Repertoire:
    @property
    def forms(self) -> tuple[Form, ...]: ...
    @property
    def rule(self) -> int: ...
    @property
    def splitting(self) -> int: ...
    def __init__(
        self,
        forms: Sequence[Form],
        *,
        rule: int = ...,
        splitting: int = ...,
        transliteration: Mapping[str, str] | None = None,
    ) -> None: ...
    def write(self, text: str) -> Written | None: ...

def pack(septets: bytes, header_octets: int) -> bytes: ...
