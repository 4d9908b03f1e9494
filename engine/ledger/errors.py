"""What the ledger refuses, typed. `problem` is the last word of the Core API's problem URN."""


class LedgerError(Exception):
    """Base of the ledger's refusals. `status` is the HTTP status, `retry` whether the same may work later."""

    problem = "ledger"
    status = 500
    retry = False
    field = ""  # of the request, where one is wrong


class NotFound(LedgerError):
    problem = "not-found"
    status = 404


class Unfit(LedgerError):
    """What is asked contradicts itself."""

    problem = "invalid"
    status = 422


class PasswordNeeded(Unfit):
    """A stored password would go where it was not given for."""

    field = "password"


class Changed(LedgerError):
    """Somebody changed it since it was read: look again, then decide."""

    problem = "changed"
    status = 409


class Duplicate(LedgerError):
    """The name is taken."""

    problem = "duplicate"
    status = 409


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


class BadErrorCode(LedgerError):
    """A code or class that no channel's error map can hold; the message names the line of a table."""

    problem = "bad-error-code"
    status = 422


class DoubtGone(LedgerError):
    """The group of doubts has nothing left to decide, or never was."""

    problem = "doubt-gone"
    status = 404


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


class SchemaMismatch(LedgerError):
    """The database has another schema than this release works with."""

    problem = "schema-mismatch"
    status = 503


class NumberInUse(LedgerError):
    """A campaign or test message that may still send, or a file that waits for one, holds the number."""

    problem = "number-in-use"
    status = 409
    retry = True


class VerifyBusy(LedgerError):
    """Another verification of the same ledger is running."""

    problem = "verify-busy"
    status = 409
    retry = True
