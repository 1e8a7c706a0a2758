"""Run the notebooks under one profile and join them into one page that needs no network.

    python -m sniplab.report [smoke|quick|desktop|paper]
    python -m sniplab.report page    the notebooks as they are, without running anything
    python -m sniplab.report rows [file …]    what results/ still lacks of the committed report
    python -m sniplab.report tables [notebook …]    measures anew what results/ keeps besides rows
    python -m sniplab.report order    names the notebooks in the order in which they are to be run
    python -m sniplab.report prose    renews the numbers in README, docs and notebooks

Writes build/<profile>/: the executed notebooks, their results and figures, and report.html; with
--pdf its print, too.
"""

import argparse
import contextlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import joblib
import papermill
from nbconvert.filters import strip_ansi
from tqdm import tqdm
from traitlets.config import Config

from sniplab.data import FallbackWarning
from sniplab.page import join
from sniplab.prose import renew_documents
from sniplab.runs import identity, read_results, run_grid
from sniplab.runs.bar import repeating
from sniplab.sections import (
    COMMITTED,
    PROFILES,
    RESULTS,
    architectures_layers,
    conclusion,
    conclusion_claims,
    connections_scored,
    data_and_initialization,
    output_folder,
    sweep_time,
)

NOTEBOOKS = sorted(Path(__file__).resolve().parent.parent.glob("notebooks/[0-9]*.ipynb"))

# The runs of the committed report, by the file in RESULTS that keeps their rows.
PLANS = {**conclusion_claims.PLANS, "6_conclusion": conclusion.plan}

# What is measured without training, or in seconds: functions that write it into a folder.
TABLES: dict[str, Callable[[Path], None]] = {
    "1_sparsity_sweep": sweep_time.write_stored,
    "2_masks": architectures_layers.write_masks,
    "3_pruned_connections": connections_scored.write_stored,
    "3_kept_again": connections_scored.write_kept_again,
    "4_data_and_initialization": data_and_initialization.write_stored,
    "6_conclusion": conclusion.write_stored,
}

# Notebooks that read what others leave, and so wait for them: for section III A, and for all.
PICTURES, FRAME = "pruned_connections", ("introduction", "conclusion")

DURATIONS = {  # of each profile, set-up apart, said before anything runs
    "smoke": "about 2 minutes on two cores",
    "quick": "about 6 minutes on two cores, fewer on more",
    COMMITTED: "about 2 minutes: nothing is trained",
    "paper": "days, on a GPU; what was cut off goes on when the command is repeated",
}


def execute(source: Path, folder: Path, profile: str) -> float:
    """Run one notebook into `folder`; the seconds it took.

    Raises RuntimeError, with what to do next, when a cell fails.
    """
    started, target = time.perf_counter(), folder / source.name
    try:
        with tempfile.TemporaryDirectory() as private:
            # It wants a parameter a line; ours of one kind share one, and are set all the same.
            logging.getLogger("papermill.translators").setLevel(logging.ERROR)
            # Over TCP others of this machine could listen, as every kernel warns.
            channel = {"transport": "ipc", "ip": f"{private}/kernel"}
            papermill.execute_notebook(
                source,
                target,
                {"profile": profile},
                progress_bar=False,  # `progress_of` is for all of them
                config=Config(KernelManager=channel),
            )
    except papermill.PapermillExecutionError as error:
        raise RuntimeError(
            f"{source.name} stopped at In [{error.exec_count}]: {strip_ansi(str(error))}\n"
            f"As far as it came: {target}. Runs that ended are kept: "
            "mend the cause, and the same command goes on from there."
        ) from error
    seconds = time.perf_counter() - started
    tqdm.write(f"{source.stem}: {seconds:.0f} s", file=sys.stdout)
    return seconds


def rows_there(folder: Path, files: Iterable[str]) -> int:
    """How many rows some files of results in a folder hold; a row is a line."""
    paths = [folder / f"{name}.csv" for name in files]
    texts = [path.read_bytes() for path in paths if path.exists()]
    return sum(max(0, text.count(b"\n") - 1) for text in texts)


@contextlib.contextmanager
def progress_of(profile: str, folder: Path) -> Iterator[None]:
    """A bar, on a terminal, on how many of a profile's runs have their row in `folder`."""
    if profile == COMMITTED or not sys.stderr.isatty():
        yield
        return
    stored = {run for name in PLANS for run in read_results(RESULTS / f"{name}.csv").run}
    runs = {c for plan in PLANS.values() for part in plan(profile).values() for c in part}
    total = len({identity(config) for config in runs} - stored)
    with tqdm(total=total, unit="run") as bar:

        def count() -> None:
            bar.n = min(total, rows_there(folder, PLANS))
            bar.refresh()

        with repeating(1, count):
            yield


def print_page(page: Path) -> Path:
    """Print a page to a PDF beside it, by the browser that is there."""
    target = page.with_suffix(".pdf")
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    if browser is None:
        sys.exit(f"No {target.name}: that needs one of {', '.join(names)} on the PATH. Or print "
                 f"{page.name} from any browser.")  # fmt: skip
    target.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as private:  # not the profile of a window that is open
        options = [
            "--headless",
            "--disable-gpu",
            "--no-pdf-header-footer",
            f"--user-data-dir={private}",
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:  # the browser's sandbox refuses root
            options.append("--no-sandbox")
        command = [browser, *options, f"--print-to-pdf={target.resolve()}", page.resolve().as_uri()]
        done = subprocess.run(command, capture_output=True, text=True)
    if not target.exists():
        sys.exit(f"No {target.name}: {browser} says:\n{done.stderr}")
    return target


def write_page(folder: Path, paths: list[Path], title: str, profile: str, pdf: bool) -> None:
    report = folder / "report.html"
    report.write_text(join(paths, title, profile), encoding="utf-8")
    print(os.path.relpath(report))
    if pdf:
        print(os.path.relpath(print_page(report)))


def running_order() -> list[Path]:
    """The notebooks, each after those that it waits for."""
    return sorted(NOTEBOOKS, key=lambda path: len(waits_for(path)))


def waits_for(path: Path) -> list[Path]:
    """The notebooks that must have ended before one begins."""
    if path.stem.endswith(FRAME):
        return [notebook for notebook in NOTEBOOKS if not notebook.stem.endswith(FRAME)]
    if path.stem.endswith(PICTURES):
        return [notebook for notebook in NOTEBOOKS if notebook.stem.endswith("sparsity_sweep")]
    return []


def run_notebooks(profile: str, pdf: bool) -> None:
    """Execute all notebooks under a profile and join them."""
    folder = output_folder(profile)
    print(f"Profile {profile}: {DURATIONS[profile]}.", flush=True)
    # But for `paper`, where the runs of one notebook fill the machine, most of the time goes by on
    # one core, in imports, figures and runs of seconds. A notebook that has a core to itself starts
    # no workers, which would import and load everything once more.
    cores, together = joblib.cpu_count(), 1
    if profile != "paper":
        together = min(cores, len(NOTEBOOKS))
        # Kernels whose threads or workers share cores wait for each other most of the time.
        for name in ("OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
            os.environ.setdefault(name, str(cores // together))
    ended = {path: threading.Event() for path in NOTEBOOKS}

    def in_turn(path: Path) -> None:
        for notebook in waits_for(path):
            ended[notebook].wait()
        try:
            execute(path, folder, profile)
        finally:
            ended[path].set()

    with progress_of(profile, folder):
        try:
            # For all of them at once: it is one folder for all threads of a process.
            with contextlib.chdir(NOTEBOOKS[0].parent):
                joblib.Parallel(n_jobs=together, prefer="threads")(
                    joblib.delayed(in_turn)(path) for path in running_order()
                )
        except RuntimeError as error:
            sys.exit(str(error))
    title = f"SNIP, re-run ({profile})"
    write_page(folder, [folder / path.name for path in NOTEBOOKS], title, profile, pdf)


def do_missing_rows(files: Iterable[str]) -> None:
    """The runs of the committed report that RESULTS lacks, with checkpoints: hours or days.

    Raises FallbackWarning where the data are not to be had: others are not of this report.
    """
    for name in files:
        plan = PLANS[name](COMMITTED)
        configs = list(dict.fromkeys(config for part in plan.values() for config in part))
        with warnings.catch_warnings(action="error", category=FallbackWarning):
            rows = run_grid(configs, RESULTS / f"{name}.csv")
        print(f"{name}: {len(rows)} rows, {(rows.status != 'ok').sum()} of them lost")


def measure_tables(notebooks: Iterable[str]) -> None:
    """Measure anew what RESULTS keeps besides rows: minutes. Raises as `do_missing_rows`."""
    for name in notebooks:
        with warnings.catch_warnings(action="error", category=FallbackWarning):
            TABLES[name](RESULTS)
        print(f"{name}: measured")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    choices = [*PROFILES, "page", "rows", "tables", "order", "prose"]
    parser.add_argument("what", nargs="?", default="quick", choices=choices)
    help_ = f"with rows, which files: {', '.join(PLANS)}; with tables, which notebooks: "
    help_ += f"{', '.join(TABLES)}; default: all"
    parser.add_argument("names", nargs="*", metavar="name", help=help_)
    parser.add_argument("--pdf", action="store_true", help="print the page to report.pdf, too")
    arguments = parser.parse_args()
    registry = {"rows": PLANS, "tables": TABLES}.get(arguments.what, {})
    if unknown := set(arguments.names) - set(registry):
        parser.error(f"no {', '.join(sorted(unknown))}; known: {', '.join(registry) or 'none'}")
    if arguments.what == "page":
        folder = output_folder(COMMITTED).parent / "page"
        folder.mkdir(exist_ok=True)
        write_page(folder, NOTEBOOKS, "SNIP, re-run", COMMITTED, arguments.pdf)
    elif arguments.what == "rows":
        do_missing_rows(arguments.names or PLANS)
    elif arguments.what == "tables":
        measure_tables(arguments.names or TABLES)
    elif arguments.what == "prose":
        renew_documents(NOTEBOOKS[0].parent.parent)
    elif arguments.what == "order":
        print(*(os.path.relpath(path) for path in running_order()))
    else:
        run_notebooks(arguments.what, arguments.pdf)


if __name__ == "__main__":
    main()
