"""Two texts shown as one: nothing of either is lost."""

from hypothesis import given
from hypothesis import strategies as st

from control_plane.moderation.differences import Piece, text_difference

WORDS = st.lists(st.sampled_from(["Hello", "{{name}}", " ", ",", "order", "\n", "é", "😀"]), max_size=30).map(
    "".join
)


@given(WORDS | st.text(max_size=80), WORDS | st.text(max_size=80))
def test_each_of_the_two_can_be_read_out_of_it(before: str, after: str) -> None:
    pieces = text_difference(before, after)
    assert "".join(piece.text for piece in pieces if piece.kind != "new") == before
    assert "".join(piece.text for piece in pieces if piece.kind != "gone") == after
    assert all(piece.text for piece in pieces)


def test_a_changed_word_is_marked_and_a_variable_is_one_word() -> None:
    assert text_difference("Hello {{name}}, come", "Hello {{first}}, come") == [
        Piece("same", "Hello "),
        Piece("gone", "{{name}}"),
        Piece("new", "{{first}}"),
        Piece("same", ", come"),
    ]


def test_long_texts_do_not_take_for_ever() -> None:
    assert [piece.kind for piece in text_difference("a " * 5_000, "b " * 5_000)] == ["gone", "new"]
