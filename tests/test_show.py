"""Words for numbers, and one look."""

import sniplab as lab
from sniplab.sections import sweep_time


def test_words_for_numbers():
    assert lab.counted(1, "seed") == "1 seed" and lab.counted(20_000, "run") == "20,000 runs"
    assert lab.spanned([3, 3]) == "3" and lab.spanned([20, 3]) == "3 to 20"
    assert lab.spanned([0.251, 1.0], "{:.1f}") == "0.3 to 1.0"
    assert lab.spanned([0.5, -0.5]) == "−0.5 to 0.5"


def test_every_method_and_engine_has_a_look():
    labels = [row.label for row in lab.METHODS.values()]
    looks = [(row.colour, row.marker) for row in lab.METHODS.values()]
    assert len(set(labels)) == len(set(looks)) == len(labels)
    assert tuple(sweep_time.LOOKS) == lab.ENGINES
