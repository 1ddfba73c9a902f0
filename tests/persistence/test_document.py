"""JSON documents: what is written is read, and what is too large is known before it is parsed."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridcast.persistence import document
from gridcast.persistence.document import read_document, write_document

TEXTS = st.text(max_size=20) | st.sampled_from(['"', "\\", '\\"[{', "]", ",,"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_read(value):
    assert read_document(write_document({"a": value})) == {"a": value}


def test_brackets_and_commas_in_texts_do_not_count():
    text = '[{,\\"' * 2**19
    assert read_document(json.dumps([text]).encode()) == [text]


def test_depth_and_number_are_counted_exactly(monkeypatch):
    assert read_document(b"[" * 64 + b"]" * 64)
    with pytest.raises(ValueError, match="65 levels deep, the most is 64"):
        read_document(b"[" * 65 + b"]" * 65)
    monkeypatch.setattr(document, "MOST_VALUES", 4)
    assert read_document(b"[1, 2, 3]") == [1, 2, 3]
    with pytest.raises(ValueError, match="5 values, the most is 4"):
        read_document(b"[1, 2, 3, 4]")


def test_brackets_without_end_take_little_memory():
    tracemalloc.start()
    for data in (b"[" * 2**20, b'{"' * 2**19, b'"' + b'\\"' * 2**19):
        with pytest.raises(ValueError, match=r"values|levels|Unterminated"):
            read_document(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 25 * 2**20
