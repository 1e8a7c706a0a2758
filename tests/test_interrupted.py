"""Sweeps, workers and clusters that are cut off: the same call goes on from there, to the bit."""

import contextlib
import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import joblib
import pandas as pd
import psutil
import pytest
from conftest import TIMES, config

import sniplab as lab
from sniplab.sections import sweep

SWEPT = [
    config(sparsity=sparsity, seed=seed, recipe=lab.Recipe(iterations=200, checkpoints=2))
    for seed in (0, 1)
    for sparsity in (0.5, 0.8, 0.95, 0.99)
]
SWEEP = """
import pickle, sys
import sniplab as lab
if __name__ == "__main__":
    configs = pickle.load(open(sys.argv[1], "rb"))
    lab.run_grid(configs, sys.argv[2], n_jobs=2, checkpoint_seconds=0.1)
"""


def by_run(rows):
    return rows.drop(columns=TIMES).sort_values("run").reset_index(drop=True)


def kill(process):
    """Kill it and see that its workers end, too."""
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    assert not psutil.wait_procs(workers, timeout=120)[1]


def rows_written(path: Path) -> int:
    return max(0, len(path.read_text().splitlines()) - 1) if path.exists() else 0


def checkpoints(path: Path) -> int:
    return len(list(path.parent.glob(f"{path.stem}.checkpoints/*.pt")))


def kill_sweep(command: list, path: Path, reached) -> None:
    """Start the sweep and kill it as soon as `reached`, which is asked for the rows that it wrote
    since then and for the checkpoints there are."""
    process, before = subprocess.Popen(command), rows_written(path)
    deadline = time.monotonic() + 500
    try:
        while not reached(rows_written(path) - before, checkpoints(path)):
            assert process.poll() is None and time.monotonic() < deadline, "not killed in time"
            time.sleep(0.02)
    finally:
        kill(process)
    lab.read_results(path)  # readable at every moment


PLACES = (  # where it is killed, one after the other
    lambda rows, checkpoints: checkpoints > 0,  # and no row
    lambda rows, checkpoints: rows > 0,
    lambda rows, checkpoints: rows > 0 and checkpoints > 0,
)


@pytest.mark.slow
@pytest.mark.parametrize("places", [PLACES[2:], PLACES])
def test_a_killed_sweep_goes_on_as_if_nothing_had_been(tmp_path, places):
    script, path = tmp_path / "sweep.py", tmp_path / "killed.csv"
    script.write_text(SWEEP)
    (tmp_path / "configs").write_bytes(pickle.dumps(SWEPT))
    for reached in places:
        kill_sweep([sys.executable, script, tmp_path / "configs", path], path, reached)
    assert 1 <= rows_written(path) < len(SWEPT)
    resumed = lab.run_grid(SWEPT, path, n_jobs=2)
    whole = lab.run_grid(SWEPT, tmp_path / "whole.csv", n_jobs=2)
    assert len(resumed) == len(SWEPT) and (resumed.status == "ok").all()
    pd.testing.assert_frame_equal(by_run(resumed), by_run(whole))
    assert not list(tmp_path.glob("*.checkpoints"))  # each goes when its row is written


def test_what_a_sweep_killed_between_row_and_checkpoint_left_goes(tmp_path, monkeypatch):
    configs = [config(seed=seed, recipe=lab.Recipe(20, checkpoints=1)) for seed in (0, 1)]
    path, folder = tmp_path / "rows.csv", tmp_path / "rows.checkpoints"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)  # as if killed before
        lab.run_grid(configs[:1], path, n_jobs=1, checkpoint_seconds=0)
    (folder / ".half.pt.draft").write_text("half")
    assert {file.suffix for file in folder.iterdir()} >= {".runs", ".draft"}
    other = folder / "0123456789abcdef.runs"  # of a run that is still to be ended
    other.write_text(f"{lab.load_data('digits', device='cpu').digest} 0123")
    damaged = folder / "f123456789abcdef.runs"  # not even text
    damaged.write_bytes(bytes(range(128, 256)))
    assert len(lab.run_grid(configs, path, n_jobs=1)) == 2
    assert sorted(folder.iterdir()) == [other, damaged]


@pytest.mark.parametrize("name", ["rows.csv", "rows.curves.csv"])
def test_a_file_that_cannot_be_written_is_named_before_anything_is_run(tmp_path, name, monkeypatch):
    configs = [config(seed=seed, recipe=lab.Recipe(2, checkpoints=1)) for seed in (0, 1)]
    rows = lab.run_grid(configs[:1], tmp_path / "rows.csv", n_jobs=1)
    locked = tmp_path / name
    with monkeypatch.context() as patch:  # root may write what is locked
        patch.setattr(os, "access", lambda path, mode: path != locked)
        patch.setattr(lab.runs.grid, "_do", None)
        with pytest.raises(PermissionError, match=f"{name} cannot be written: unlock it"):
            lab.run_grid(configs, tmp_path / "rows.csv", n_jobs=1)
    monkeypatch.setattr(os, "access", None)  # to read rows that are there it need not be written
    again = lab.run_grid(configs[:1], tmp_path / "rows.csv", n_jobs=1)
    pd.testing.assert_frame_equal(again, rows)


@pytest.mark.slow
def test_rows_are_the_same_to_the_bit_however_they_are_grouped_or_interrupted(tmp_path, stop_at):
    recipe = lab.Recipe(300, checkpoints=2)
    cells = [("dense", 0.0), *(("snip", s) for s in (*sweep.ALL, 0.92))]
    configs = [config(method=m, sparsity=s, recipe=recipe) for m, s in cells]
    whole = lab.run_grid(configs, tmp_path / "whole.csv", n_jobs=1)
    assert set(whole.engine) == {"masked", "stacked"}
    single = [lab.run_grid([c], tmp_path / "single.csv", n_jobs=1) for c in reversed(configs)]
    pd.testing.assert_frame_equal(by_run(pd.concat(single)), by_run(whole))

    steps = stop_at(range(211, 50 * 211, 211))
    for _ in range(50):
        with contextlib.suppress(KeyboardInterrupt):
            path = tmp_path / "interrupted.csv"
            rows = lab.run_grid(configs[::-1], path, n_jobs=1, checkpoint_seconds=0.02)
            break
    assert len(steps) > 10 * 211
    pd.testing.assert_frame_equal(by_run(rows), by_run(whole))


def test_a_run_in_progress_is_gone_on_with(tmp_path, stop_at):
    """One stack and one by itself are stopped in the middle; their rows are as if they were not."""
    recipe = lab.Recipe(30, checkpoints=1)
    configs = [config(sparsity=s, recipe=recipe) for s in (0.5, 0.9, 0.99)]
    whole = lab.run_grid(configs, tmp_path / "whole.csv", n_jobs=1)
    steps = stop_at((20, 45))
    path = tmp_path / "results.csv"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            lab.run_grid(configs, path, n_jobs=1, checkpoint_seconds=0)
        assert list((tmp_path / "results.checkpoints").iterdir())
    rows = lab.run_grid(configs, path, n_jobs=1, checkpoint_seconds=0)
    assert len(steps) == 2 * 30 + 2  # nothing but the two steps that were stopped was done twice
    pd.testing.assert_frame_equal(rows.drop(columns=TIMES), whole.drop(columns=TIMES))
    assert not (tmp_path / "results.checkpoints").exists()


@pytest.mark.slow
def test_a_worker_that_is_killed_is_named(tmp_path, monkeypatch):
    configs = [config(seed=s, recipe=lab.Recipe(5000, checkpoints=1)) for s in (0, 1)]

    def spent():
        """Seconds of each worker; one of an earlier test, idle by now, has many."""
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "loky" in " ".join(child.cmdline()):
                    yield child, child.cpu_times().user

    before = dict(spent())

    def killer():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for child, seconds in spent():
                if seconds > before.get(child, 0) + 3:
                    child.kill()
                    return
            time.sleep(0.05)

    thread = threading.Thread(target=killer)
    thread.start()
    with pytest.raises(RuntimeError, match="a worker was killed, most likely for want of memory"):
        lab.run_grid(configs, tmp_path / "results.csv", n_jobs=2)
    thread.join()


@pytest.mark.slow
@pytest.mark.filterwarnings("error:A worker stopped while some jobs were given")
def test_no_worker_is_taken_for_a_leaking_one(tmp_path):
    """Small networks first, so that the large ones make a worker grow."""
    recipe = lab.Recipe(1, batch_size=16, checkpoints=1)
    how = {"recipe": recipe, "dataset": "cifar10", "scoring_batch": 16, "test_images": 10}
    names = ["squeezenet-vanilla"] * 2 + ["resnet-34"] * 4
    configs = [lab.Config(name, seed=seed, **how) for seed, name in enumerate(names)]
    with pytest.warns(lab.data.FallbackWarning):
        rows = lab.run_grid(configs, tmp_path / "results.csv", n_jobs=2)
    assert (rows.status == "ok").all()


@pytest.mark.slow
def test_an_error_while_a_row_is_written_leaves_no_worker_running(tmp_path, monkeypatch):
    """A full disk, once: two workers went on, beside those of the repeated call."""
    configs = [config(seed=s, recipe=lab.Recipe(it, checkpoints=1)) for s, it in
               ((0, 2), (1, 100_000), (2, 100_000))]  # fmt: skip
    real, full = lab.runs.grid.append_rows, [OSError(28, "No space left on device")]

    def once(path, rows):
        if full:
            raise full.pop()
        real(path, rows)

    monkeypatch.setattr(lab.runs.grid, "append_rows", once)
    path = tmp_path / "results.csv"
    with pytest.raises(OSError, match="No space left"):
        lab.run_grid(configs, path, n_jobs=2)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        busy = [
            child
            for child in psutil.Process().children(recursive=True)
            if "LokyProcess" in " ".join(child.cmdline())
        ]
        if not busy:
            break
        time.sleep(0.1)
    assert not busy
    rows = lab.run_grid(configs[:1], path, n_jobs=2)
    assert rows.status[0] == "ok"


@pytest.mark.slow
def test_a_dask_cluster_that_loses_a_worker_ends_with_every_row_once(tmp_path):
    distributed = pytest.importorskip("dask.distributed")
    path, killed = tmp_path / "results.csv", []
    configs = [dataclasses.replace(c, recipe=lab.Recipe(60, checkpoints=1)) for c in SWEPT]
    options = dict(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        pid, *_ = client.run(os.getpid).values()

        def kill_once_a_row_is_there():
            while not path.exists():
                time.sleep(0.01)
            os.kill(pid, signal.SIGKILL)
            killed.append(len(lab.read_results(path)))

        killer = threading.Thread(target=kill_once_a_row_is_there, daemon=True)
        killer.start()
        with joblib.parallel_config(backend="dask"):
            rows = lab.run_grid(configs, path, device="cpu")
        killer.join(timeout=10)
    assert killed and killed[0] < len(configs)  # in mid-run
    assert rows.status.tolist() == ["ok"] * len(configs) and rows.run.is_unique
    assert sorted(lab.read_results(path).run) == sorted(rows.run)


@pytest.mark.slow
def test_a_worker_whose_parent_is_already_gone_ends():
    """Killed while its workers start, a sweep left them training to the end for nobody."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    code = "import time; from sniplab.runs.machine import end_with_parent as end\n"
    code += f"end({gone.pid}); time.sleep(60)"
    done = subprocess.run([sys.executable, "-c", code], timeout=300, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")  # not by an error
