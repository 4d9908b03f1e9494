"""What a user is in a workspace was the name of a role; it is an object with the role and flags."""

from typing import Any

COLLECTION = "users"


def migrate(document: dict[str, Any]) -> dict[str, Any]:
    memberships = {
        workspace_id: {"role": membership} if isinstance(membership, str) else membership
        for workspace_id, membership in document.get("memberships", {}).items()
    }
    return {**document, "memberships": memberships} if memberships else document
