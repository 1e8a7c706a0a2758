"""§5.6 without any training: how much so many parameters can remember."""

import numpy as np

BITS = 32  # of a parameter


def label_bits(error):
    """Bits that a network holds about each random label, one of ten, at an error, or several, of so
    many percent: at least these (rate–distortion bound); 0 for 90 % and above."""
    e = np.clip(np.asarray(error, dtype=float) / 100, 1e-12, 0.9)
    h = -e * np.log2(e) - (1 - e) * np.log2(1 - e)
    return np.log2(10) - h - e * np.log2(9)


def least_error(kept: int, images: int, bits: float = BITS) -> float:
    """The smallest training error, in percent to a hundredth, at which what a network holds of so
    many random labels fits into so many parameters of so many bits."""
    errors = np.linspace(0, 90, 9001)
    return float(errors[np.argmax(images * label_bits(errors) <= bits * kept)])
