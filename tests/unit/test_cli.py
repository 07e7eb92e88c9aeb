"""The command line: what it prints, and how it refuses bad input."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nextword
from nextword.cli import compare
from tests.support import Cli, snapshot

TINY = [
    "--set", "text.tokenizer=word", "--set", "model.hidden=12", "--set", "model.embedding=8",
    "--set", "train.epochs=1", "--set", "train.batch_size=4", "--set", "train.bptt=10",
]  # fmt: skip


@pytest.fixture(scope="module")
def text(story: Path) -> Path:
    return story


@pytest.fixture(scope="module")
def run(lstm_run: Path) -> Path:
    return lstm_run


def test_help_does_not_wait_for_torch() -> None:
    """`--help` of every verb answers without importing torch."""
    code = (
        "import sys\nfrom nextword.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n"
        "    sys.exit(end.code or ('torch' in sys.modules) * 9)"
    )
    for verb in ([], ["train"], ["evaluate"], ["demo"], ["recipes"]):
        done = subprocess.run([sys.executable, "-c", code, *verb, "--help"], capture_output=True)
        assert done.returncode == 0, verb
        assert b"Usage" in done.stdout


def test_no_verb_prints_the_help(cli: Cli) -> None:
    status, out, _ = cli()
    assert status == 0
    assert out == cli("--help")[1]
    assert out.count("\n") > 10
    assert cli("--version")[1] == f"nextword {nextword.__version__}\n"


def test_recipes(cli: Cli) -> None:
    status, out, _ = cli("recipes")
    assert status == 0
    assert {"lstm", "gru", "rnn", "irnn", "peephole", "gru-tutorial"} <= {
        line.split()[0] for line in out.splitlines()
    }


def test_evaluate_json(cli: Cli, run: Path, text: Path) -> None:
    """One JSON object with the promised keys, agreeing with Python."""
    status, out, _ = cli("evaluate", run, "--data", text, "--json")
    found = json.loads(out)
    assert status == 0
    assert {
        "tokens", "nll", "perplexity", "word_perplexity", "bits_per_byte", "accuracy", "oov",
        "signature",
    } <= found.keys()  # fmt: skip
    result = nextword.evaluate(nextword.load(run), text)
    assert found["nll"] == result.nll
    assert found["tokens"] == len(text.read_text().split()) + 24
    assert "split:whitespace" in found["signature"].split("|")


def test_evaluate_table(cli: Cli, run: Path, text: Path) -> None:
    status, out, _ = cli("evaluate", run, "--data", text, "--dynamic", "--dynamic-set", "lr=1e-3")
    assert status == 0
    assert "perplexity" in out
    assert "dynamic:method=running,lr=0.001" in out


def test_score(cli: Cli, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line per sentence, from a file or from standard input, in order."""
    lines = ["the cat sat on the mat .", "", "mat the on zebra"]
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    status, out, _ = cli("score", run, path)
    assert status == 0
    assert [line.split("\t")[1] for line in out.split("\n")[:-1]] == lines
    _, out, _ = cli("score", run, path, "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert [f["text"] for f in found] == lines
    assert [f["oov"] for f in found] == [0, 0, 1]
    assert [f["tokens"] for f in found] == [8, 1, 5]
    monkeypatch.setattr("sys.stdin", path.open())
    assert cli("score", run, "-", "--json")[1] == out


def test_generate(cli: Cli, run: Path) -> None:
    """The same seed prints the same text, prompt first; unknown prompt words are named."""
    first = cli("generate", run, "--prompt", "the cat", "--tokens", 9, "--seed", 4)
    assert first == cli("generate", run, "--prompt", "the cat", "--tokens", 9, "--seed", 4)
    assert first[0] == 0
    assert first[1].startswith("the cat ")
    assert "zebra" in cli("generate", run, "--prompt", "zebra", "--tokens", 1)[2]


def test_compare(cli: Cli, run: Path, text: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    cli("train", "unigram", "--train", text, "--out", other, "--set", "text.tokenizer=char")
    status, out, _ = cli("compare", run, other, "--data", text, "--json")
    found = json.loads(out)
    assert status == 0
    assert {row["run"] for row in found["runs"]} == {"run", "other"}
    status, out, _ = cli("compare", run, other, "--data", text)
    assert status == 0 and "at least 20 pieces of the text" in out
    (tmp_path / "long.txt").write_text(text.read_text(encoding="utf-8") * 10, encoding="utf-8")
    status, out, _ = cli("compare", run, other, "--data", tmp_path / "long.txt")
    assert status == 0 and "paired bootstrap" in out


def test_compare_shows_names_beside_wide_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """Figures of many digits take no room from the runs' names."""
    wide = [["first", *["1,234,567,890-9,876,543,210"] * 6], ["second", *["1"] * 6]]
    compare._print((["figure"] * 6, wide), [])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "first", "second"]
    assert lines[1].count("9,876,543,210") == 6


def test_inspect_gradients(cli: Cli, run: Path, tmp_path: Path) -> None:
    picture = tmp_path / "gradients.png"
    status, out, _ = cli(
        "inspect", run, "gradients", "--out", picture, "--length", 20, "--with", run, "--json"
    )
    assert status == 0
    assert len(json.loads(out)["gradients"][0]["hidden"]) == 19
    assert picture.stat().st_size > 1000


def test_find_lr(cli: Cli, text: Path, tmp_path: Path) -> None:
    picture = tmp_path / "lr.png"
    status, out, _ = cli("find-lr", "lstm", "--train", text, "--out", picture, "--steps", 30, *TINY)
    assert status == 0
    assert "optimizer.lr=" in out
    assert picture.exists()


# ---------------------------------------------------------------- bad input


def make_bad_files(folder: Path) -> None:
    (folder / "empty.txt").write_text("")
    (folder / "word.txt").write_text("hello")
    (folder / "blank.txt").write_text("   \n \n")
    (folder / "same.txt").write_text("a " * 500)
    (folder / "latin.txt").write_bytes("caf\xe9 ".encode("latin-1") * 100)
    (folder / "binary.bin").write_bytes(random.Random(0).randbytes(5000))
    (folder / "vectors.txt").write_text("the 1 2 3\ncat 1 2\n")
    (folder / "bad.toml").write_text("[model\n")
    (folder / "folder").mkdir()
    (folder / "other").mkdir()
    (folder / "other" / "precious.txt").write_text("mine")


NO_RUN = "train lstm --train TEXT"
BAD = {
    "missing file": ("train lstm --train nowhere.txt --out new", "no file 'nowhere.txt'"),
    "empty file": ("train lstm --train empty.txt --out new", "empty"),
    "one word": ("train lstm --train word.txt --out new --set text.tokenizer=word", "tokens"),
    "blanks": ("train lstm --train blank.txt --out new --set text.tokenizer=word", "tokens"),
    "one type": ("train lstm --train same.txt --out new --set text.tokenizer=word", "one kind"),
    "not utf-8": ("train lstm --train latin.txt --out new", "not UTF-8"),
    "binary": ("train lstm --train binary.bin --out new", "binary"),
    "directory": ("train lstm --train folder --out new", "directory"),
    "validation file": ("train lstm --train TEXT --valid empty.txt --out new", "empty"),
    "unknown recipe": ("train lstn --train TEXT --out new", "did you mean 'lstm'"),
    "recipe file": ("train no.toml --train TEXT --out new", "no recipe file"),
    "broken recipe": ("train bad.toml --train TEXT --out new", "not valid TOML"),
    "unknown key": (NO_RUN + " --out new --set model.hiden=3", "did you mean 'model.hidden'"),
    "unknown table": (NO_RUN + " --out new --set modle.hidden=3", "did you mean 'model.hidden'"),
    "unknown cell": (NO_RUN + " --out new --set model.cell=lstmm", "did you mean 'lstm'"),
    "unknown tokenizer": (NO_RUN + " --out new --set text.tokenizer=wrd", "did you mean 'word'"),
    "unknown optimizer": (NO_RUN + " --out new --set optimizer.name=adm", "did you mean"),
    "bad value": (NO_RUN + " --out new --set model.hidden=many", "model.hidden"),
    "negative": (NO_RUN + " --out new --set train.epochs=-1", "train.epochs"),
    "no equals": (NO_RUN + " --out new --set model.hidden", "--set key=value"),
    "small vocabulary": (NO_RUN + " --out new --set text.vocab_size=100", "text.vocab_size"),
    "no recipe": ("train --train TEXT --out new", "recipe"),
    "no out": ("train lstm --train TEXT", "--out"),
    "no train": ("train lstm --out new", "--train"),
    "run exists": (NO_RUN + " --out RUN", "--resume"),
    "not a run to overwrite": (NO_RUN + " --out other --overwrite", "not a run"),
    "out is a file": (NO_RUN + " --out TEXT", "is a file"),
    "resume nothing": ("train --resume --out new", "no run 'new'"),
    "resume with train": (NO_RUN + " --out RUN --resume", "--train"),
    "from nothing": (NO_RUN + " --out new --from nowhere", "no run 'nowhere'"),
    "vectors": (NO_RUN + " --out new --set text.vectors=vectors.txt", "vectors of 3 numbers"),
    "no gpu": (NO_RUN + " --out new --device tpu", "device"),
    "no run": ("evaluate nowhere --data TEXT", "no run 'nowhere'"),
    "file as run": ("evaluate TEXT --data TEXT", "not a run"),
    "folder as run": ("score folder TEXT", "not a run"),
    "missing data": ("evaluate RUN --data nowhere.txt", "no file"),
    "empty data": ("evaluate RUN --data empty.txt", "empty"),
    "blank data": ("evaluate RUN --data folder", "directory"),
    "binary data": ("score RUN binary.bin", "binary"),
    "no data": ("evaluate RUN", "--data"),
    "dynamic key": ("evaluate RUN --data TEXT --dynamic --dynamic-set lrr=1", "did you mean 'lr'"),
    "dynamic unasked": ("evaluate RUN --data TEXT --dynamic-set lr=1", "--dynamic"),
    "dynamic stripes": ("evaluate RUN --data TEXT --dynamic --stripes 4", "--stripes"),
    "temperature": ("generate RUN --temperature -1", "temperature"),
    "top-p": ("generate RUN --top-p 3", "--top-p"),
    "tokens": ("generate RUN --tokens -5", "tokens"),
    "unknown verb": ("generat RUN", "generat"),
    "unknown option": ("generate RUN --tempratur 1", "--temp"),
    "not a number": ("generate RUN --tokens many", "--tokens"),
    "unknown view": ("inspect RUN gradient --out a.png", "did you mean 'gradients'"),
    "picture format": ("inspect RUN gradients --out a.txt", ".png"),
    "picture folder": ("inspect RUN gradients --out no/a.png", "no folder"),
    "short text": ("inspect RUN gradients --out a.png --data word.txt", "needs more"),
    "demo elsewhere": ("demo --out other", "something that is not what `demo` wrote"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input(
    name: str, cli: Cli, run: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that says what is wrong, exit status 2, nothing written or changed."""
    make_bad_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    command, message = BAD[name]
    words = [str(text) if w == "TEXT" else str(run) if w == "RUN" else w for w in command.split()]
    before = snapshot(tmp_path), snapshot(run)
    status, out, err = cli(*words)
    assert status == 2, err
    assert out == ""
    lines = err.strip().split("\n")
    assert len(lines) == 1, err
    assert lines[0].startswith("nextword: ")
    assert message in lines[0]
    assert (snapshot(tmp_path), snapshot(run)) == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "cut", "garbage"])
def test_damaged_run(
    file: str, damage: str, cli: Cli, run: Path, text: Path, tmp_path: Path
) -> None:
    """A run with a file missing or cut off is named in one line."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in run.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    whole = (copy / file).read_bytes()
    if damage == "missing":
        (copy / file).unlink()
    else:
        (copy / file).write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"\x00junk" * 9)
    status, out, err = cli("evaluate", copy, "--data", text)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert file in err or "not a run" in err


@pytest.mark.parametrize(
    "file", ["state.safetensors", "data/train/ids.bin", "data/train/meta.json"]
)
def test_damaged_training(file: str, cli: Cli, text: Path, tmp_path: Path) -> None:
    """Resuming from a damaged file is refused and leaves the rest alone."""
    out = tmp_path / "run"
    assert cli("train", "lstm", "--train", text, "--out", out, *TINY)[0] == 0
    path = out / file
    path.write_bytes(path.read_bytes()[:-7])
    before = snapshot(out)
    status, _, err = cli("train", "--out", out, "--resume")
    assert status == 2
    assert "damaged" in err.strip().split("\n")[-1]
    assert snapshot(out) == before


def test_overwrite_replaces_only_on_success(cli: Cli, text: Path, tmp_path: Path) -> None:
    """A failing --overwrite keeps the old run; a good one replaces all of it."""
    make_bad_files(tmp_path)
    out = tmp_path / "run"
    cli("train", "lstm", "--train", text, "--out", out, *TINY)
    before = snapshot(out)
    assert (
        cli("train", "lstm", "--train", tmp_path / "latin.txt", "--out", out, "--overwrite")[0] == 2
    )
    assert snapshot(out) == before
    assert cli("train", "gru", "--train", text, "--out", out, "--overwrite", *TINY)[0] == 0
    assert json.loads((out / "config.json").read_text())["recipe"] == "gru"


def test_no_space_left(text: Path, tmp_path: Path, run: Path) -> None:
    """A disk that fills up is one line and status 1, and no half-written file stays behind."""
    code = (
        "import errno, sys, safetensors.torch as s\nfrom nextword.cli.main import main\n"
        "def full(*a, **k): raise OSError(errno.ENOSPC, 'No space left on device', str(a[1]))\n"
        "s.save_file = full\nmain(sys.argv[1:])"
    )
    out = tmp_path / "run"
    command = [sys.executable, "-c", code, "train", "lstm", "--train", str(text), "--out", str(out)]
    done = subprocess.run([*command, "--quiet", *TINY], capture_output=True, text=True)
    assert done.returncode == 1
    assert "no space left" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not [path for path in out.rglob("*") if path.suffix == ".safetensors"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of files are POSIX's")
def test_a_file_that_may_not_be_read(run: Path, text: Path, tmp_path: Path) -> None:
    """It is neither damaged nor a place to write to."""
    without = [] if os.getuid() else ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    if without and not shutil.which("setpriv"):
        pytest.skip("the administrator may read everything")
    code = (
        "import sys\nfrom nextword.cli.main import main\n"
        "for run in sys.argv[2:]:\n"
        "    try: main(['score', run, sys.argv[1]])\n"
        "    except SystemExit as end: print(end.code)"
    )
    copies = []
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        copies.append(shutil.copytree(run, tmp_path / name.split(".")[0]))
        (copies[-1] / name).chmod(0o200)
        if without:
            os.chown(copies[-1] / name, 65534, 65534)
    done = subprocess.run(
        [*without, sys.executable, "-c", code, text, *copies], capture_output=True, text=True
    )
    assert done.stdout.split() == ["2"] * 3, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 3 and all("no permission to read" in line for line in lines), lines


def test_ctrl_c_saves_and_says_how_to_go_on(text: Path, tmp_path: Path) -> None:
    """Ctrl-C in a real process: status 130, one line with the command that resumes; it works."""
    import signal
    import time

    out = tmp_path / "run"
    command = [sys.executable, "-m", "nextword", "train", "lstm", "--train", str(text)]
    process = subprocess.Popen(
        [*command, "--out", str(out), *TINY, "--set", "train.epochs=100000"],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (out / "model.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    last = err.strip().split("\n")[-1]
    assert f"nextword train --out {out} --resume" in last
    assert "Traceback" not in err
    go_on = [sys.executable, "-m", "nextword", "train", "--out", str(out), "--resume", "--quiet"]
    again = subprocess.run([*go_on, "--set", "train.epochs=1"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr


def test_two_at_once(cli: Cli, text: Path, tmp_path: Path) -> None:
    """A run that another process is training cannot be resumed or overwritten meanwhile."""
    out = tmp_path / "run"
    cli("train", "lstm", "--train", text, "--out", out, *TINY)
    code = (
        "import sys, time, pathlib\nfrom nextword.files import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n    print('locked', flush=True)\n"
        "    time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(out)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        for more in (["--resume"], ["lstm", "--train", text, "--overwrite"]):
            status, _, err = cli("train", "--out", out, *more)
            assert status == 2
            assert "another process" in err
    finally:
        holder.kill()
        holder.wait()


def test_output_to_a_closed_pipe(run: Path, text: Path) -> None:
    """`nextword score … | head -1` ends quietly."""
    command = f"{sys.executable} -m nextword score {run} {text} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=os.environ)
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
