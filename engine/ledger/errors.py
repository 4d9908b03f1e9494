"""What the ledger refuses, typed. `problem` is the last word of the Core API's problem URN."""


class LedgerError(Exception):
    """Base of the ledger's refusals. `status` is the HTTP status, `retry` whether the same may work later."""

    problem = "ledger"
    status = 500
    retry = False


class NotFound(LedgerError):
    problem = "not-found"
    status = 404


class DecisionReused(LedgerError):
    """The decision id was used for another command or body: the caller's fault."""

    problem = "decision-reused"
    status = 409


class CampaignExists(LedgerError):
    problem = "campaign-exists"
    status = 409


class WrongState(LedgerError):
    """The command does not fit the state the campaign is in."""

    problem = "wrong-state"
    status = 409


class ManifestMismatch(LedgerError):
    """What was approved is not what is stored: nothing is dispatched."""

    problem = "manifest-mismatch"
    status = 409


class UploadNotReady(LedgerError):
    """The recipient file is not complete, was discarded, or has no valid recipient."""

    problem = "upload-not-ready"
    status = 409


class BadCursor(LedgerError):
    problem = "bad-cursor"
    status = 400


class SchemaTooNew(LedgerError):
    """The database was migrated by a newer release: start is refused."""

    problem = "schema-too-new"
    status = 503


class MigrationChanged(LedgerError):
    """A migration that was applied differs from the file of this release."""

    problem = "migration-changed"
    status = 503


class KeyFileUnsafe(LedgerError):
    """The key file is readable by others, or is no key."""

    problem = "key-file-unsafe"


class WrongKey(LedgerError):
    """A secret was encrypted with another key file."""

    problem = "wrong-key"
