"""Files that keep the state of a run while it lasts, written so that a kill never spoils them."""

import contextlib
import glob
import hashlib
import io
import os
import shutil
import time
import uuid
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import torch
from torch import Tensor, nn

from sniplab.data import Data

CHECKPOINT_VERSION = 2  # of a checkpoint's content and of the arithmetic that goes on from it


def fingerprint(network: nn.Module, masks: Mapping | None, data: Data, *settings) -> str:
    """Hash of everything that determines a run: weights, masks, images, labels, settings, threads.

    Every train and test image counts, however the data set was made, and so does its digest. Of
    what the network computes, how it prints itself and which parameters are frozen.

    Returns:
        64 hexadecimal digits.
    """
    bits = hashlib.sha256(repr((CHECKPOINT_VERSION, torch.__version__, data.digest)).encode())
    bits.update(repr((torch.get_num_threads(), data.x_train.device.type, *settings)).encode())
    frozen = [name for name, weight in network.named_parameters() if not weight.requires_grad]
    bits.update(repr((network, frozen)).encode())
    parts = {**network.state_dict(), **{f"mask of {n}": m for n, m in (masks or {}).items()}}
    for part, x, y in (("train", data.x_train, data.y_train), ("test", data.x_test, data.y_test)):
        parts[part], parts[f"{part} labels"] = x, y
    for name, tensor in parts.items():
        if not isinstance(tensor, Tensor):  # of `get_extra_state`
            bits.update(f"{name} {tensor!r}".encode())
            continue
        bits.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        # Part by part, for where bytes are not contiguous, or on a GPU, they are copied.
        for chunk in torch.atleast_1d(tensor.detach()).split(10_000):
            bits.update(chunk.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return bits.hexdigest()


@contextlib.contextmanager
def replacing(path: str | os.PathLike, mode: str = "wb", **options) -> Iterator[IO]:
    """A file that replaces the one at `path` as a whole: whoever reads it, after a kill too, finds
    the old one or the new one.

    It is written as a draft beside it, under a name that no other process or thread has. Where the
    block or the writing fails, the draft is removed and the old file stays. A file keeps its
    permissions, and a link stays a link: what it points at is replaced.

    Args:
        mode, options: as for `open`.

    Raises OSError, which names `path`, where it cannot be written.
    """
    target = Path(os.path.realpath(path))
    # What kills in mid-writing left would fill the disk in time; nobody writes for an hour.
    for left in target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * 32}.draft"):
        with contextlib.suppress(FileNotFoundError):  # another writer was quicker
            if time.time() - left.stat().st_mtime > 3600:
                left.unlink()
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}.draft")
    try:
        with draft.open(mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, draft)
        draft.replace(target)
    except BaseException as error:  # of Ctrl-C, too, nothing is left
        if os.path.lexists(draft):
            draft.unlink()
        if isinstance(error, OSError) and str(error.filename) in ("None", str(draft)):
            reason = error.strerror or str(error)
            raise OSError(error.errno, reason, os.fspath(path)) from error
        raise


class Checkpoint:
    """The file that keeps the state of a run while it lasts.

    Args:
        path: of the file; its folder is made if need be.
        seconds: at most so much time is to be lost by a kill.
        mark: the run's `fingerprint`.
    """

    def __init__(self, path: str | os.PathLike, seconds: float, mark: str):
        self.path, self.seconds, self.mark = Path(path).expanduser(), seconds, mark
        self.saved = time.perf_counter()
        self.warned = False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.warn(error)

    def warn(self, error: OSError) -> None:
        """Say once that nothing is saved. No result depends on it, so training goes on."""
        if not self.warned:
            text = f"the checkpoint {self.path} cannot be written ({error}): training goes on; "
            text += "nothing is saved until there is room"
            warnings.warn(text, UserWarning, stacklevel=5)  # whoever called `train`
        self.warned = True

    def due(self, ahead: float = 0.0) -> bool:
        """Whether too much would be lost by a kill in so many seconds."""
        return time.perf_counter() - self.saved + ahead > self.seconds

    def load(self) -> dict | None:
        """The state, if the file is one of this very run; another is named and put aside."""
        if not self.path.exists():
            return None
        try:
            with zipfile.ZipFile(self.path) as archive:  # torch.load does not look at the checksums
                if damaged := archive.testzip():
                    raise zipfile.BadZipFile(f"{damaged} does not fit its checksum")
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            if state["fingerprint"] == self.mark:
                return state
            trouble = "is of another configuration, other data, version or number of threads"
        except Exception as error:  # torn files raise a dozen kinds
            trouble = f"cannot be read ({type(error).__name__})"
        aside = self.path.with_name(f"{self.path.name}.aside")
        self.path.replace(aside)
        text = f"the checkpoint {self.path} {trouble}; it is now {aside.name}, and the run starts "
        warnings.warn(f"{text}anew", UserWarning, stacklevel=4)
        return None

    def save(self, state: dict) -> None:
        """Write the state; where that fails, on a full disk, say, the next save is tried again."""
        # In memory first: writing straight to a file that is full, torch.save raises no OSError but
        # a RuntimeError on its own archive.
        archive = io.BytesIO()
        torch.save({"fingerprint": self.mark, **state}, archive)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as file:
                file.write(archive.getbuffer())
        except OSError as error:
            self.warn(error)
        self.saved = time.perf_counter()
