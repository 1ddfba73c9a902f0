"""JSON from anyone: how large and deep a document is, is known before anything is made of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

# A forecaster with a thousand epochs and named cells has a tenth of it
MOST_BYTES, MOST_VALUES = 2**24, 2**20
MOST_DEPTH = 64  # forms within forms have a dozen
MOST_NAME = 2**10  # characters; names add up to places, which errors tell
# An open end matches too: else each quote of a damaged text would be searched to its end. Possessive: no way back is
# remembered, which would take a hundred bytes for each of the text's
TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as int8, one level down or up


def write_document(content: Mapping[str, Any]) -> bytes:
    """Return a document that `read_document` reads.

    Raises
    ------
    ValueError
        If it is larger, deeper, or has longer names than is read.
    """
    # NaN is no JSON; indented, since people may look
    data = json.dumps(content, allow_nan=False, indent=1).encode()
    read_document(data)
    return data


def read_document(data: bytes) -> Any:
    """Return what a document holds.

    Raises
    ------
    ValueError
        If it is no JSON, with a number that is not finite, a name twice in an object, or beyond the limits of size.
    """
    _check_size(data)
    # Python's reader takes NaN, 1e999 and repeated names without a word
    return json.loads(data.decode(), parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_object)


def _check_size(data: bytes) -> None:
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has {len(data)} bytes, the most is {MOST_BYTES}")
    bare, end = bytearray(), 0
    # one by one: `sub` would keep all pieces
    for n, text in enumerate(TEXT.finditer(data)):
        if n > 2 * MOST_VALUES:  # each value may have a name
            raise ValueError(f"it has more than {2 * MOST_VALUES} texts")
        bare += data[end : text.start()]
        end = text.end()
    bare += data[end:]
    if (n_values := sum(map(bare.count, (b",", b"[", b"{"))) + 1) > MOST_VALUES:
        raise ValueError(f"it has {n_values} values, the most is {MOST_VALUES}")
    steps = np.frombuffer(bare.translate(STEPS, NO_BRACKETS), np.int8)
    depth = int(np.cumsum(steps, dtype=np.int32).max(initial=0))
    if depth > MOST_DEPTH:
        raise ValueError(f"it is {depth} levels deep, the most is {MOST_DEPTH}")


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"it holds {text}, which is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text} is not finite")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a name stands twice in one object")
    if any(len(name) > MOST_NAME for name in content):
        raise ValueError(f"a name has more than {MOST_NAME} characters")
    return content
