"""The one client of the Core API: what the control plane imports of the engine, with `schema`.

Every call raises CoreUnavailable when the engine cannot be reached or is starting, and CoreError with the
engine's problem document when it refuses. Reads are tried once more on a broken connection (the server ends
connections after five minutes); commands carry a decision id and may be repeated by the caller.
"""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID

import httpx
import msgspec

from engine.core_api import schema
from engine.core_api.certs import ENGINE
from engine.core_api.tls import client_context

T = TypeVar("T")

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 30.0
VERIFY_TIMEOUT_S = 3600.0
PEOPLE_TIMEOUT_S = 600.0
COUNT_TIMEOUT_S = 300.0  # a dry run over ten million recipients
TEST_BIND_TIMEOUT_S = 120.0  # connecting and binding, each as long as the account allows


class CoreError(Exception):
    """The engine answered no. `problem.type` is stable, `problem.status` the HTTP status."""

    def __init__(self, problem: schema.Problem) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem


class CoreUnavailable(Exception):
    """The engine is not there, or its answer is not ours: what became of a command is unknown. Try again."""


class CoreClient:
    """`base_url`: https://host:port, several with blanks between: the one that answered last is asked,
    another where it cannot be reached. `certs`: the folder of `heliograph certs`."""

    def __init__(self, base_url: str, certs: Path) -> None:
        self._urls = base_url.split()
        self._http = httpx.AsyncClient(
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
        await self._send("PUT", f"/accounts/{_named(spec.name)}", spec)

    async def put_channel(self, spec: schema.ChannelSpec) -> None:
        await self._send("PUT", f"/channels/{_named(spec.name)}", spec)

    async def channels(self) -> list[schema.Channel]:
        return await self._get("/channels", list[schema.Channel])

    # accounts, channels ---------------------------------------------------------------------------------

    async def account_settings(self) -> list[schema.Setting]:
        return await self._get("/settings/account", list[schema.Setting])

    async def message_settings(self) -> list[schema.Setting]:
        return await self._get("/settings/message", list[schema.Setting])

    async def presets(self) -> list[schema.Preset]:
        return await self._get("/presets", list[schema.Preset])

    async def accounts(self) -> schema.Accounts:
        return await self._get("/accounts", schema.Accounts)

    async def account(self, name: str) -> schema.Account:
        return await self._get(f"/accounts/{_named(name)}", schema.Account)

    async def create_account(self, order: schema.AccountCommand) -> schema.Account:
        return self._read(await self._send("POST", "/accounts", order), schema.Account)

    async def change_account(self, name: str, order: schema.AccountChange) -> schema.Account:
        response = await self._send("PATCH", f"/accounts/{_named(name)}", order)
        return self._read(response, schema.Account)

    async def clone_account(self, name: str, order: schema.CloneCommand) -> schema.Account:
        response = await self._send("POST", f"/accounts/{_named(name)}/clone", order)
        return self._read(response, schema.Account)

    async def channel(self, name: str) -> schema.Channel:
        return await self._get(f"/channels/{_named(name)}", schema.Channel)

    async def create_channel(self, order: schema.ChannelCommand) -> schema.Channel:
        return self._read(await self._send("POST", "/channels", order), schema.Channel)

    async def change_channel(self, name: str, order: schema.ChannelChange) -> schema.Channel:
        response = await self._send("PATCH", f"/channels/{_named(name)}", order)
        return self._read(response, schema.Channel)

    async def clone_channel(self, name: str, order: schema.CloneCommand) -> schema.Channel:
        response = await self._send("POST", f"/channels/{_named(name)}/clone", order)
        return self._read(response, schema.Channel)

    async def test_bind(self, spec: schema.AccountSpec) -> schema.BindReport:
        """Of an account that need not be stored; an empty password is that of the stored one."""
        response = await self._send("POST", "/accounts/test", spec, timeout_s=TEST_BIND_TIMEOUT_S)
        return self._read(response, schema.BindReport)

    async def test_account(self, name: str) -> schema.BindReport:
        path = f"/accounts/{_named(name)}/test"
        response = await self._send("POST", path, None, timeout_s=TEST_BIND_TIMEOUT_S)
        return self._read(response, schema.BindReport)

    async def send_test(self, channel: str, order: schema.TestMessageSpec) -> schema.TestMessage:
        response = await self._send("POST", f"/channels/{_named(channel)}/test-message", order)
        return self._read(response, schema.TestMessage)

    async def test_message(self, test_id: UUID) -> schema.TestMessage:
        return await self._get(f"/test-messages/{test_id}", schema.TestMessage)

    async def test_messages(self, channel: str) -> schema.TestMessages:
        return await self._get(f"/channels/{_named(channel)}/test-messages", schema.TestMessages)

    async def start_trace(self, order: schema.TraceSpec) -> schema.Trace:
        return self._read(await self._send("POST", "/traces", order), schema.Trace)

    async def traces(self) -> schema.Traces:
        return await self._get("/traces", schema.Traces)

    async def trace(self, trace_id: int, after: int = 0) -> schema.TracePdus:
        """Its PDUs after that one; the answer's `next` goes on."""
        return await self._get(f"/traces/{trace_id}", schema.TracePdus, after=after)

    async def end_trace(self, trace_id: int) -> None:
        """Records no more; what was recorded stays for a day."""
        await self._send("DELETE", f"/traces/{trace_id}", None)

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

    async def explain_text(self, question: schema.TextQuestion) -> schema.TextExplanation:
        return self._read(await self._send("POST", "/texts/explain", question), schema.TextExplanation)

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

    async def campaign_channels(self, campaign_id: UUID) -> schema.CampaignChannels:
        return await self._get(f"/campaigns/{campaign_id}/channels", schema.CampaignChannels)

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

    async def records(
        self, campaign_id: UUID, cursor: str | None = None, limit: int = 5_000
    ) -> schema.DeliveryRecords:
        """Delivery records after `cursor`, with whole numbers; every page is a question of its own."""
        path = f"/campaigns/{campaign_id}/records"
        return await self._get(path, schema.DeliveryRecords, cursor=cursor, limit=limit)

    async def campaign_texts(self, campaign_id: UUID) -> schema.RenderedTexts:
        """What a sealed campaign would send. Takes seconds over millions of recipients."""
        response = await self._request(
            "GET", f"/campaigns/{campaign_id}/texts", timeout=httpx.Timeout(COUNT_TIMEOUT_S)
        )
        return self._read(response, schema.RenderedTexts)

    async def search_texts(
        self, campaign_id: UUID, question: schema.RenderedSearch
    ) -> schema.RenderedMatches:
        response = await self._send("POST", f"/campaigns/{campaign_id}/texts/search", question)
        return self._read(response, schema.RenderedMatches)

    async def equation(self, campaign_id: UUID) -> schema.Equation:
        response = await self._request(
            "GET", f"/campaigns/{campaign_id}/equation", timeout=httpx.Timeout(COUNT_TIMEOUT_S)
        )
        return self._read(response, schema.Equation)

    # stops, orders to binds ---------------------------------------------------------------------------------

    async def stop(self, spec: schema.StopSpec) -> schema.Stop:
        return self._read(await self._send("POST", "/stops", spec), schema.Stop)

    async def stops(self) -> schema.Stops:
        return await self._get("/stops", schema.Stops)

    async def lift_stop(self, stop_id: UUID, spec: schema.LiftSpec) -> schema.Stop:
        return self._read(await self._send("POST", f"/stops/{stop_id}/lift", spec), schema.Stop)

    async def drain(self, name: str, spec: schema.ControlSpec, *, drained: bool = True) -> None:
        await self._send("POST", f"/accounts/{_named(name)}/{'drain' if drained else 'undrain'}", spec)

    async def control_bind(
        self, name: str, number: int, action: schema.BindOrder, spec: schema.ControlSpec
    ) -> None:
        await self._send("POST", f"/accounts/{_named(name)}/binds/{number}/{action}", spec)

    async def set_weight(self, workspace_id: UUID, spec: schema.WeightSpec) -> None:
        await self._send("PUT", f"/workspaces/{workspace_id}/weight", spec)

    # retention ----------------------------------------------------------------------------------------------

    async def set_retention(self, workspace_id: UUID, spec: schema.WorkspaceRetention) -> None:
        await self._send("PUT", f"/workspaces/{workspace_id}/retention", spec)

    async def retention(self, workspace_id: UUID) -> schema.RetentionReport:
        return await self._get(f"/workspaces/{workspace_id}/retention", schema.RetentionReport)

    async def find_person(self, question: schema.PersonQuestion) -> schema.PersonFound:
        """Reads every recipient file: a minute over hundreds of millions of rows."""
        response = await self._send("POST", "/people/find", question, timeout_s=PEOPLE_TIMEOUT_S)
        return self._read(response, schema.PersonFound)

    async def erase(self, spec: schema.ErasureSpec) -> schema.Erasure:
        response = await self._send("POST", "/erasures", spec, timeout_s=PEOPLE_TIMEOUT_S)
        return self._read(response, schema.Erasure)

    async def erasures(self) -> schema.Erasures:
        return await self._get("/erasures", schema.Erasures)

    # money ----------------------------------------------------------------------------------------------

    async def wallets(self) -> list[schema.Wallet]:
        return await self._get("/wallets", list[schema.Wallet])

    async def wallet(self, workspace_id: UUID) -> schema.Wallet:
        return await self._get(f"/wallets/{workspace_id}", schema.Wallet)

    async def transact(self, workspace_id: UUID, spec: schema.TransactionSpec) -> schema.Wallet:
        response = await self._send("POST", f"/wallets/{workspace_id}/transactions", spec)
        return self._read(response, schema.Wallet)

    async def transactions(
        self, workspace_id: UUID, cursor: str | None = None, limit: int = 100
    ) -> schema.Transactions:
        path = f"/wallets/{workspace_id}/transactions"
        return await self._get(path, schema.Transactions, cursor=cursor, limit=limit)

    async def publish_rates(self, spec: schema.RateSheetSpec) -> schema.RateSheet:
        return self._read(await self._send("POST", "/rates", spec), schema.RateSheet)

    async def rate_sheets(self) -> schema.RateSheets:
        return await self._get("/rates", schema.RateSheets)

    async def rates(self, version: int) -> list[schema.Rate]:
        return await self._get(f"/rates/{version}", list[schema.Rate])

    # routes ---------------------------------------------------------------------------------------------

    async def routes(self) -> list[schema.Route]:
        return await self._get("/routes", list[schema.Route])

    async def put_route(self, route_id: int | None, spec: schema.RouteSpec) -> schema.Route:
        method, path = ("POST", "/routes") if route_id is None else ("PUT", f"/routes/{route_id}")
        return self._read(await self._send(method, path, spec), schema.Route)

    async def delete_route(self, route_id: int, version: int) -> None:
        await self._send("DELETE", f"/routes/{route_id}?version={version}", None)

    async def explain_route(self, question: schema.RouteQuestion) -> schema.RouteExplanation:
        return self._read(await self._send("POST", "/routes/explain", question), schema.RouteExplanation)

    # verify

    async def verify(self, spec: schema.VerifySpec) -> schema.Verification:
        """Answers when it is done: some seconds a million messages."""
        response = await self._send("POST", "/verify", spec, timeout_s=VERIFY_TIMEOUT_S)
        return self._read(response, schema.Verification)

    async def verifications(self, limit: int = 30) -> schema.Verifications:
        return await self._get("/verify", schema.Verifications, limit=limit)

    # doubts and errors ----------------------------------------------------------------------------------

    async def doubts(self, campaign_id: UUID | None = None) -> schema.DoubtGroups:
        return await self._get("/doubts", schema.DoubtGroups, campaign=campaign_id)

    async def resolve_doubts(self, spec: schema.DoubtResolution) -> schema.DoubtResolved:
        return self._read(await self._send("POST", "/doubts/resolve", spec), schema.DoubtResolved)

    async def channel_errors(self, name: str) -> schema.ChannelErrors:
        return await self._get(f"/channels/{_named(name)}/errors", schema.ChannelErrors)

    async def put_channel_error(self, name: str, spec: schema.ErrorCodeSpec) -> schema.ErrorCode:
        return self._read(await self._send("PUT", f"/channels/{_named(name)}/errors", spec), schema.ErrorCode)

    async def delete_channel_error(self, name: str, context: schema.MappedContext, code: str) -> None:
        await self._send("DELETE", f"/channels/{_named(name)}/errors/{context}/{_named(code)}", None)

    async def import_channel_errors(
        self, name: str, spec: schema.ErrorCodeImport
    ) -> schema.ErrorCodeImported:
        response = await self._send("POST", f"/channels/{_named(name)}/errors/import", spec)
        return self._read(response, schema.ErrorCodeImported)

    async def reset_channel(self, name: str, spec: schema.ChannelReset) -> None:
        await self._send("POST", f"/channels/{_named(name)}/reset", spec)

    # -- receipts --

    async def orphans(
        self,
        account: str | None = None,
        age: schema.OrphanAge | None = None,
        smsc_id: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> schema.Orphans:
        """Receipts that matched no message; without `age` those still open."""
        return await self._get(
            "/orphans", schema.Orphans, account=account, age=age, smsc_id=smsc_id, cursor=cursor, limit=limit
        )

    async def retry_orphans(self, spec: schema.OrphanRetry) -> schema.OrphanRetried:
        return self._read(await self._send("POST", "/orphans/retry", spec), schema.OrphanRetried)

    async def inbound(
        self, account: str | None = None, cursor: str | None = None, limit: int = 100
    ) -> schema.InboundPage:
        return await self._get("/inbound", schema.InboundPage, account=account, cursor=cursor, limit=limit)

    async def account_ids(self, name: str) -> schema.AccountIds:
        return await self._get(f"/accounts/{_named(name)}/ids", schema.AccountIds)

    async def reset_account_ids(self, name: str, spec: schema.IdReset) -> schema.AccountIds:
        return self._read(
            await self._send("POST", f"/accounts/{_named(name)}/ids/reset", spec), schema.AccountIds
        )

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
            response = await self._reach(method, path, **options)
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

    async def _reach(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Asks the next engine where one cannot be reached; what one was asked is asked no other."""
        for left in reversed(range(len(self._urls))):
            try:
                url = self._urls[0] + schema.PREFIX + path
                return await self._http.request(method, url, extensions={"sni_hostname": ENGINE}, **options)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                self._urls.append(self._urls.pop(0))
                if not left:
                    raise
        raise AssertionError("there is a url")

    @staticmethod
    def _read(response: httpx.Response, answer: type[T]) -> T:
        try:
            return msgspec.json.decode(response.content, type=answer)
        except msgspec.MsgspecError as error:
            raise CoreUnavailable(f"the engine's answer does not fit the schema: {error}") from error


def _named(name: str) -> str:
    """A name as a segment of a path."""
    return quote(name, safe="")
