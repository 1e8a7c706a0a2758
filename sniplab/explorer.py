"""A block of HTML to be played with: a slider for the sparsity moves through the pictures of the
kept connections, and shows the test error and what each layer keeps. It needs no kernel and no
network; without a script the pictures at the headline sparsities stand in its place."""

import base64
import html
import io
import json
import math
from pathlib import Path
from string import Template

import numpy as np
import pandas as pd
import PIL.Image

from sniplab.methods import METHODS
from sniplab.sections.connections import classes, pictures_of

SHOWN = ("dense", "snip", "shuffled", "random")  # of METHODS
HEADLINES = (0.1, 0.5, 0.9)  # sparsities that stand there without a script
START = 0.9
GAP = 2  # between the pictures that stand there without a script
LAYER_COLOUR = "#767676"


def explorer(pictures: pd.DataFrame, errors: pd.DataFrame, layers: pd.DataFrame) -> str:
    """Pictures, test errors and layers by sparsity, as one block of HTML with a slider.

    Args:
        pictures: how many connections of each pixel are kept, with columns data (title of the data
            set), class (from 0), sparsity, kept (784 numbers, separated by spaces) and connections
            (of which so many are kept).
        errors: runs of LeNet-300-100 on MNIST, with columns method, sparsity and error (percent);
            NaN for a run that was lost. Where a method was not run at a sparsity, the nearest one
            is shown and named. May be empty.
        layers: what the pictures' masks keep, with columns data, sparsity, layer, size (connections
            of the layer), masks (how many) and kept (summed over them). May be empty.
    """
    sparsities = sorted(pictures.sparsity.unique())
    titles = list(pictures.data.unique())
    kept = {  # of each pixel's connections: (sparsities, classes, 28, 28)
        title: np.stack([pictures_of(pictures, title, s) for s in sparsities]) for title in titles
    }
    numbers = {
        "sparsities": [percent(s) for s in sparsities],
        "start": int(np.abs(np.array(sparsities) - START).argmin()),
        "data": [
            {
                "name": title,
                "classes": [str(name) for name in classes(title)],
                "ranges": [[percent(f.min()), percent(f.max())] for f in kept[title]],
                "layers": [layer_lines(layers, title, s) for s in sparsities],
            }
            for title in titles
        ],
        "errors": [error_lines(errors, s) for s in sparsities],
    }
    sprite = np.concatenate([sheet(kept[title]) for title in titles])
    template = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    return template.substitute(
        sprite=as_png(sprite),
        still="".join(still(title, kept[title], sparsities) for title in titles),
        numbers=json.dumps(numbers, ensure_ascii=False).replace("<", "\\u003c"),
    )


def percent(fraction: float, digits: int = 0) -> str:
    return f"{100 * fraction:.{digits}f}\N{NO-BREAK SPACE}%"


# ---------------------------------------------------------------------------------------- pictures


def greys(tiles: np.ndarray) -> np.ndarray:
    """Pictures of one sparsity on one scale, from the smallest value, white, to the largest."""
    low, high = tiles.min(), tiles.max()
    return np.uint8(255 * (1 - (tiles - low) / max(high - low, 1e-9)))


def sheet(kept: np.ndarray) -> np.ndarray:
    """All pictures of a data set side by side, sparsities as columns and classes as rows."""
    columns = [np.concatenate(list(greys(tiles))) for tiles in kept]
    return np.concatenate(columns, axis=1)


def as_png(picture: np.ndarray) -> str:
    """A picture in grey, (height, width), as the address of an image that needs no file."""
    with io.BytesIO() as file:
        PIL.Image.fromarray(picture).save(file, "PNG", optimize=True)
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def still(title: str, kept: np.ndarray, sparsities: list[float]) -> str:
    """The pictures of a data set at the headline sparsities, as an image over a line of text."""
    places = [sparsities.index(s) for s in HEADLINES if s in sparsities] or [0]
    rows = [
        np.concatenate(
            [np.pad(t, ((0, GAP), (0, GAP)), constant_values=255) for t in greys(kept[i])], axis=1
        )
        for i in places
    ]
    levels = ", ".join(percent(sparsities[i]) for i in places)
    words = f"{title}. Rows: sparsity {levels}. Columns: {', '.join(map(str, classes(title)))}. "
    words += "The darker a pixel, the more of its connections are kept."
    words = html.escape(words)
    return f'<img src="{as_png(np.concatenate(rows))}" alt="{words}"><p>{words}</p>'


# ----------------------------------------------------------------------------------------- numbers


def error_lines(errors: pd.DataFrame, sparsity: float) -> list[dict]:
    """The mean test error of each method at the sparsity, or at the nearest that was run: a line
    each, with its place on a logarithmic scale from 1 to 100 %."""
    lines = []
    for name in SHOWN:
        means = errors[errors.method == name].groupby("sparsity").error.mean().dropna()
        if means.empty:
            continue
        nearest = min(means.index, key=lambda s: (round(abs(s - sparsity), 6), s))
        error, method = means[nearest], METHODS[name]
        mismatch = not math.isclose(nearest, sparsity)
        lines.append({
            "name": method.label,
            "text": f"{error:.2f}\N{NO-BREAK SPACE}%",
            "note": f"at {percent(nearest)}" if mismatch and name != "dense" else "",
            "left": round(min(max(50 * math.log10(max(error, 1e-9)), 0), 98.5), 1),
            "width": "6px",
            "colour": method.colour,
        })  # fmt: skip
    return lines


def layer_lines(layers: pd.DataFrame, title: str, sparsity: float) -> list[dict]:
    """What each layer keeps of its connections in the masks of one data set: a line each."""
    if layers.empty:
        return []
    rows = layers[(layers.data == title) & np.isclose(layers.sparsity, sparsity)]
    lines = []
    for row in rows.itertuples():
        fraction = row.kept / (row.size * row.masks)
        lines.append({
            "name": row.layer,
            "text": percent(fraction, 1),
            "note": "",
            "left": 0,
            "width": f"{100 * fraction:.1f}%",
            "colour": LAYER_COLOUR,
        })  # fmt: skip
    return lines
