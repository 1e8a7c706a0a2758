"""The machine that a run is done on: its name, settings that make it repeatable, its GPUs."""

import contextlib
import ctypes
import itertools
import os
import platform
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import filelock
import joblib
import torch


def hardware(device: torch.device | None = None) -> str:
    """What computed a row: processor, cores, the vector units that PyTorch uses there (others round
    otherwise, so the last digits differ), version of PyTorch."""
    if device is not None and device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():  # Linux: `platform` knows no more than the architecture
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if "model name" in line), name)
    units = torch.backends.cpu.get_cpu_capability()
    cores = joblib.cpu_count()
    text = "1 core" if cores == 1 else f"{cores} cores"
    return f"{name}, {text}, {units}, torch {torch.__version__}"


@contextlib.contextmanager
def computing_with(threads: int, device: torch.device) -> Iterator[None]:
    """Settings under which a run is repeatable to the bit, put back at the end: the number of
    threads, float32 products in full, and on CUDA deterministic operations, none chosen by trial.
    """
    before, was = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    precision, cudnn = torch.get_float32_matmul_precision(), contextlib.nullcontext()
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest")
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
        torch.use_deterministic_algorithms(True)
        # TF32, of 10 bits a product, is PyTorch's default for convolutions.
        options = {"benchmark": False, "deterministic": True, "allow_tf32": False}
        cudnn = torch.backends.cudnn.flags(enabled=True, **options)
    try:
        with cudnn:
            yield
    finally:
        torch.set_num_threads(before)
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(was, warn_only=only_warned)


@contextlib.contextmanager
def own_gpu() -> Iterator[str]:
    """The GPU that fewest other workers of this user on this machine have taken."""
    for share in itertools.count():  # all GPUs once, then all of them a second time
        for number in range(torch.cuda.device_count()):
            name = f"snip-gpu-{number}-{share}-{os.getuid()}.lock"
            lock = filelock.FileLock(Path(tempfile.gettempdir()) / name, timeout=0)
            with contextlib.suppress(filelock.Timeout), lock:
                yield f"cuda:{number}"
                return


def give_memory_back() -> None:
    """To the system, what large networks have freed: the C library keeps it, a gigabyte after a
    ResNet-34, and joblib takes a worker that grew for one that leaks, and starts another."""
    with contextlib.suppress(OSError, AttributeError):  # other systems have another library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@lru_cache
def end_with_parent(parent: int) -> None:
    """In a worker: end when the process that started it is gone, by a kernel's restart, say.
    Otherwise it would go on with its run for nobody. `parent`: its number, since it may be gone
    before a worker can ask; 0 if another program starts the workers."""
    parent = parent or os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
