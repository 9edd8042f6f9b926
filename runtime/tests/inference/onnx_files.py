"""Tiny ONNX models, written by hand: the field numbers are those of onnx.proto, so that no test needs its package."""

from __future__ import annotations

import struct
from collections.abc import Sequence

FLOAT, INT64, STRING, COMPLEX64 = 1, 7, 8, 14


def model(nodes: Sequence[bytes], inputs: Sequence[bytes], outputs: Sequence[bytes], initial: Sequence[bytes]) -> bytes:
    graph = b"".join(
        [
            *(_bytes(1, one) for one in nodes),
            _bytes(2, b"graph"),
            *(_bytes(5, one) for one in initial),
            *(_bytes(11, one) for one in inputs),
            *(_bytes(12, one) for one in outputs),
        ]
    )
    opsets = _bytes(8, _bytes(1, b"") + _int(2, 13)) + _bytes(8, _bytes(1, b"ai.onnx.ml") + _int(2, 2))
    return _int(1, 8) + opsets + _bytes(7, graph)


def node(kind: str, inputs: Sequence[str], output: str, *attributes: bytes, domain: str = "") -> bytes:
    found = b"".join(_bytes(1, name.encode()) for name in inputs) + _bytes(2, output.encode()) + _bytes(4, kind.encode())
    return found + b"".join(_bytes(5, one) for one in attributes) + _bytes(7, domain.encode())


def strings(name: str, *values: str) -> bytes:
    return _bytes(1, name.encode()) + b"".join(_bytes(9, value.encode()) for value in values) + _int(20, 8)


def tensor(name: str, shape: Sequence[int], values: Sequence[float]) -> bytes:
    raw = struct.pack(f"<{len(values)}f", *values)
    return b"".join(_int(1, size) for size in shape) + _int(2, FLOAT) + _bytes(8, name.encode()) + _bytes(9, raw)


def value(name: str, element: int, shape: Sequence[int | str]) -> bytes:
    return _bytes(1, name.encode()) + _bytes(2, _tensor_type(element, shape))


def maps(name: str) -> bytes:
    """A sequence of maps from strings to floats."""
    mapping = _int(1, STRING) + _bytes(2, _tensor_type(FLOAT, []))
    return _bytes(1, name.encode()) + _bytes(2, _bytes(4, _bytes(1, _bytes(5, mapping))))


def _tensor_type(element: int, shape: Sequence[int | str]) -> bytes:
    sizes = b"".join(_bytes(1, _int(1, one) if isinstance(one, int) else _bytes(2, one.encode())) for one in shape)
    return _bytes(1, _int(1, element) + _bytes(2, sizes))


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _int(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
