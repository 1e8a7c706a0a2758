"""The block with a slider: what it shows is what the tables say, by mouse, keyboard and without."""

import base64
import io
import json
import re

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from browser import opened
from bs4 import BeautifulSoup

from sniplab.explorer import explorer

SPARSITIES = (0.1, 0.5, 0.9, 0.99)
TITLES = ("MNIST", "Fashion-MNIST")


@pytest.fixture
def tables():
    """Pictures of random shades, errors of several seeds, of which one was lost, and layers."""
    rng = np.random.default_rng(0)
    pictures = pd.DataFrame([
        (title, label, s, " ".join(map(str, rng.integers(0, 301, 784))), 300)
        for title in TITLES for s in SPARSITIES for label in range(10)
    ], columns=["data", "class", "sparsity", "kept", "connections"])  # fmt: skip
    errors = pd.DataFrame(
        [("dense", 0.0, 1.3), ("dense", 0.0, 1.5)]
        + [("snip", s, 1 + s + seed) for s in SPARSITIES for seed in (0, 0.5)]
        + [("random", 0.7, 2.0), ("random", 0.9, np.nan), ("random", 0.99, 60.0)]
        + [("shuffled", 0.9, 2.5)],
        columns=["method", "sparsity", "error"],
    )
    layers = pd.DataFrame([
        (title, s, layer, 1000, 10, int(10_000 * (1 - s) * part))
        for title, part in zip(TITLES, (1, 0.5), strict=True)
        for s in SPARSITIES for layer in ("fc1", "fc2")
    ], columns=["data", "sparsity", "layer", "size", "masks", "kept"])  # fmt: skip
    return pictures, errors, layers


@pytest.fixture
def file(tables, tmp_path):
    """A page of two such blocks."""
    block = explorer(*tables)
    path = tmp_path / "page.html"
    path.write_text(f"<!DOCTYPE html><meta charset=utf-8>{block}{block}")
    return path


def shown(page, table, block=0):
    """The lines of one of the two tables that a block shows, as text."""
    rows = f"document.querySelectorAll('.explorer')[{block}].querySelectorAll('.{table} tbody tr')"
    text = page.value(f"[...{rows}].map(row => row.innerText).join('\\n')")
    return [" ".join(line.split()) for line in text.splitlines()]


def pictured(page):
    """The picture that is seen: how many tiles the sprite is moved to the left, and upwards."""
    style = page.value("document.querySelector('.tile img').getAttribute('style')")
    place = dict(re.findall(r"(left|top): -?(\d+)%", style))
    return int(place["left"]) // 100, int(place["top"]) // 100


def handle(page, share):
    """Where the handle of the slider is at a share of its way."""
    left, right, top, bottom = page.value(
        "(r => [r.left, r.right, r.top, r.bottom])"
        "(document.querySelector('input').getBoundingClientRect())"
    )
    return left + 8 + share * (right - left - 16), (top + bottom) / 2


def test_a_drag_shows_the_picture_the_errors_and_the_layers_of_its_sparsity(file):
    with opened(file) as page:
        assert page.value("document.querySelector('output').value") == "90\N{NO-BREAK SPACE}%"
        assert shown(page, "errors") == [
            "dense 1.40 %",
            "SNIP 2.15 %",
            "SNIP, shuffled within layers 2.50 %",
            "random 60.00 % at 99 %",  # all runs at 90 % were lost
        ]
        page.drag(handle(page, 2 / 3), handle(page, 1 / 3))
        assert page.value("document.querySelector('output').value") == "50\N{NO-BREAK SPACE}%"
        assert shown(page, "errors")[1:] == [
            "SNIP 1.75 %",
            "SNIP, shuffled within layers 2.50 % at 90 %",
            "random 2.00 % at 70 %",
        ]
        assert shown(page, "layers") == ["fc1 50.0 %", "fc2 50.0 %"] and pictured(page) == (1, 0)
        assert shown(page, "layers", block=1) == ["fc1 10.0 %", "fc2 10.0 %"]  # on its own


def test_the_keyboard_moves_it_and_menus_choose_the_picture(file):
    with opened(file) as page:
        names = page.value("[...document.querySelectorAll('.class option')].map(o => o.text)")
        assert names[:10] == list("0123456789")
        page.value("document.querySelector('input').focus()")
        page.press("Home")
        page.press("ArrowRight")
        assert pictured(page) == (1, 0)
        page.press("End")
        assert pictured(page) == (3, 0) and shown(page, "layers") == ["fc1 1.0 %", "fc2 1.0 %"]
        said = page.value("document.querySelector('input').getAttribute('aria-valuetext')")
        assert said.replace("\N{NO-BREAK SPACE}", " ").startswith("99 %, dense 1.40 %, SNIP 2.24 %")
        choose = "(menu => {{ menu.value = {}; menu.onchange(); }})(document.querySelector('.{}'))"
        page.value(choose.format(1, "data"))
        page.value(choose.format(5, "class"))
        assert pictured(page) == (3, 15) and shown(page, "layers") == ["fc1 0.5 %", "fc2 0.5 %"]
        label = page.value("document.querySelector('.tile').getAttribute('aria-label')")
        assert "sandal of Fashion-MNIST" in label and "99" in label


def test_without_a_script_the_headline_sparsities_stand_there(file):
    heights = "['.play', '.still'].map(part => document.querySelector(part).offsetHeight > 0)"
    for script, which in ((False, [False, True]), (True, [True, False])):
        with opened(file, script=script) as page:
            assert page.value(heights) == which
    soup = BeautifulSoup(file.read_text(), "html.parser")
    still = soup.select_one(".still").find_all("img")
    assert [text["alt"].split(". ")[0] for text in still] == list(TITLES)
    assert "10\N{NO-BREAK SPACE}%, 50\N{NO-BREAK SPACE}%, 90\N{NO-BREAK SPACE}%" in still[0]["alt"]
    assert "sandal" in still[1]["alt"]


def test_tiles_of_the_sprite_are_the_pictures(tables):
    pictures, *_ = tables
    soup = BeautifulSoup(explorer(*tables), "html.parser")
    png = base64.b64decode(soup.select_one(".tile img")["src"].partition(",")[2])
    sprite = np.array(PIL.Image.open(io.BytesIO(png)), float)
    assert sprite.shape == (28 * 20, 28 * len(SPARSITIES))
    at = (pictures.data == TITLES[1]) & (pictures["class"] == 3) & (pictures.sparsity == 0.5)
    kept = np.array(pictures.kept[at].item().split(), float).reshape(28, 28)
    tile = sprite[28 * 13 : 28 * 14, 28:56]
    assert np.corrcoef(tile.ravel(), kept.ravel())[0, 1] < -0.9999  # dark where much is kept


@pytest.mark.slow
def test_what_was_not_run_is_not_shown_and_nothing_comes_from_elsewhere(tables, tmp_path):
    pictures, errors, layers = tables
    block = explorer(pictures, errors[:0], layers[:0])
    soup = BeautifulSoup(block, "html.parser")
    assert not soup.find_all(id=True) and "http" not in block
    numbers = json.loads(soup.find("script", type="application/json").string)
    assert numbers["errors"] == [[]] * 4 and numbers["data"][0]["layers"] == [[]] * 4
    path = tmp_path / "page.html"
    path.write_text(block)
    with opened(path) as page:
        hidden = "[...document.querySelectorAll('table')].map(t => t.hidden)"
        assert page.value(hidden) == [True, True]
        assert page.value("document.querySelector('.explorer').className") == "explorer playing"
