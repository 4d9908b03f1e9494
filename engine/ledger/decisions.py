"""Commands of the Core API happen once: a decision id with the same body gets the stored answer again."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

import msgspec

from engine.ledger.errors import DecisionReused
from engine.ledger.pool import Connection
from engine.ledger.sql import load

Answer = TypeVar("Answer", bound=msgspec.Struct)


async def once(
    connection: Connection,
    decision_id: UUID,
    command: str,
    body: bytes,
    answer_type: type[Answer],
    act: Callable[[], Awaitable[Answer]],
) -> Answer:
    """Run `act` and store its answer, in the caller's transaction; or give the answer stored before.

    Two callers with one id are serialised by the row: the second waits, then reads. A failing `act` leaves
    nothing behind. Raises DecisionReused where the id stands for another command or body.
    """
    assert connection.is_in_transaction()
    queries = load("decisions")
    body_hash = hashlib.sha256(body).digest()
    if await connection.fetchval(queries["take"], decision_id, command, body_hash) is None:
        stored = await connection.fetchrow(queries["stored"], decision_id)
        assert stored is not None
        if stored["command"] != command or bytes(stored["body_hash"]) != body_hash:
            raise DecisionReused(f"decision {decision_id} was taken for another {stored['command']}")
        return msgspec.json.decode(stored["answer"], type=answer_type)
    answer = await act()
    await connection.execute(queries["answer"], decision_id, msgspec.json.encode(answer).decode())
    return answer
