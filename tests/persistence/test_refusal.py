"""Whatever goes wrong in a file is a short ValueError that names it."""

import pytest

from gridcast.persistence.refusal import MOST_TEXT, refusing, shorten


@pytest.mark.parametrize(
    "error", [MemoryError(), StopIteration(), RecursionError("deep"), KeyError("a"), OSError(5, "io")]
)
def test_every_error_becomes_a_value_error(error):
    with pytest.raises(ValueError, match=r"path='a' is damaged .") as caught, refusing("a", "is damaged"):
        raise error
    assert caught.value.__cause__ is error


def test_an_error_that_names_the_path_stays_and_an_interruption_passes():
    with pytest.raises(ValueError, match=r"^path='a' is empty$"), refusing("a", "is damaged"):
        raise ValueError("path='a' is empty")
    with pytest.raises(KeyboardInterrupt), refusing("a", "is damaged"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("text", ["x" * 10**6, "path='a' " + "x" * 10**6])
def test_long_messages_are_cut_in_their_middle(text):
    with pytest.raises(ValueError, match=r"^path='a' .* \.\.\. xx") as caught, refusing("a", "is damaged"):
        raise ValueError(text)
    assert len(str(caught.value)) <= MOST_TEXT
    assert caught.value.__cause__ is None
    assert shorten("short") == "short"
