"""Deficit round robin over workspaces: who may claim next, and how much it has had. Pure."""

from collections.abc import Collection, Mapping
from uuid import UUID

_CREDIT_ROWS = 64.0  # that a weight of 1 gets a turn; a claim may be larger, and is paid off in later turns
_NEW_ROWS = 16.0  # the same of one that has just come: it goes first with these, as new flows do in RFC 8290
_MOST_ROUNDS = 4.0  # of credit that one may save up while its slices are busy


class Turns:
    """Workspaces in turn. One is served while it has credit; `charge` takes it away by rows.

    A workspace that has nothing left to claim keeps no credit for later, and no debt: it comes back as a
    new one. A new one does not wait for the others' turns: a single message passes any number of full
    tenants.
    """

    def __init__(self) -> None:
        self._credit: dict[UUID, float] = {}  # in the order of their turns
        self._weights = 0.0  # of all that have rows to claim

    def next(self, weights: Mapping[UUID, float], able: Collection[UUID]) -> UUID:
        """Which of the `able` workspaces claims now. `weights`: of all that have rows to claim, also where
        those are busy just now."""
        for gone in self._credit.keys() - weights.keys():
            del self._credit[gone]
        self._weights = sum(weights.values())
        new = {each: weight * _NEW_ROWS for each, weight in weights.items() if each not in self._credit}
        if new:
            self._credit = new | self._credit
        while all(self._credit[workspace] <= 0 for workspace in able):  # again where rounding left one at 0
            self._refill(weights, able)
        return next(
            workspace for workspace, credit in self._credit.items() if credit > 0 and workspace in able
        )

    def rows(self, workspace: UUID, weight: float, rows: int) -> int:
        """Of `rows` those to claim at once: its part of them by weight where others wait, a turn's at least,
        and what it saved up, or it never gets that where it has one slice."""
        if len(self._credit) < 2:
            return rows
        part = max(_CREDIT_ROWS * weight, rows * weight / max(self._weights, weight))
        part = max(part, self._credit.get(workspace, 0.0))
        return max(1, min(rows, int(part)))

    def charge(self, workspace: UUID, rows: int) -> None:
        """It claimed `rows`; with its credit used up its turn ends, and it goes to the end of the round."""
        if workspace not in self._credit:
            return
        self._credit[workspace] -= rows
        if self._credit[workspace] <= 0:
            self._credit[workspace] = self._credit.pop(workspace)

    def _refill(self, weights: Mapping[UUID, float], able: Collection[UUID]) -> None:
        """As many rounds at once as it takes until one has credit again."""
        rounds = 1 + int(
            min(-self._credit[workspace] / (weights[workspace] * _CREDIT_ROWS) for workspace in able)
        )
        for workspace, weight in weights.items():
            credit = rounds * weight * _CREDIT_ROWS
            self._credit[workspace] = min(self._credit[workspace] + credit, _MOST_ROUNDS * credit)
