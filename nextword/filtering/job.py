"""One filtering: blocks are read, several processes score them, and what they return is written."""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, Interrupted, shown
from ..evaluation.documents import SumsDocuments, document_signature
from ..parsing import read_json
from ..run import Run
from ..screen import TrainingBar
from ..tasks import task_of
from ..text.document_formats import format_of
from ..text.documents import BLOCK, Block, Documents, compress
from ..text.parquet import Parquet
from ..threads import parallel_imap, threads
from .inputs import compare, identity
from .output import HISTOGRAM, PROGRESS, UNFINISHED, Output, summary_of, written
from .pool import Pool, started
from .progress import Progress, Shown
from .report import FilterReport, draw, report
from .settings import Settings
from .thresholds import learn
from .work import Done, Work, output_name

SAVE_EVERY = 2.0  # seconds between two notes of how far the work is
_SLOW = 16  # a model that needs torch gets blocks that are so many times smaller
_SQUEEZED = 4  # bytes of text for a byte of a compressed file, about
_PROBES = 200  # tokens by which a model is recognised

Call = Callable[[tuple[int, bytes]], Done]


class Job:
    """One call of `filter`, whose arguments have been checked."""

    def __init__(
        self,
        run: Run,
        settings: Settings,
        inputs: list[Documents],
        folder: Path,
        skip: bool,
        workers: int | None,
        quiet: bool,
    ) -> None:
        self.run, self.settings, self.inputs, self.folder = run, settings, inputs, folder
        self.skip, self.quiet = skip, quiet
        fast = isinstance(run.model, SumsDocuments)
        self.block = BLOCK if fast else BLOCK // _SLOW
        self.asked = workers
        self.workers = 1  # torch has threads of its own
        if fast:
            self.workers = min(workers or threads(), _blocks_in(inputs, self.block))
        self.begun: dict[str, Any] = {  # what must be the same when work goes on
            "model": _fingerprint(run),
            "settings": settings.as_dict(),
            "inputs": [identity(documents) for documents in inputs],
        }
        self.old: list[str] = []  # files of an earlier filter, to be replaced
        self.streams: dict[int, Iterator[Block]] = {}  # whose first blocks have been looked at
        self.thresholds: tuple[float, ...] = ()
        self.learnt_from: dict[str, Any] | None = None
        self.progress = Progress()
        self.saved = 0  # records of which the output is on the disk

    def start(self) -> FilterReport:
        """Begin; what an earlier filter has written stays until all is done."""
        with started(self.workers) as pool:
            if self.settings.buckets:
                learnt = learn(Work(self.run, self.settings), self.inputs, self.block)
                self.thresholds, self.learnt_from, self.streams = learnt
            self.old = written(self.folder)
            shutil.rmtree(self.folder / UNFINISHED, ignore_errors=True)
            return self._go_on({}, pool)

    def resume(self) -> FilterReport:
        """Go on, or return the summary if all is done.

        Raises:
            InputError: the model, the settings or the files are others than at the beginning.
        """
        path = self.folder / UNFINISHED / PROGRESS
        if not path.is_file():
            summary = summary_of(self.folder)
            if summary is None:
                return self.start()
            compare(summary["begun"], self.begun)
            shutil.rmtree(path.parent, ignore_errors=True)  # killed while that was removed
            return FilterReport(**summary)
        try:
            saved = read_json(path)
            self.progress = Progress.restore(saved)
            self.thresholds, self.learnt_from = tuple(saved["thresholds"]), saved["learnt_from"]
            self.old = [str(name) for name in saved["old"]]
            sizes = {str(name): int(size) for name, size in saved["sizes"].items()}
            compare(saved["begun"], self.begun)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(
                f"'{path}' is damaged ({shown(error)}); start again: --overwrite"
            ) from None
        with started(self.workers) as pool:
            return self._go_on(sizes, pool)

    # ------------------------------------------------------------------------ the work itself

    def _go_on(self, sizes: dict[str, int], pool: Pool) -> FilterReport:
        output = Output(self.folder, sizes, self.progress.publishing)
        try:
            self._save(output)
            if not self.progress.publishing:
                self._read_all(output, pool)
            return self._publish(output)
        except KeyboardInterrupt:
            if not self.saved or self.streams:
                raise
            raise Interrupted("stopped and saved; add --resume to the command to go on") from None
        finally:
            output.close()
            if (self.folder / UNFINISHED).is_dir() and (not self.saved or self._is_stream()):
                shutil.rmtree(self.folder / UNFINISHED)

    def _is_stream(self) -> bool:
        return any(documents.stream for documents in self.inputs)

    def _save(self, output: Output) -> None:
        output.save(
            self.progress.as_dict()
            | {"begun": self.begun, "old": self.old}
            | {"thresholds": self.thresholds, "learnt_from": self.learnt_from}
        )
        self.saved = sum(counts["records"] for counts in self.progress.counts)

    def _read_all(self, output: Output, pool: Pool) -> None:
        progress, call = self.progress, self._call(pool)
        with TrainingBar(self.quiet) as bar:
            show = Shown(bar, self.inputs, progress)
            while progress.file < len(self.inputs):
                self._read(self.inputs[progress.file], output, call, show)
                progress.file, progress.position, progress.read = progress.file + 1, 0, 0
        self._check_found()
        progress.publishing = True
        self._save(output)

    def _call(self, pool: Pool) -> Call:
        """What works on a block: in one of the processes, or here if they cannot have the model and
        nobody asked for several."""
        files = [replace(documents, stream=None) for documents in self.inputs]

        def made(threads: int | None) -> Call:
            work = Work(self.run, self.settings, self.thresholds, threads)
            return partial(_work_on, work, files)

        if self.workers > 1:
            try:
                return pool.load(made(1))
            except InputError:
                if self.asked is not None:
                    raise
                self.workers = 1
        return made(None)

    def _read(self, documents: Documents, output: Output, call: Call, show: Shown) -> None:
        """Work on one file, or on the rest of it."""
        progress = self.progress
        is_parquet = documents.format == "parquet"
        if progress.file == len(progress.counts):
            progress.counts.append({"records": 0, "documents": 0, "skipped": 0})
        with closing(self._results(documents, call)) as results:
            for block, done in results:
                if done.errors and not self.skip:
                    raise self._broken(documents, *done.errors[0])
                for stream, data in done.written.items():
                    output.append(str(output_name(documents, stream)), data, is_parquet)
                progress.add(documents, block, done)
                show(documents)
                if time.monotonic() - output.saved >= SAVE_EVERY:
                    self._save(output)
        for stream in self.settings.streams():
            name = str(output_name(documents, stream))
            if is_parquet:
                output.append(name, b"", True)
                join = Parquet(documents.path).join
                output.complete(name, partial(join, columns=self.settings.columns()))
            elif not output.sizes.get(name):
                output.append(name, compress(b"", documents.compression), False)
        output.close()

    def _results(self, documents: Documents, call: Call) -> Generator[tuple[Block, Done]]:
        """Blocks of a file, in order, and what has become of them."""
        number, start = self.progress.file, self.progress.position
        blocks = self.streams.get(number) or format_of(documents).blocks(
            documents, start, self.block
        )

        def work(block: Block) -> tuple[Block, Done]:
            return block, call((number, block.data))

        yield from (
            parallel_imap(work, blocks, self.workers) if self.workers > 1 else map(work, blocks)
        )

    def _broken(self, documents: Documents, number: int, wrong: str) -> InputError:
        at = self.progress.counts[self.progress.file]["records"] + number + 1
        unit = format_of(documents).unit
        again = " --resume" if self.saved else ""
        return InputError(
            f"{unit} {at:,} of '{documents.path}' {wrong}; to leave such records out:{again} "
            "--on-error skip"
        )

    def _check_found(self) -> None:
        """Raise InputError if there are records, but no documents: the field is a wrong one."""
        if self.progress.errors and not self.progress.statistics.documents:
            first = self.progress.errors[0]
            raise InputError(
                f"no record is a document; record {first['number']:,} of '{first['path']}' "
                f"{first['wrong']}"
            )

    # ------------------------------------------------------------------------ the end

    def _publish(self, output: Output) -> FilterReport:
        settings, progress = self.settings, self.progress
        names = [
            str(output_name(documents, stream))
            for documents in self.inputs
            for stream in settings.streams()
        ]
        inputs = [
            {"path": str(documents.path), "format": documents.format}
            | {"compression": documents.compression}
            | counts
            for documents, counts in zip(self.inputs, progress.counts, strict=True)
        ]
        result = report(
            settings,
            progress.statistics,
            self.thresholds,
            run=self.run.name,
            signature=document_signature(self.run),
            inputs=inputs,
            files=names,
            skipped=sum(counts["skipped"] for counts in progress.counts),
            errors=progress.errors,
            learnt_from=self.learnt_from,
            begun=self.begun,
        )
        bounds = [value for value in (settings.minimum, settings.maximum) if value is not None]
        cuts = [*self.thresholds, *bounds]
        draw(output.work / HISTOGRAM, settings, progress.statistics, cuts)
        output.publish([*names, HISTOGRAM], self.old, result.as_json())
        return result


def _blocks_in(inputs: list[Documents], size: int) -> int:
    """About how many blocks of a size there are: more processes would have nothing to do."""
    if any(documents.stream for documents in inputs):
        return sys.maxsize
    blocks = 0
    for documents in inputs:
        plain = documents.compression is None and documents.format != "parquet"
        blocks += -(-documents.size * (1 if plain else _SQUEEZED) // size)
    return max(1, blocks)


def _work_on(work: Work, inputs: list[Documents], item: tuple[int, bytes]) -> Done:
    """Work on a block of the file of a number."""
    number, data = item
    return work(inputs[number], data)


def _fingerprint(run: Run) -> str:
    """Tell models apart by what they say about some of their own words."""
    size = run.tokenizer.vocab_size
    ids = np.unique(np.linspace(min(2, size - 1), size - 1, _PROBES).astype(int)).tolist()
    texts = [run.tokenizer.decode(ids[at : at + 10]) for at in range(0, len(ids), 10)]
    scores = task_of(run.config).score_documents(run, texts, 1)
    said = [f"{one.log_prob:.4g}" for one in scores]
    parts = [document_signature(run), str(run.parameters), *said]
    return hashlib.sha256(" ".join(parts).encode("utf-8", "replace")).hexdigest()[:16]
