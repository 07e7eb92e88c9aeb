"""The run directory: written whole or not at all, and read with words for whatever is wrong."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

import nextword
from nextword import files, run_folder
from nextword import run as runs
from nextword.config import configure
from nextword.device import pick_device
from nextword.errors import InputError
from nextword.models.windowed import Windowed
from nextword.text.tokenizer import train_tokenizer

TENSORS = {
    "weights": torch.arange(6.0).reshape(2, 3),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "step": torch.tensor(7),
    "bytes": torch.tensor([0, 255], dtype=torch.uint8),
    "empty": torch.zeros(0, 4),
}


def names(folder: Path) -> list[str]:
    """Everything in a folder, hidden files too, except the lock."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


# ---------------------------------------------------------------- one file


def test_write_replaces_the_file(tmp_path: Path) -> None:
    """New or old, the file holds what was saved, and nothing lies beside it."""
    for text in ("first", "zweite 中"):
        files.write_text(tmp_path / "file", text)
        assert (tmp_path / "file").read_text(encoding="utf-8") == text
        assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError(errno.ENOSPC, "full")])
@pytest.mark.parametrize("there", [True, False])
def test_write_that_fails_changes_nothing(there: bool, error: Any, tmp_path: Path) -> None:
    """Whatever happens half-way: the old file, or none, and no temporary one."""
    path = tmp_path / "file"
    if there:
        path.write_text("old")

    def save(temporary: Path) -> None:
        temporary.write_text("half of the n")
        assert not there or path.read_text() == "old"
        raise error

    with pytest.raises(error if isinstance(error, type) else OSError):
        files.write(path, save)
    assert names(tmp_path) == (["file"] if there else [])
    assert not there or path.read_text() == "old"


def test_write_that_cannot_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saved but not renamed is not saved; what was written goes."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        files.write_text(tmp_path / "file", "new")
    assert names(tmp_path) == []


def test_readers_never_see_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the rename, the old file is there, whole; the new one is on the disk before."""
    path = tmp_path / "file"
    path.write_text("old")
    synced: list[int] = []
    seen: list[tuple[str, int]] = []
    replace, sync = os.replace, os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (sync(file), synced.append(file)))
    monkeypatch.setattr(
        os, "replace", lambda a, b: (seen.append((path.read_text(), len(synced))), replace(a, b))
    )
    files.write_text(path, "new")
    assert seen == [("old", 1)]
    assert path.read_text() == "new"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_full_disk_says_so(tmp_path: Path) -> None:
    """ENOSPC comes through as such, with the name of the file that could not be written."""
    path = tmp_path / "model.safetensors"
    path.write_text("old")

    def onto_the_full_disk(temporary: Path) -> None:
        temporary.symlink_to("/dev/full")
        temporary.write_text("much")

    with pytest.raises(OSError, match="No space") as caught:
        files.write(path, onto_the_full_disk)
    assert caught.value.errno == errno.ENOSPC
    assert (names(tmp_path), path.read_text()) == ([path.name], "old")


def test_full_disk_while_writing_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """safetensors' own kind of error becomes an OSError with its number and the file's name."""
    path = tmp_path / "model.safetensors"
    files.write_tensors(path, TENSORS, {})
    before = path.read_bytes()
    for message, number in (
        ("I/O error: No space left on device (os error 28)", errno.ENOSPC),
        ("I/O error: Input/output error (os error 5)", errno.EIO),
    ):

        def save_file(tensors: Any, name: Path, metadata: Any, message: str = message) -> None:
            name.write_bytes(b"half")
            raise SafetensorError(message)

        monkeypatch.setattr("safetensors.torch.save_file", save_file)
        with pytest.raises(OSError, match="os error") as caught:
            files.write_tensors(path, {}, {})
        assert (caught.value.errno, caught.value.filename) == (number, str(path))
        assert names(tmp_path) == [path.name]
        assert path.read_bytes() == before


def test_a_write_that_the_system_refuses(tmp_path: Path) -> None:
    """A real error in the middle of the tensors is an OSError, and leaves the old file alone."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "model.safetensors"
    files.write_tensors(path, TENSORS, {"a": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            files.write_tensors(path, {"a": torch.zeros(5000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(path)
    assert names(tmp_path) == [path.name]
    assert files.read_tensors(path)[1] == {"a": 1}


# ---------------------------------------------------------------- tensors


def test_tensors_round_trip(tmp_path: Path) -> None:
    """Values, types, shapes and the JSON beside them come back as they were."""
    meta = {"name": "中文", "list": [1, 2.5, None, True], "inside": {"x": float("inf")}}
    files.write_tensors(tmp_path / "t", TENSORS, meta)
    tensors, again = files.read_tensors(tmp_path / "t")
    assert again == meta
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_tensors_of_any_layout(tmp_path: Path) -> None:
    """Transposed, sliced and trained tensors are written by value; no tensors at all as well."""
    base = torch.randn(4, 3, requires_grad=True)
    made = {"t": base.T, "row": base[1], "other row": base[2], "step": base[::2], "e": base[:, :1]}
    files.write_tensors(tmp_path / "t", {**made, "wide": base[:1, :1].expand(2, 5)}, {})
    tensors, meta = files.read_tensors(tmp_path / "t")
    assert meta == {}
    assert all(torch.equal(tensors[name], made[name]) for name in made)
    assert torch.equal(tensors["wide"], base[0, 0].expand(2, 5))
    files.write_tensors(tmp_path / "t", {}, {"a": 1})
    assert files.read_tensors(tmp_path / "t") == ({}, {"a": 1})


@pytest.mark.parametrize("kept", [0, 4, 8, 30, 0.5, 0.99])
def test_cut_off_tensors(kept: float, tmp_path: Path) -> None:
    """A file that ends too soon is damaged, wherever it ends."""
    path = tmp_path / "model.safetensors"
    files.write_tensors(path, TENSORS, {"a": 1})
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(InputError, match=r"model\.safetensors' is damaged"):
        files.read_tensors(path)


@pytest.mark.parametrize("raw", [b"not tensors at all", b"\xff" * 100, b"\0" * 100])
def test_damaged_tensors(raw: bytes, tmp_path: Path) -> None:
    """Something else under the name is damaged, too."""
    (tmp_path / "t").write_bytes(raw)
    with pytest.raises(InputError, match="is damaged"):
        files.read_tensors(tmp_path / "t")


def test_missing_tensors(tmp_path: Path) -> None:
    """A missing file means an incomplete run; a directory is no file either."""
    for path in (tmp_path / "model.safetensors", tmp_path):
        with pytest.raises(InputError, match=r"no file .* the run is incomplete"):
            files.read_tensors(path)


# ---------------------------------------------------------------- a run that takes another's place


@contextmanager
def no_change(out: Path) -> Iterator[None]:
    """Whatever happens inside, `out` and the folder around it are as before."""

    def picture() -> list[tuple[str, bytes]]:
        everything = sorted(path for path in out.parent.rglob("*") if path.name != ".lock")
        return [(str(p), p.read_bytes() if p.is_file() else b"/") for p in everything]

    before = picture()
    yield
    assert picture() == before


def run_at(out: Path, text: str = "old") -> Path:
    """Something that counts as a run."""
    out.mkdir()
    (out / runs.CONFIG).write_text(settings(text))
    (out / runs.DATA).mkdir()
    return out


def settings(text: str) -> str:
    """The settings of a run, in which a text tells it from others."""
    return json.dumps({"recipe": text, "model": {"name": "none"}})


def test_replacing_makes_a_new_run(tmp_path: Path) -> None:
    """What is filled in appears under the name at the end, parents and all, and not before."""
    out = tmp_path / "runs" / "one"
    with run_folder.replacing(out, overwrite=False) as fresh:
        assert fresh.stat().st_dev == out.parent.stat().st_dev and list(fresh.iterdir()) == []
        (fresh / runs.CONFIG).write_text(settings("new"))
        assert not out.exists()
    assert names(out.parent) == ["one"]
    assert (out / runs.CONFIG).read_text() == settings("new")


def test_replacing_swaps_at_the_end(tmp_path: Path) -> None:
    """The old run is there until the new one is ready, and then is gone altogether."""
    out = run_at(tmp_path / "one")
    with run_folder.replacing(out, overwrite=True) as fresh:
        (fresh / runs.CONFIG).write_text(settings("new"))
        assert (out / runs.CONFIG).read_text() == settings("old")
    assert names(tmp_path) == ["one"]
    assert (names(out), (out / runs.CONFIG).read_text()) == ([runs.CONFIG], settings("new"))


def test_replacing_fills_an_empty_directory(tmp_path: Path) -> None:
    """An empty directory is as good as none, and needs no --overwrite."""
    (tmp_path / "one").mkdir()
    with run_folder.replacing(tmp_path / "one", overwrite=False) as fresh:
        (fresh / runs.CONFIG).write_text(settings("new"))
    assert names(tmp_path) == ["one"] and names(tmp_path / "one") == [runs.CONFIG]


@pytest.mark.parametrize("error", [InputError, OSError, KeyboardInterrupt])
@pytest.mark.parametrize("there", [True, False])
def test_replacing_that_fails_leaves_the_old_run(
    there: bool, error: type[BaseException], tmp_path: Path
) -> None:
    """After an error or Ctrl-C everything is as it was, without left-overs."""
    out = tmp_path / "one"
    if there:
        run_at(out)

    def fail() -> None:
        with run_folder.replacing(out, overwrite=True) as fresh:
            (fresh / "half").write_text("x")
            raise error

    with no_change(out), pytest.raises(error):
        fail()


def test_replacing_when_somebody_was_faster(tmp_path: Path) -> None:
    """A run that appeared meanwhile is not written over."""
    out = tmp_path / "one"

    def be_slow() -> None:
        with run_folder.replacing(out, overwrite=False) as fresh:
            (fresh / runs.CONFIG).write_text("mine")
            run_at(out, "theirs")

    with pytest.raises(InputError, match="exists"):
        be_slow()
    assert names(tmp_path) == ["one"]
    assert (out / runs.CONFIG).read_text() == settings("theirs")


def test_a_run_that_holds_something_of_the_user_stays(tmp_path: Path) -> None:
    """Even with --overwrite: only what a training wrote is replaced."""
    out = run_at(tmp_path / "one")
    (out / "notes.txt").write_text("mine")
    with (
        no_change(out),
        pytest.raises(InputError, match=r"'notes.txt', which is not part of a run"),
        run_folder.replacing(out, overwrite=True),
    ):
        pass


def test_replacing_while_somebody_trains_there(tmp_path: Path) -> None:
    """A training that began after the first check keeps its run."""
    out = run_at(tmp_path / "one")

    def be_slow() -> None:
        with run_folder.replacing(out, overwrite=True) as fresh:
            (fresh / runs.CONFIG).write_text("mine")
            other.enter_context(held_elsewhere(out))

    with ExitStack() as other, no_change(out), pytest.raises(InputError, match="is training"):
        be_slow()


def test_targets_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, somebody's other directory, an existing run, a directory one is in: never lost."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("x")
    run_at(tmp_path / "one")
    (tmp_path / "empty").mkdir()
    for name, overwrite, words in (
        ("file", True, "is a file"),
        ("photos", True, "not a run"),
        ("one", False, "add --overwrite to replace it"),
    ):
        out = tmp_path / name
        with no_change(out), pytest.raises(InputError, match=words):
            run_folder.check_target(out, overwrite)
        with (
            no_change(out),
            pytest.raises(InputError, match=words),
            run_folder.replacing(out, overwrite),
        ):
            pass
    for name in ("one", "empty"):
        monkeypatch.chdir(tmp_path / name)
        for out in (Path(), Path(".."), Path("/")):
            with pytest.raises(InputError, match="name a directory"):
                run_folder.check_target(out, overwrite=True)
    run_folder.check_target(tmp_path / "one", overwrite=True)
    run_folder.check_target(tmp_path / "new", overwrite=False)


# ---------------------------------------------------------------- locks

_HOLD = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder's lock."""
    process = subprocess.Popen(
        [sys.executable, "-IS", "-c", _HOLD, str(folder / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_locked_refuses_a_second_holder(tmp_path: Path) -> None:
    """While another process trains there, nobody else does; a run is not overwritten either."""
    out = run_at(tmp_path / "one")
    with held_elsewhere(out):
        with pytest.raises(InputError, match="another process is training"), files.locked(out):
            pass
        with no_change(out), pytest.raises(InputError, match="another process is training"):
            run_folder.check_target(out, overwrite=True)
    with (
        files.locked(out),
        pytest.raises(InputError, match="another process is training"),
        files.locked(out),
    ):
        pass


def test_a_lock_that_is_no_file(tmp_path: Path) -> None:
    """A pipe does not make it wait; a directory is named."""
    os.mkfifo(tmp_path / ".lock")
    with files.locked(tmp_path):
        pass
    (tmp_path / "run" / ".lock").mkdir(parents=True)
    with pytest.raises(InputError, match=r"lock' cannot be opened"), files.locked(tmp_path / "run"):
        pass


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    """A killed training leaves no lock behind."""
    with held_elsewhere(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with files.locked(tmp_path):
            pass


def test_locked_holds_against_other_processes(tmp_path: Path) -> None:
    """Another process that asks for the lock is refused as long as it is held, errors or not."""

    def refused() -> bool:
        ask = subprocess.run(
            [sys.executable, "-IS", "-c", _HOLD, str(tmp_path / ".lock")],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        return ask.returncode != 0 and b"BlockingIOError" in ask.stderr

    def interrupted() -> None:
        with files.locked(tmp_path):
            assert refused()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not refused()


# ---------------------------------------------------------------- a whole run


def make_run(folder: Path, recipe: str = "lstm", **settings: Any) -> Path:
    """A run directory of a small untrained model."""
    overrides = {"text.tokenizer": "char", "model.embedding": 4, "model.hidden": 6} | settings
    config = configure(recipe, overrides)
    tokenizer = train_tokenizer(["天地 it was\n"], config.text)
    torch.manual_seed(0)
    model = config.model.build(tokenizer.vocab_size)
    folder.mkdir()
    files.write_text(folder / runs.CONFIG, json.dumps(config.dump()))
    files.write_text(folder / runs.TOKENIZER, tokenizer.to_json())
    runs.write_weights(folder, model, {})
    return folder


def test_load(tmp_path: Path) -> None:
    """What was written is what is opened: settings, tokenizer, weights, ready to be used."""
    folder = make_run(tmp_path / "one")
    run = runs.load(folder)
    assert run.name == "one"
    assert (run.where, run.device) == ("cpu", torch.device("cpu"))
    assert run.config == configure(
        "lstm", {"text.tokenizer": "char", "model.embedding": 4, "model.hidden": 6}
    )
    model: Any = run.model
    assert not model.training
    assert model.vocab_size == run.tokenizer.vocab_size
    weights, _ = files.read_tensors(folder / runs.WEIGHTS)
    assert model.state_dict().keys() == weights.keys()
    assert all(torch.equal(model.state_dict()[name], weights[name]) for name in weights)
    assert run.parameters == sum(weights[name].numel() for name in weights) > 0
    assert runs.load(str(folder)).tokenizer.fingerprint == run.tokenizer.fingerprint


def test_load_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.` is a run like any other."""
    monkeypatch.chdir(make_run(tmp_path / "one"))
    assert runs.load(".").name


def test_trained_on_windows_predicts_from_windows(tmp_path: Path) -> None:
    """A run of the windows stream sees no more than bptt tokens; one of stripes has no limit."""
    run = runs.load(make_run(tmp_path / "w", **{"train.stream": "windows", "train.bptt": 5}))
    assert isinstance(run.model, Windowed) and run.model.context == 5
    assert runs.load(make_run(tmp_path / "s")).model.context is None


def test_not_a_run(tmp_path: Path) -> None:
    """Nothing there, a file, any other directory: each in words of its own."""
    with pytest.raises(InputError, match=r"no run '.*gone'; `nextword train"):
        runs.load(tmp_path / "gone")
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(InputError, match="is not a run"):
            runs.load(path)


def replaced(name: str, content: str | bytes) -> Callable[[Path], object]:
    """Damage that puts something else into a file."""
    raw = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(raw)


def removed(name: str) -> Callable[[Path], object]:
    """Damage that takes a file away."""
    return lambda folder: (folder / name).unlink()


def other_width(folder: Path) -> None:
    """Damage that changes a setting without the weights."""
    tables = json.loads((folder / runs.CONFIG).read_text())
    tables["model"]["hidden"] = 7
    (folder / runs.CONFIG).write_text(json.dumps(tables))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "config empty": (replaced(runs.CONFIG, ""), r"config\.json' is damaged"),
    "config cut off": (replaced(runs.CONFIG, '{"recipe": "ls'), r"config\.json' is damaged"),
    "config binary": (replaced(runs.CONFIG, b"\xff\x00"), r"config\.json' is damaged"),
    "config a list": (replaced(runs.CONFIG, "[1]"), r"config\.json' is damaged"),
    "config null": (replaced(runs.CONFIG, "null"), r"config\.json' is damaged"),
    "config without recipe": (replaced(runs.CONFIG, "{}"), r"config\.json' is damaged"),
    "config of the future": (
        replaced(runs.CONFIG, '{"recipe": "x", "model": {"hiden": 1}}'),
        "did you mean 'model.hidden'",
    ),
    "tokenizer missing": (removed(runs.TOKENIZER), r"no file .*tokenizer\.json"),
    "tokenizer cut off": (replaced(runs.TOKENIZER, '{"kind": "ch'), r"tokenizer\.json' is damaged"),
    "weights missing": (removed(runs.WEIGHTS), r"no file .*model\.safetensors"),
    "weights cut off": (replaced(runs.WEIGHTS, b"\x10\0"), r"model\.safetensors' is damaged"),
    "weights of another width": (other_width, r"model\.safetensors' does not fit the settings"),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_run(damage: Callable[[Path], object], words: str, tmp_path: Path) -> None:
    """A file that is missing or damaged is named, in one message, never a traceback."""
    folder = make_run(tmp_path / "one")
    damage(folder)
    with pytest.raises(InputError, match=words):
        runs.load(folder)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    """Missing and surplus tensors are refused."""
    folder = make_run(tmp_path / "one")
    weights, _ = files.read_tensors(folder / runs.WEIGHTS)
    name = next(iter(weights))
    missing = {key: weights[key] for key in weights if key != name}
    for changed in (missing, weights | {"surplus": weights[name] + 1}):
        files.write_tensors(folder / runs.WEIGHTS, changed, {})
        with pytest.raises(InputError, match="does not fit the settings"):
            runs.load(folder)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """Weights that are a pickle are damaged weights, and the pickle is not run."""

    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "bang",))

    folder = make_run(tmp_path / "one")
    torch.save(Bomb(), folder / runs.WEIGHTS)
    with pytest.raises(InputError, match="is damaged"):
        runs.load(folder)
    assert not (tmp_path / "bang").exists()


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cpu` is there; `cuda` says so if it is not; anything else is unknown."""
    assert pick_device("cpu") == "cpu"
    for count, there in ((0, []), (1, ["cuda", "cuda:0"]), (2, ["cuda", "cuda:0", "cuda:1"])):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        for name in ("cuda", "cuda:0", "cuda:1"):
            if name in there:
                assert pick_device(name) == name
                continue
            with pytest.raises(InputError, match="use --device cpu"):
                pick_device(name)
    for name in ("gpu", "", "cuda:x", "cpu:-1"):
        with pytest.raises(InputError, match="there are: cpu, cuda"):
            pick_device(name)


@pytest.mark.parametrize("there", [True, False])
def test_automatic_precision_is_what_the_processor_has(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`train.precision=auto` is settled when a training begins and kept in its settings."""
    monkeypatch.setattr("nextword.device.multiplies_bf16", lambda where: there)
    (tmp_path / "text.txt").write_text("one two three four .\n" * 30, encoding="utf-8")
    sizes = {"model.hidden": 8, "model.embedding": 8, "train.epochs": 1, "train.precision": "auto"}
    run = nextword.train(
        "lstm", tmp_path / "text.txt", tmp_path / "run", overrides=sizes, quiet=True
    )
    assert run.config.train.precision == ("bf16" if there else "fp32")


def test_slow_bfloat16_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Asked for on a processor without such products, it is done, and a line says it is slow."""
    monkeypatch.setattr("nextword.training.by_gradient.multiplies_bf16", lambda where: False)
    (tmp_path / "text.txt").write_text("one two three four .\n" * 30, encoding="utf-8")
    sizes = {"model.hidden": 8, "model.embedding": 8, "train.epochs": 1, "train.precision": "bf16"}
    nextword.train("lstm", tmp_path / "text.txt", tmp_path / "run", overrides=sizes)
    assert "no bfloat16 products" in capsys.readouterr().err
