"""Colour images that came out of JPEG files, packed losslessly into a quarter of their size."""

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from sniplab.checkpoint import replacing

IMAGES = ("x_train", "x_test")


def _upsampling(size: int) -> np.ndarray:
    """How a JPEG decoder doubles a row of colour: each new value is three quarters of the nearest
    and a quarter of the next one, (2 size, size)."""
    matrix, k = np.zeros((2 * size, size)), np.arange(size)
    np.add.at(matrix, (np.r_[2 * k, 2 * k + 1], np.r_[k, k]), 0.75)
    np.add.at(matrix, (2 * k, np.maximum(k - 1, 0)), 0.25)
    np.add.at(matrix, (2 * k + 1, np.minimum(k + 1, size - 1)), 0.25)
    return matrix


def _compressed(image: np.ndarray, inverse: np.ndarray) -> bytes:
    """The image (H, W, 3) as a JPEG file of quality 75 with halved colour, which decodes to the
    same pixels, if they came out of such a file."""
    y = image @ (0.299, 0.587, 0.114)
    halved = (
        128 + (image[..., 2] - y) / 1.772,
        128 + (image[..., 0] - y) / 1.402,
    )
    # The encoder takes the mean of four pixels, and so finds the halved colour as it was.
    colours = ((inverse @ c @ inverse.T).repeat(2, 0).repeat(2, 1) for c in halved)
    planes = np.stack([y, *colours], -1).round().clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(planes, "YCbCr").save(file, "JPEG", quality=75, subsampling=2)
    return file.getvalue()


def _decompressed(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def pack(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Write the arrays of a data set of colour images to a file: the images as JPEG files without
    their common head, and what these get wrong beside them, so that nothing is lost."""
    packed = {name: array for name, array in arrays.items() if name not in IMAGES}
    for name in IMAGES:
        inverse = np.linalg.pinv(_upsampling(arrays[name].shape[1] // 2))
        files = [_compressed(image, inverse) for image in arrays[name]]
        head = files[0][: files[0].index(b"\xff\xda")]  # up to the start of the scan
        assert all(file.startswith(head) for file in files)
        packed[f"{name} head"] = np.frombuffer(head, np.uint8)
        packed[f"{name} files"] = np.frombuffer(b"".join(f[len(head) :] for f in files), np.uint8)
        packed[f"{name} sizes"] = np.array([len(file) - len(head) for file in files])
        decoded = np.stack([_decompressed(file) for file in files])
        packed[f"{name} wrong"] = arrays[name] - decoded  # modulo 256
        packed[f"{name} check"] = zlib.crc32(arrays[name].tobytes())
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in packed.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def unpack(path: Path) -> dict[str, np.ndarray]:
    """The arrays that `pack` was given.

    Raises ValueError where the machine's decoder computes other pixels.
    """
    with np.load(path, allow_pickle=False) as file:
        packed = {name: file[name] for name in file.files}
    arrays = {name: array for name, array in packed.items() if not name.startswith(IMAGES)}
    for name in IMAGES:
        head, ends = packed[f"{name} head"].tobytes(), packed[f"{name} sizes"].cumsum()
        files = np.split(packed[f"{name} files"], ends[:-1])
        decoded = np.stack([_decompressed(head + file.tobytes()) for file in files])
        arrays[name] = decoded + packed[f"{name} wrong"]
        if zlib.crc32(arrays[name].tobytes()) != packed[f"{name} check"]:
            raise ValueError(f"{name} of {path} is damaged, or Pillow decodes otherwise here")
    return arrays
