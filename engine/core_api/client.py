"""The one client of the Core API: what the control plane imports of the engine, with `schema`.

Every call raises CoreUnavailable when the engine cannot be reached or is starting, and CoreError with the
engine's problem document when it refuses. Reads are tried once more on a broken connection (the server ends
connections after five minutes); commands carry a decision id and may be repeated by the caller.
"""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
import msgspec

from engine.core_api import schema
from engine.core_api.certs import ENGINE
from engine.core_api.tls import client_context

T = TypeVar("T")

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 30.0
COUNT_TIMEOUT_S = 300.0  # a dry run over ten million recipients


class CoreError(Exception):
    """The engine answered no. `problem.type` is stable, `problem.status` the HTTP status."""

    def __init__(self, problem: schema.Problem) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem


class CoreUnavailable(Exception):
    """The engine is not there, or its answer is not ours: what became of a command is unknown. Try again."""


class CoreClient:
    """`base_url`: https://host:port. `certs`: the folder of `heliograph certs`."""

    def __init__(self, base_url: str, certs: Path) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url + schema.PREFIX,
            verify=client_context(certs),
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=64, keepalive_expiry=60),
            trust_env=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def health(self) -> schema.Health:
        return await self._get("/health", schema.Health)

    async def pulse(self) -> schema.Pulse:
        return await self._get("/pulse", schema.Pulse)

    async def put_account(self, spec: schema.AccountSpec) -> None:
        await self._send("PUT", f"/accounts/{spec.name}", spec)

    async def put_channel(self, spec: schema.ChannelSpec) -> None:
        await self._send("PUT", f"/channels/{spec.name}", spec)

    async def channels(self) -> list[schema.Channel]:
        return await self._get("/channels", list[schema.Channel])

    async def create_upload(self, spec: schema.UploadSpec) -> schema.Upload:
        return self._read(await self._send("POST", "/uploads", spec), schema.Upload)

    async def send_upload(
        self, upload_id: UUID, offset: int, content: AsyncIterator[bytes], *, final: bool
    ) -> schema.Upload:
        """Stream bytes from `offset` on. When it breaks off, `upload(id).byte_offset` says where to go on."""
        response = await self._request(
            "PUT",
            f"/uploads/{upload_id}/data",
            params={"offset": offset, "final": int(final)},
            content=content,
            headers={"content-type": "application/octet-stream"},
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
        )
        return self._read(response, schema.Upload)

    async def upload(self, upload_id: UUID) -> schema.Upload:
        return await self._get(f"/uploads/{upload_id}", schema.Upload)

    async def discard_upload(self, upload_id: UUID) -> None:
        await self._send("DELETE", f"/uploads/{upload_id}", None)

    async def upload_errors(
        self, upload_id: UUID, cursor: str | None = None, limit: int = 100
    ) -> schema.JobErrors:
        return await self._get(f"/uploads/{upload_id}/errors", schema.JobErrors, cursor=cursor, limit=limit)

    async def count_text(self, spec: schema.TextSpec) -> schema.TextCount:
        response = await self._send("POST", "/texts/count", spec, timeout_s=COUNT_TIMEOUT_S)
        return self._read(response, schema.TextCount)

    async def seal_campaign(self, spec: schema.CampaignSpec) -> schema.Campaign:
        return self._read(await self._send("POST", "/campaigns", spec), schema.Campaign)

    async def command(self, campaign_id: UUID, command: schema.CampaignCommand) -> schema.Campaign:
        response = await self._send("POST", f"/campaigns/{campaign_id}/commands", command)
        return self._read(response, schema.Campaign)

    async def campaign(self, campaign_id: UUID) -> schema.Campaign:
        return await self._get(f"/campaigns/{campaign_id}", schema.Campaign)

    async def campaigns(self, campaign_ids: Iterable[UUID]) -> list[schema.Campaign]:
        """Those of the ids the engine knows, in no particular order; at most 200 at once."""
        ids = ",".join(str(campaign_id) for campaign_id in campaign_ids)
        if not ids:
            return []
        return (await self._get("/campaigns", schema.Campaigns, ids=ids)).campaigns

    async def series(self, campaign_id: UUID) -> schema.Series:
        return await self._get(f"/campaigns/{campaign_id}/series", schema.Series)

    async def message_errors(self, campaign_id: UUID) -> schema.MessageErrors:
        return await self._get(f"/campaigns/{campaign_id}/message-errors", schema.MessageErrors)

    async def job_errors(
        self, campaign_id: UUID, cursor: str | None = None, limit: int = 100
    ) -> schema.JobErrors:
        return await self._get(
            f"/campaigns/{campaign_id}/job-errors", schema.JobErrors, cursor=cursor, limit=limit
        )

    async def recipients(
        self, campaign_id: UUID, cursor: str | None = None, limit: int = 50, state: str | None = None
    ) -> schema.Recipients:
        path = f"/campaigns/{campaign_id}/recipients"
        return await self._get(path, schema.Recipients, cursor=cursor, limit=limit, state=state)

    async def equation(self, campaign_id: UUID) -> schema.Equation:
        response = await self._request(
            "GET", f"/campaigns/{campaign_id}/equation", timeout=httpx.Timeout(COUNT_TIMEOUT_S)
        )
        return self._read(response, schema.Equation)

    async def _get(self, path: str, answer: type[T], **params: object) -> T:
        query = {name: str(value) for name, value in params.items() if value is not None}
        try:
            response = await self._request("GET", path, params=query)
        except CoreUnavailable as error:
            if not isinstance(error.__cause__, (httpx.RemoteProtocolError, httpx.ReadError)):
                raise
            response = await self._request("GET", path, params=query)
        return self._read(response, answer)

    async def _send(
        self, method: str, path: str, body: msgspec.Struct | None, timeout_s: float = READ_TIMEOUT_S
    ) -> httpx.Response:
        return await self._request(
            method,
            path,
            content=b"" if body is None else msgspec.json.encode(body),
            headers={"content-type": "application/json"},
            timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
        )

    async def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = await self._http.request(method, path, extensions={"sni_hostname": ENGINE}, **options)
        except httpx.HTTPError as error:
            raise CoreUnavailable(f"the engine cannot be reached: {type(error).__name__}") from error
        if response.is_success:
            return response
        try:
            problem = msgspec.json.decode(response.content, type=schema.Problem)
        except msgspec.MsgspecError as error:
            raise CoreUnavailable(f"the engine answered {response.status_code} without a problem") from error
        if problem.status == 503:
            raise CoreUnavailable(problem.detail or problem.title)
        raise CoreError(problem)

    @staticmethod
    def _read(response: httpx.Response, answer: type[T]) -> T:
        try:
            return msgspec.json.decode(response.content, type=answer)
        except msgspec.MsgspecError as error:
            raise CoreUnavailable(f"the engine's answer does not fit the schema: {error}") from error
