from array import array

from typing_extensions import Buffer

OK: int
EMPTY: int
NOT_A_NUMBER: int
TOO_SHORT: int
TOO_LONG: int
UNKNOWN_COUNTRY_CODE: int

def normalise(data: Buffer, end: Buffer, default_country: str) -> tuple[array[int], array[int]]: ...
