"""Recipient files and what was wrong in them."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from engine.core_api.schema.base import Struct

__all__ = ["JobError", "JobErrors", "Upload", "UploadSpec", "UploadState"]

UploadState = Literal["open", "complete", "failed", "discarded"]


class UploadSpec(Struct, frozen=True, kw_only=True):
    upload_id: UUID
    workspace_id: UUID
    file_name: str
    size_bytes: int | None = None
    default_country: str = ""  # ISO 3166 alpha-2, for numbers without a country code


class Upload(Struct, frozen=True, kw_only=True):
    """A recipient file. `rows = accepted + duplicates + job_errors`; `byte_offset` is where to go on."""

    upload_id: UUID
    workspace_id: UUID
    file_name: str
    size_bytes: int | None
    state: UploadState
    reason: str
    byte_offset: int
    lines: int
    rows: int
    accepted: int
    duplicates: int
    job_errors: int
    columns: list[str]  # of the file, besides the number's
    encoding: str
    separator: str
    has_header: bool
    msisdn_column: str


class JobError(Struct, frozen=True, kw_only=True):
    line_no: int | None
    code: str
    detail: str
    happened_at: datetime


class JobErrors(Struct, frozen=True, kw_only=True):
    total: int
    counts: dict[str, int]
    errors: list[JobError]
    next: str | None
