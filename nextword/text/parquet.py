"""Reads and writes Parquet files of documents; see `documents.py`. Blocks travel in Arrow's stream
format, in which they can be appended to a file."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import InputError, shown
from .documents import Block, Columns, Documents, Records

_ROW = 1 << 10  # bytes that a row is taken to have
_BUFFER = 1 << 20  # bytes that are read at once from each column
_GROUP = 64 << 20  # bytes in memory of a group of rows that is written


def arrow() -> ModuleType:
    """The package pyarrow.

    Raises:
        InputError: it is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        raise InputError("Parquet files need a package: pip install 'nextword[data]'") from None
    module: ModuleType = pa
    return module


class Parquet:
    """Parquet files. A record is a row."""

    unit = "row"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pa = arrow()

    def check(self, documents: Documents, field: str) -> None:
        """Raise InputError: the file is damaged, has no such column, or the column is no text."""
        schema = self._open().schema_arrow
        if field not in schema.names:
            raise InputError(
                f"'{self._path}' has no field '{shown(field)}'; its fields: "
                f"{', '.join(shown(name, 40) for name in schema.names[:20])}"
            )
        if schema.names.count(field) > 1:
            raise InputError(f"'{self._path}' has several fields '{shown(field)}'; rename one")
        kind = schema.field(field).type
        types = self._pa.types
        if types.is_dictionary(kind):
            kind = kind.value_type
        if not (types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind)):
            raise InputError(f"the field '{shown(field)}' of '{self._path}' is {kind}, not text")

    def blocks(self, documents: Documents, start: int, size: int = 1 << 20) -> Iterator[Block]:
        """Cut groups of rows into blocks.

        Raises:
            InputError: the file is damaged.
        """
        file = self._open()
        groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        total = max(1, sum(groups))
        at = 0
        try:
            for group, rows in enumerate(groups):
                if at + rows <= start:
                    at += rows
                    continue
                for batch in file.iter_batches(max(1, size // _ROW), [group], use_threads=False):
                    at += len(batch)
                    if at > start:
                        read = documents.size * at // total
                        yield Block(self._streamed(self._pa.Table.from_batches([batch])), at, read)
        except (self._pa.ArrowException, OSError) as error:
            raise self._damaged(error) from None

    def parse(self, data: bytes, field: str) -> Records:
        pa = self._pa
        table = pa.ipc.open_stream(data).read_all()
        values = [_text(value) for value in table.column(field)]
        errors = [
            (index, f"has null, or no UTF-8, in the field '{shown(field)}' where a text belongs")
            for index, value in enumerate(values)
            if value is None
        ]
        sound = [index for index, value in enumerate(values) if value is not None]

        def write(chosen: Sequence[int], columns: Columns) -> bytes:
            if not chosen:
                return b""
            some = table.take(pa.array([sound[i] for i in chosen]))
            for name, column in columns.items():
                added = pa.array([column[i] for i in chosen])
                places = some.schema.get_all_field_indices(name)
                for place in reversed(places[1:]):
                    some = some.remove_column(place)
                some = (
                    some.set_column(places[0], name, added)
                    if places
                    else some.append_column(name, added)
                )
            return self._streamed(some)

        texts = [value for value in values if value is not None]
        return Records(texts, len(values), errors, write)

    def join(self, streams: Path, out: Path, columns: Sequence[str]) -> None:
        """Make a Parquet file from blocks that were appended to a file, compressed as the input.

        Args:
            columns: the names of the columns that were added, in case that there are no rows.
        """
        pa = self._pa
        metadata = self._open().metadata
        codec = "snappy"
        if metadata.num_row_groups and metadata.num_columns:
            codec = metadata.row_group(0).column(0).compression.lower()
            codec = "none" if codec == "uncompressed" else codec
        schema = self._schema(columns)
        with streams.open("rb") as file, out.open("wb") as target:
            writer, waiting, size = None, [], 0
            while file.peek(1):
                table = pa.ipc.open_stream(file).read_all()
                writer = writer or pa.parquet.ParquetWriter(target, table.schema, compression=codec)
                waiting.append(table)
                size += table.nbytes
                if size >= _GROUP:
                    _write_group(writer, pa.concat_tables(waiting))
                    waiting, size = [], 0
            writer = writer or pa.parquet.ParquetWriter(target, schema, compression=codec)
            if waiting:
                _write_group(writer, pa.concat_tables(waiting))
            writer.close()

    def _schema(self, columns: Sequence[str]) -> Any:
        """The schema of a file with the columns that are added."""
        schema = self._open().schema_arrow
        for name in columns:
            kind = self._pa.string() if name == "bucket" else self._pa.float64()
            field = self._pa.field(name, kind)
            places = schema.get_all_field_indices(name)
            for place in reversed(places[1:]):
                schema = schema.remove(place)
            schema = schema.set(places[0], field) if places else schema.append(field)
        return schema

    def _open(self) -> Any:
        try:
            return self._pa.parquet.ParquetFile(self._path, buffer_size=_BUFFER, pre_buffer=False)
        except (self._pa.ArrowException, OSError) as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> InputError:
        return InputError(f"'{self._path}' is a damaged Parquet file ({shown(error, 200)})")

    def _streamed(self, table: Any) -> bytes:
        out = io.BytesIO()
        with self._pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table)
        return out.getvalue()


def _write_group(writer: Any, table: Any) -> None:
    writer.write_table(table, row_group_size=max(1, len(table)))


def _text(value: Any) -> str | None:
    """The text of a value; None if it is null, or not UTF-8."""
    try:
        text: str | None = value.as_py()
    except UnicodeDecodeError:
        return None
    return text
