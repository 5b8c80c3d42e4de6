"""Requests by chance, with a fixed seed: any message of the contract, filled with what nobody should
send."""

import random
import uuid
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

TEXTS = [
    "", " ", "\0", "a\0b", "\x1b[31mred", "\x9b2J", "\u202e", "é日本😀", "x" * 5000, "%s%n", "*", "[a-",
    "'; DROP TABLE jobs; --", "../../etc/passwd", "00000000-0000-0000-0000-000000000000", "nan",
    "-1", "9" * 30, "1e999", "PENDING", "admin", "registrar", "default", "1970-01-01T00:00:00Z",
    '{"command": "true", "run_at": "2900-01-01T00:00:00Z"}', '{"command": 1}', "[" * 2000,
]  # fmt: skip
FLOATS = [0.0, -1.0, 1.5, 1e308, 5e-324, float("nan"), float("inf"), float("-inf")]

INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: [0, 1, -1, (1 << 31) - 1, -(1 << 31)],
    FieldDescriptor.CPPTYPE_INT64: [0, 1, -1, (1 << 63) - 1, -(1 << 63)],
    FieldDescriptor.CPPTYPE_UINT32: [0, 1, 1000, (1 << 32) - 1],
    FieldDescriptor.CPPTYPE_UINT64: [0, 1, 1000, (1 << 64) - 1],
    FieldDescriptor.CPPTYPE_ENUM: [0, 1, 2, 99],
}


class OddRequests:
    """`ids` are ids that exist, among those that do not."""

    def __init__(self, seed: int, ids: list[str]) -> None:
        self._chance = random.Random(seed)
        self._ids = ids

    def fill(self, message: Message, depth: int = 0) -> Message:
        for field in message.DESCRIPTOR.fields:
            if self._chance.random() < 0.6:
                self._set(message, field, depth)
        return message

    def _set(self, message: Message, field: Any, depth: int) -> None:
        if not field.is_repeated:
            if field.cpp_type != FieldDescriptor.CPPTYPE_MESSAGE:
                setattr(message, field.name, self._value(field))
            elif depth < 3:
                self.fill(getattr(message, field.name), depth + 1)
            return
        here, count = getattr(message, field.name), self._chance.choice([1, 2, 50])
        if field.message_type and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            for _ in range(count):
                here[self._text()] = self._value(value)
        elif field.message_type:
            for _ in range(count if depth < 2 else 1):
                made = GetMessageClass(field.message_type)()
                here.append(self.fill(made, depth + 2))
        else:
            here.extend(self._value(field) for _ in range(count))

    def _value(self, field: Any) -> Any:
        kind = field.cpp_type
        if kind == FieldDescriptor.CPPTYPE_STRING:
            text = self._text()
            return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
        if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
            return self._chance.choice(FLOATS)
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return self._chance.random() < 0.5
        return self._chance.choice(INTEGERS[kind])

    def _text(self) -> str:
        some_id = uuid.UUID(int=self._chance.getrandbits(128))
        return self._chance.choice([*TEXTS, *self._ids * 5, str(some_id)])
