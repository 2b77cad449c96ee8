"""BINARY values in CSV notation: base64 decoded a whole column at a time."""

from __future__ import annotations

import base64

import pyarrow as pa
import pyarrow.compute as pc

BASE64 = r"^[A-Za-z0-9+/]*$"
PAD_TO_FOUR = pa.array(["", "AAA", "AA", "A"])
"""What pads a value of n characters to a multiple of four, by n mod 4."""


def decode_base64(texts: pa.Array) -> tuple[pa.Array, int]:
    """The bytes that base64 texts stand for; padding may be missing.

    A text that is not base64 stands for its own UTF-8 bytes: Fivetran's tester sends such values.

    Args:
        texts: an array of strings.

    Returns:
        An array of binary values, and how many of them were not base64.
    """
    bare = pc.ascii_rtrim(texts, "=")
    padding = pc.subtract(pc.binary_length(texts), pc.binary_length(bare))
    remainder = pc.bit_wise_and(pc.binary_length(bare), 3)
    valid = pc.and_(
        pc.match_substring_regex(bare, BASE64),
        pc.and_(pc.not_equal(remainder, 1), pc.less_equal(padding, 2)),
    )
    others = pc.sum(pc.invert(valid)).as_py() or 0
    decoded = _decode_valid(pc.if_else(valid, bare, None))
    if not others:
        return decoded, 0
    return pc.if_else(valid, decoded, pc.cast(texts, pa.binary())), others


def _decode_valid(bare: pa.Array) -> pa.Array:
    """Decode values without padding; none may have a length of 1 mod 4.

    Each value is completed to whole groups of four characters, so that one call decodes all of them
    end to end; then the bytes that the completion added are cut from each.
    """
    missing = pc.is_null(bare)
    bare = pc.fill_null(bare, "")
    remainder = pc.bit_wise_and(pc.binary_length(bare), 3)
    padded = pc.binary_join_element_wise(bare, PAD_TO_FOUR.take(remainder), "")
    groups = pc.divide(pc.binary_length(padded), 4)
    data = base64.b64decode(pc.binary_join(_as_one_list(padded), "")[0].as_buffer())
    ends = pc.cast(pc.cumulative_sum(pc.multiply(groups, 3)), pa.int32())
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    decoded = pa.BinaryArray.from_buffers(
        pa.binary(), len(bare), [None, offsets.buffers()[1], pa.py_buffer(data)]
    )
    cut = pc.if_else(
        pc.equal(remainder, 2),
        pc.binary_slice(decoded, 0, -2),
        pc.if_else(pc.equal(remainder, 3), pc.binary_slice(decoded, 0, -1), decoded),
    )
    return pc.if_else(missing, None, cut)


def _as_one_list(values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
