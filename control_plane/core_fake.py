"""The engine in memory, for tests of what is above it: it keeps the Core API's word, and can be away.

Recipients are lines whose first field is digits; nothing is sent. Decisions happen once, states move as the
engine's do, a `start` needs the sealed hash.
"""

import hashlib
from collections.abc import AsyncIterator, Iterable
from uuid import UUID

import msgspec

from control_plane import core_fake_texts
from control_plane.core_fake_operations import STARTED, refuse
from control_plane.core_fake_people import FakePeople
from engine.core_api import schema
from engine.core_api.client import CoreUnavailable

TRANSITIONS: dict[schema.Command, tuple[tuple[schema.CampaignState, ...], schema.CampaignState]] = {
    "start": (("Pending",), "Sending"),
    "pause": (("Sending",), "Paused"),
    "resume": (("Paused",), "Sending"),
    "cancel": (("Pending", "Sending", "Paused"), "Cancelled"),
    "return": (("Pending",), "Returned"),
}


class FakeCore(FakePeople):
    """See Core. `away`: nothing is reached. `lose_answers`: commands are done, their answers never arrive.

    `planned` are the channels of campaigns by routes, `rendered` other texts than `{{name}}` makes: a test
    says them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lose_answers = False
        self._tails: dict[UUID, bytes] = {}
        self._answers: dict[UUID, schema.Campaign] = {}
        self.planned: dict[UUID, list[schema.CampaignChannel]] = {}
        self.rendered: dict[UUID, schema.RenderedTexts] = {}

    async def close(self) -> None:
        self.away = True

    async def health(self) -> schema.Health:
        self._reach()
        return schema.Health(status="ok", version="0", schema_version=1, implementation="pure", worker="fake")

    async def pulse(self) -> schema.Pulse:
        self._reach()
        return schema.Pulse(
            status="ok", in_flight=0, sent_per_s=0.0, delivered_per_s=0.0, binds_bound=1, binds_total=1
        )

    async def create_upload(self, spec: schema.UploadSpec) -> schema.Upload:
        self._reach()
        if spec.upload_id not in self._uploads:
            self._uploads[spec.upload_id] = schema.Upload(
                upload_id=spec.upload_id,
                workspace_id=spec.workspace_id,
                file_name=spec.file_name,
                size_bytes=spec.size_bytes,
                state="open",
                reason="",
                byte_offset=0,
                lines=0,
                rows=0,
                accepted=0,
                duplicates=0,
                job_errors=0,
                columns=["name"],
                encoding="utf-8",
                separator=",",
                has_header=False,
                msisdn_column="1",
            )
            self._numbers[spec.upload_id] = {}
            self._tails[spec.upload_id] = b""
        return self._uploads[spec.upload_id]

    async def send_upload(
        self, upload_id: UUID, offset: int, content: AsyncIterator[bytes], *, final: bool
    ) -> schema.Upload:
        upload = await self.upload(upload_id)
        if upload.state != "open" or offset != upload.byte_offset:
            refuse("wrong-offset", 409, f"the upload goes on at {upload.byte_offset}")
        async for piece in content:
            *lines, self._tails[upload_id] = (self._tails[upload_id] + piece).split(b"\n")
            self._take(upload_id, len(piece), lines)
        if final:
            self._take(upload_id, 0, [self._tails.pop(upload_id)])
            self._put(upload_id, state="complete")
        return self._uploads[upload_id]

    async def upload(self, upload_id: UUID) -> schema.Upload:
        self._reach()
        if upload_id not in self._uploads:
            refuse("not-found", 404, f"no upload {upload_id}")
        return self._uploads[upload_id]

    async def discard_upload(self, upload_id: UUID) -> None:
        await self.upload(upload_id)
        if any(campaign.upload_id == upload_id for campaign in self._campaigns.values()):
            refuse("conflict", 409, "a campaign uses it")
        del self._uploads[upload_id]
        self.done.append("discard")

    async def upload_errors(
        self, upload_id: UUID, cursor: str | None = None, limit: int = 100
    ) -> schema.JobErrors:
        upload = await self.upload(upload_id)
        counts = {"not_a_number": upload.job_errors} if upload.job_errors else {}
        return schema.JobErrors(total=upload.job_errors, counts=counts, errors=[], next=None)

    async def count_text(self, spec: schema.TextSpec) -> schema.TextCount:
        self._reach()
        if spec.channel and not self._knows_channel(spec.channel):
            refuse("not-found", 404, f"no channel {spec.channel!r}")
        upload = await self.upload(spec.upload_id) if spec.upload_id else None
        numbers = sorted(self._numbers[spec.upload_id]) if spec.upload_id else []
        names = [part.partition("}}")[0].strip() for part in spec.text.split("{{")[1:]]
        known = upload.columns if upload else []
        sample = [
            schema.TextSample(
                msisdn=number, text=spec.text, encoding="gsm", characters=len(spec.text), parts=1
            )
            for number in (numbers if spec.upload_id else [""] if spec.text else [])[: spec.samples]
        ]
        messages = len(numbers) if spec.upload_id else int(bool(spec.text))  # without a file, the text alone
        return schema.TextCount(
            recipients=len(numbers),
            parts=messages,
            gsm=messages,
            ucs2=0,
            parts_histogram=[messages],
            unknown_columns=[name for name in names if name not in known],
            forced_ucs2=[],
            samples=sample,
            longest=sample[0] if sample else None,
        )

    async def seal_campaign(self, spec: schema.CampaignSpec) -> schema.Campaign:
        self._reach()
        if spec.decision_id not in self._answers:
            there = self._campaigns.get(spec.campaign_id)
            if there is not None and there.state != "Returned":
                refuse("campaign-exists", 409, "it was not returned")
            upload = await self.upload(spec.upload_id)
            if upload.state != "complete":
                refuse("upload-not-ready", 409, f"the upload is {upload.state}")
            if spec.channel and not self._knows_channel(spec.channel):
                refuse("not-found", 404, f"no enabled channel {spec.channel!r}")
            sealed = [
                spec.campaign_id,
                spec.text,
                spec.sender_revision_id,
                spec.upload_id,
                spec.channel,
                spec.category,
                spec.options,
                spec.in_doubt,
                upload.accepted,
            ]
            self._campaigns[spec.campaign_id] = schema.Campaign(
                campaign_id=spec.campaign_id,
                workspace_id=spec.workspace_id,
                name=spec.name,
                channel=spec.channel,
                sender=spec.sender,
                text=spec.text,
                upload_id=spec.upload_id,
                options=spec.options,
                in_doubt=spec.in_doubt,
                lane=spec.lane,
                category=spec.category,
                manifest_hash=hashlib.sha256(msgspec.json.encode(sealed)).hexdigest(),
                state="Pending",
                reason="",
                settled=False,
                counts=schema.Counts(accepted=upload.accepted, waiting=upload.accepted),
                rate_per_s=0.0,
                seconds_left=None,
                created_at=STARTED,
                started_at=None,
                done_at=None,
                settled_at=None,
            )
            self._finish(spec.decision_id, "seal", spec.campaign_id)
        return self._answer(spec.decision_id)

    async def command(self, campaign_id: UUID, command: schema.CampaignCommand) -> schema.Campaign:
        self._reach()
        if command.decision_id not in self._answers:
            campaign = await self.campaign(campaign_id)
            sources, target = TRANSITIONS[command.command]
            if campaign.state not in sources:
                refuse("wrong-state", 409, f"a campaign in {campaign.state} cannot {command.command}")
            if command.command == "start" and command.manifest_hash != campaign.manifest_hash:
                refuse("manifest-mismatch", 409, "the approval is for another manifest than the sealed one")
            self._campaigns[campaign_id] = msgspec.structs.replace(campaign, state=target)
            self._finish(command.decision_id, command.command, campaign_id)
        return self._answer(command.decision_id)

    async def campaign(self, campaign_id: UUID) -> schema.Campaign:
        self._reach()
        if campaign_id not in self._campaigns:
            refuse("not-found", 404, f"no campaign {campaign_id}")
        return self._campaigns[campaign_id]

    async def campaigns(self, campaign_ids: Iterable[UUID]) -> list[schema.Campaign]:
        self._reach()
        return [self._campaigns[one] for one in campaign_ids if one in self._campaigns]

    async def series(self, campaign_id: UUID) -> schema.Series:
        self._reach()
        return schema.Series(points=[])

    async def campaign_channels(self, campaign_id: UUID) -> schema.CampaignChannels:
        campaign = await self.campaign(campaign_id)
        planned = self.planned.get(campaign_id, [])
        if campaign.channel:
            rows = campaign.counts.accepted
            planned = [schema.CampaignChannel(channel=campaign.channel, rows=rows)]
        return schema.CampaignChannels(channels=planned)

    async def message_errors(self, campaign_id: UUID) -> schema.MessageErrors:
        self._reach()
        return schema.MessageErrors(errors=[])

    async def job_errors(
        self, campaign_id: UUID, cursor: str | None = None, limit: int = 100
    ) -> schema.JobErrors:
        return await self.upload_errors((await self.campaign(campaign_id)).upload_id, cursor, limit)

    async def recipients(
        self, campaign_id: UUID, cursor: str | None = None, limit: int = 50, state: str | None = None
    ) -> schema.Recipients:
        campaign = await self.campaign(campaign_id)
        numbers = sorted(self._numbers[campaign.upload_id])[:limit]
        return schema.Recipients(
            recipients=[
                schema.Recipient(
                    message_id=UUID(int=row),
                    msisdn=number,
                    state="SUBMITTED",
                    parts=1,
                    attempts=0,
                    error="",
                    sent_at=None,
                    done_at=None,
                )
                for row, number in enumerate(numbers)
            ],
            next=None,
        )

    async def campaign_texts(self, campaign_id: UUID) -> schema.RenderedTexts:
        campaign = await self.campaign(campaign_id)
        if campaign_id in self.rendered:
            return self.rendered[campaign_id]
        columns = self._uploads[campaign.upload_id].columns
        return core_fake_texts.texts_of(campaign, self._numbers[campaign.upload_id], columns)

    async def search_texts(
        self, campaign_id: UUID, question: schema.RenderedSearch
    ) -> schema.RenderedMatches:
        campaign = await self.campaign(campaign_id)
        columns = self._uploads[campaign.upload_id].columns
        return core_fake_texts.search(campaign, self._numbers[campaign.upload_id], columns, question)

    async def equation(self, campaign_id: UUID) -> schema.Equation:
        campaign = await self.campaign(campaign_id)
        upload = await self.upload(campaign.upload_id)
        return schema.Equation(
            campaign_id=campaign_id,
            rows=upload.rows,
            duplicates=upload.duplicates,
            job_errors=upload.job_errors,
            counted=campaign.counts,
            statistics=campaign.counts,
            balanced=True,
            first_difference="",
        )

    def _finish(self, decision_id: UUID, command: str, campaign_id: UUID) -> None:
        self._answers[decision_id] = self._campaigns[campaign_id]
        self.done.append(command)

    def _answer(self, decision_id: UUID) -> schema.Campaign:
        if self.lose_answers:
            raise CoreUnavailable("the answer was lost")
        return self._answers[decision_id]

    def _take(self, upload_id: UUID, size: int, lines: list[bytes]) -> None:
        numbers, upload = self._numbers[upload_id], self._uploads[upload_id]
        fields = [line.split(b",") for line in lines if line.strip()]
        if fields and not upload.lines and not fields[0][0].strip().isdigit():
            self._put(upload_id, has_header=True)
            upload = self._uploads[upload_id]
            del fields[0]
        good = [field for field in fields if field[0].strip().isdigit()]
        before = len(numbers)
        for field in good:
            name = field[1].decode() if len(field) > 1 else ""
            numbers.setdefault(field[0].strip().decode(), name)
        new = len(numbers) - before
        self._put(
            upload_id,
            byte_offset=upload.byte_offset + size,
            lines=upload.lines + sum(bool(line.strip()) for line in lines),
            rows=upload.rows + len(fields),
            accepted=upload.accepted + new,
            duplicates=upload.duplicates + len(good) - new,
            job_errors=upload.job_errors + len(fields) - len(good),
        )

    def _put(self, upload_id: UUID, **changes: object) -> None:
        self._uploads[upload_id] = msgspec.structs.replace(self._uploads[upload_id], **changes)
