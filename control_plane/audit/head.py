"""A chain's ends, kept beside its entries."""

from uuid import UUID

from control_plane.documents.records import Collection, Record

INSTALLATION_CHAIN = UUID(int=0)  # of events without a workspace: logins, people
GENESIS = "0" * 64  # what the first entry has for the hash of the one before


class Head(Record, frozen=True, kw_only=True):
    """`id` is the chain's: the workspace's id, or INSTALLATION_CHAIN."""

    seq: int = 0  # the last entry known: there may be later ones, never fewer
    hash: str = GENESIS
    anchor_seq: int = 0  # entries up to here have expired
    anchor_hash: str = GENESIS
    unchained: int = 0  # events of a time before there were chains, when this one began


CHAINS = Collection("audit_chains", Head, kind="audit chain")
