"""What the routes reach: the engine's parts, opened once by `engine.__main__`."""

import asyncio
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID

from starlette.requests import Request

from engine.dispatch.dispatcher import Dispatcher
from engine.ledger.pool import Pool
from engine.ledger.secrets import SecretBox
from engine.ledger.writer import LedgerWriter
from engine.settings import EngineSettings


@dataclass
class EngineState:
    settings: EngineSettings
    pool: Pool
    secrets: SecretBox
    dispatcher: Dispatcher
    worker: str
    schema_version: int
    stopping: bool = False
    writer: LedgerWriter | None = None
    # one request at a time feeds an upload; its dedupe set lives only as long as that request
    upload_locks: dict[UUID, asyncio.Lock] = field(default_factory=dict)


def engine(request: Request) -> EngineState:
    return cast(EngineState, request.app.state.engine)
