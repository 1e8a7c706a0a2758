"""A bar over runs in progress, which says how long is left by the times of steps."""

import contextlib
import math
import statistics
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping

import pandas as pd
from tqdm.auto import tqdm

from sniplab.runs.worker import Task
from sniplab.training import progress


def hours(seconds: float) -> str:
    """'40 s', '12 min' or '3.4 h'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def seconds_left(tasks: Iterable[Task], rows: pd.DataFrame, workers: int) -> float:
    """The seconds that unfinished tasks will take, by the steps that are done and by those of
    finished runs of the same kind; NaN while nothing is known."""
    trained = rows[rows.step_seconds.notna()]  # others failed, or only scored
    medians = trained.groupby(["model", "engine"]).step_seconds.median().to_dict()
    open_steps, going = [], {}
    for task in tasks:
        kind, iterations = (task.configs[0].model, task.engine), task.configs[0].recipe.iterations
        seconds, done = medians.get(kind, math.nan) * len(task.configs), 0
        with contextlib.suppress(OSError, ValueError, IndexError):  # not begun, or half written
            words = task.file(".steps").read_text().split()
            done, seconds = int(words[0]), float(words[1])
            going[kind] = seconds
        open_steps.append((kind, iterations - done, seconds))
    guess = statistics.fmean([*medians.values(), *going.values()] or [math.nan])
    times = [
        steps * (going.get(kind, guess) if math.isnan(seconds) else seconds)
        for kind, steps, seconds in open_steps
    ]
    return max(sum(times) / workers, *times, 0) if times else 0.0


@contextlib.contextmanager
def repeating(seconds: float, action: Callable[[], object]) -> Iterator[None]:
    """Inside the block a thread calls `action` every so many seconds."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            action()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def run_bar(
    todo: Mapping[str, Task], rows: Callable[[], pd.DataFrame], workers: int
) -> Iterator[tqdm]:
    """A bar over runs that says how long is left, by the times of steps."""
    total = sum(len(task.configs) for task in todo.values())
    with progress(None, total=total, desc="runs", unit="run") as bar:

        def show_time() -> None:
            left = seconds_left(list(todo.values()), rows(), workers)
            if not math.isnan(left):
                bar.set_postfix_str(f"about {hours(left)} left")

        with contextlib.nullcontext() if bar.disable else repeating(2, show_time):
            yield bar
