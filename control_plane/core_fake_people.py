"""Delivery records, and what is held about a number, in the engine's fake."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID, uuid4

from control_plane.core_fake_money import FakeMoney
from control_plane.core_fake_operations import STARTED, refuse
from engine.core_api import schema

IN_USE = ("Pending", "Sending", "Paused")


class FakePeople(FakeMoney):
    """Its stores are the recipients of its uploads, and a record of each in the campaigns made of them."""

    def __init__(self) -> None:
        super().__init__()
        self._uploads: dict[UUID, schema.Upload] = {}
        self._numbers: dict[UUID, dict[str, str]] = {}  # with the second field of their line
        self._campaigns: dict[UUID, schema.Campaign] = {}
        self._erased: dict[UUID, schema.Erasure] = {}
        self.error = ""  # of every record: a test says what an operator may answer

    async def records(
        self, campaign_id: UUID, cursor: str | None = None, limit: int = 5_000
    ) -> schema.DeliveryRecords:
        self._reach()
        if campaign_id not in self._campaigns:
            refuse("not-found", 404, f"no campaign {campaign_id}")
        campaign = self._campaigns[campaign_id]
        numbers = sorted(self._numbers[campaign.upload_id])
        first = int(cursor or 0)
        end = min(first + limit, len(numbers))
        return schema.DeliveryRecords(
            records=[
                schema.DeliveryRecord(
                    message_id=UUID(int=row),
                    msisdn=numbers[row],
                    channel=campaign.channel or "bulk",
                    state="DELIVERED",
                    parts=1,
                    attempts=1,
                    cost=500,
                    created_at=STARTED,
                    sent_at=STARTED,
                    done_at=STARTED,
                    error=self.error,
                )
                for row in range(first, end)
            ],
            next=str(end) if end < len(numbers) else None,
        )

    async def retention(self, workspace_id: UUID) -> schema.RetentionReport:
        self._reach()
        return schema.RetentionReport(
            at="04:15",
            messages_days=400,
            files_days=30,
            numbers_days=None,
            files_kept=sum(one.workspace_id == workspace_id for one in self._uploads.values()),
            files_gone=0,
            oldest_day=None,
            runs=[],
            dropped=[],
        )

    async def find_person(self, question: schema.PersonQuestion) -> schema.PersonFound:
        self._reach()
        digits = question.msisdn.removeprefix("+")
        if not (digits.isdigit() and 7 <= len(digits) <= 15):
            refuse("unfit", 422, "a number with its country code: 7 to 15 digits")
        files = list(self._holding(digits, question.workspace_id))
        used = {one.upload_id for one in self._campaigns.values()}
        campaigns = [one for one in self._campaigns.values() if one.upload_id in files]
        records = [
            schema.PersonRecord(
                store="recipient_chunks",
                campaign_id=None,
                at=STARTED,
                held={"file": "a.csv", "msisdn": digits},
            )
            for _ in files
        ]
        return schema.PersonFound(
            counts={"recipient_chunks": len(files)} if files else {},
            records=records,
            cut=False,
            in_use=[
                *(f"campaign {one.campaign_id} ({one.state})" for one in campaigns if one.state in IN_USE),
                *(f"recipient file {one} (no campaign yet)" for one in files if one not in used),
            ],
        )

    async def erase(self, spec: schema.ErasureSpec) -> schema.Erasure:
        if spec.decision_id not in self._erased:
            found = await self.find_person(
                schema.PersonQuestion(msisdn=spec.msisdn, workspace_id=spec.workspace_id)
            )
            if found.in_use:
                refuse("number-in-use", 409, f"still needed by {found.in_use[0]}: erase it after")
            digits = spec.msisdn.removeprefix("+")
            for upload_id in list(self._holding(digits, spec.workspace_id)):
                self._numbers[upload_id].pop(digits, None)
            now = datetime.now(UTC)
            self._erased[spec.decision_id] = schema.Erasure(
                erasure_id=uuid4(),
                number_hash="0" * 64,
                reason=spec.reason,
                requested_at=now,
                done_at=now,
                erased=found.counts,
            )
            self.done.append("erase")
        return self._erased[spec.decision_id]

    def _holding(self, digits: str, workspace_id: UUID | None) -> Iterable[UUID]:
        for upload_id, numbers in self._numbers.items():
            if digits in numbers and workspace_id in (None, self._uploads[upload_id].workspace_id):
                yield upload_id
