"""The format of a file of documents → how it is read and written."""

from __future__ import annotations

from .document_lines import JsonLines, TextLines
from .documents import Documents, Format
from .parquet import Parquet


def format_of(documents: Documents) -> Format:
    """How a file is read and written.

    Raises:
        InputError: it is a Parquet file, and pyarrow is not installed.

    Example:
        documents = open_documents(Path("a.jsonl"), None)
        for block in format_of(documents).blocks(documents, 0):
            print(format_of(documents).parse(block.data, "text").texts)
    """
    if documents.format == "parquet":
        return Parquet(documents.path)
    return JsonLines() if documents.format == "jsonl" else TextLines()
