"""One setting chooses the store; what it cannot be is said without showing it."""

import pytest

from control_plane.documents.choice import kind


@pytest.mark.parametrize(
    ("url", "store"),
    [
        ("postgresql://u:p@db/documents", "PostgreSQL"),
        ("postgres://db/documents", "PostgreSQL"),
        ("postgresql://", "PostgreSQL"),  # all of it from the environment, as libpq does
        ("mongodb://db:27017/documents", "MongoDB"),
        ("mongodb://u:p%2F@a:1,b:2,c:3/documents?replicaSet=r&tls=true", "MongoDB"),
        ("mongodb+srv://u:p@cluster.example/documents", "MongoDB"),
    ],
)
def test_the_scheme_names_the_store(url: str, store: str) -> None:
    assert kind(url) == store


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "neither postgresql:// nor mongodb://"),
        ("redis://u:s3cret@db/0", "neither postgresql:// nor mongodb://"),
        ("u:s3cret@db", "neither postgresql:// nor mongodb://"),
        ("mongodb:u:s3cret@db/documents", "neither postgresql:// nor mongodb://"),
        ("mongodb://u:s3cret@db:27017", "names no database"),
        ("mongodb://u:s3cret@db:27017/?replicaSet=r/x", "names no database"),
        ("mongodb://[u:s3cret@db", "names no database"),
    ],
)
def test_what_names_no_store_is_refused(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as told:
        kind(url)
    assert "s3cret" not in str(told.value)
