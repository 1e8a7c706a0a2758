"""The committed report is what the committed rows give: notebooks that are run anew show the same
tables and write the same files of figures/. It goes red where an update changes a result."""

import re

import nbformat
import pandas as pd
import papermill
import pytest
from bs4 import BeautifulSoup

from sniplab import report
from sniplab.sections import RESULTS

# Drawn of what is scored or trained as one looks on, which depends on the data at hand.
TRIED = ("0_sensitivities", "3_try_again", *(f"{number}_try" for number in range(6)))


def tables_of(path):
    """The text of every table that a notebook shows, but under "Try it", by its caption."""
    found, heading = {}, ""
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            heading = (re.findall(r"^#+ (.*)", cell.source, re.MULTILINE) or [heading])[-1]
        for output in cell.get("outputs", ()) if heading != "Try it" else ():
            if about := output.get("metadata", {}).get("text/html"):
                text = BeautifulSoup(output.data["text/html"], "html.parser").text
                found[about["caption"]] = text
    return found


@pytest.mark.slow
@pytest.mark.parametrize("path", report.NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_that_is_run_anew_says_the_same(path, tmp_path, monkeypatch):
    monkeypatch.setenv("SNIP_DATA", str(tmp_path / "none"))  # rows need no images
    given = {"profile": "desktop", "out": str(tmp_path)}
    new = tmp_path / path.name
    papermill.execute_notebook(path, new, given, progress_bar=False)
    shown, committed = tables_of(new), tables_of(path)
    assert shown == committed and committed
    written = sorted((tmp_path / "figures").glob("*.csv"))
    kept = sorted((RESULTS.parent / "figures").glob(f"{path.stem[0]}_*.csv"))
    assert [file.name for file in written] == [file.name for file in kept]
    for new, old in zip(written, kept, strict=True):
        if old.stem not in TRIED:
            pd.testing.assert_frame_equal(pd.read_csv(new), pd.read_csv(old), rtol=1e-9)
