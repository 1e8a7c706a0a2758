"""The tables of the page: numbered, framed, long ones folded, cards on a narrow screen."""

import itertools
import re
from collections import Counter

from bs4 import BeautifulSoup, Tag

PROSE = 24  # characters; a column of a table with a cell of more is text to be broken into lines
WIDE = 8  # columns; a table of as many is set smaller
LONG = 20  # rows; a table of more is folded
CLAIMS = "0_claims"  # the table of all claims, which is never folded


def finish_tables(page: BeautifulSoup) -> None:
    """Number, frame and fold the tables of a page. Those of an explorer are its own."""
    number, labels = itertools.count(1), Counter()
    for table in page.find_all("table"):
        if table.find_parent(class_="explorer"):
            continue
        output, name, label = table.find_parent(class_="captioned"), "", label_of(table)
        labels[label] += 1
        if labels[label] > 1:  # another under the same heading
            label += f" ({labels[label]})"
        if output is not None:
            name, label = output["data-name"], f"Table {next(number)}"
            take_caption(table, output, label)
        strip(table)
        merge_heads(table)
        align(table)
        if name == CLAIMS:
            make_cards(table)
        add_scopes(table)
        frame = {"class": "table", "role": "region", "tabindex": "0", "aria-label": label}
        if name:
            frame |= {"id": f"tab-{name}", "data-label": label}
        table.wrap(page.new_tag("div", attrs=frame))
        if len(table.select("tbody tr")) > LONG and name != CLAIMS:
            fold(table, label)


def label_of(table: Tag) -> str:
    """What a table without a number is called: after the heading above it."""
    heading = table.find_previous(re.compile("^h[1-6]$"))
    return "Table" + (f": {heading.get_text()}" if heading else "")


def set_caption(caption: Tag, label: str) -> None:
    """Put a bold label before the text of a caption, whose paragraphs are one line."""
    for paragraph in caption.find_all("p"):
        paragraph.unwrap()
    caption.insert(0, BeautifulSoup(f"<strong>{label}.</strong> ", "html.parser"))


def take_caption(table: Tag, output: Tag, label: str) -> None:
    """Give a table the caption that came with its output, with formulas, in place of its own."""
    if table.caption:
        table.caption.decompose()
    caption = output.find(class_="caption", recursive=False).extract()
    caption.name, caption.attrs = "caption", {}
    set_caption(caption, label)
    table.insert(0, caption)
    for style in output.find_all("style"):  # of pandas, for JupyterLab
        style.decompose()
    output.unwrap()


def strip(table: Tag) -> None:
    """Take the identifiers and classes that pandas writes out of a table."""
    for tag in [table, *table.find_all(True)]:
        for name in ("id", "class", "border"):
            tag.attrs.pop(name, None)
    for text in table.find_all(string=re.compile(r"\d %")):
        text.replace_with(text.replace(" %", "\N{NO-BREAK SPACE}%"))


def merge_heads(table: Tag) -> None:
    """One row of heads in place of two of which one names the index and the other the columns."""
    rows = [row.find_all(["th", "td"]) for row in table.select("thead tr")]
    if len(rows) != 2 or len(rows[0]) != len(rows[1]) or table.select("thead [colspan]"):
        return
    pairs = list(zip(*rows, strict=True))
    if any(above.get_text(strip=True) and below.get_text(strip=True) for above, below in pairs):
        return
    for above, below in pairs:
        if not above.get_text(strip=True):
            above.replace_with(below.extract())
    table.select("thead tr")[1].decompose()


def add_class(tag: Tag, name: str) -> None:
    tag["class"] = [*tag.get("class", []), name]


def align(table: Tag) -> None:
    """Tell numbers and prose apart, column by column."""
    # From the right, since a cell of the index may stand for several rows.
    rows = [row.find_all(["th", "td"])[::-1] for row in table.find_all("tr")]
    if len(rows[-1]) >= WIDE:
        add_class(table, "wide")
    heads = len(table.select("thead tr"))
    groups = len(table.select("thead tr:has([colspan])"))  # heads of several columns
    for column in zip(*rows[groups:], strict=False):
        texts = [cell.get_text(strip=True) for cell in column[heads - groups :]]
        prose = any(len(text) > PROSE for text in texts)
        if prose or any(re.match(r"[−+-]?\d", text) for text in texts):
            for cell in column:
                add_class(cell, "prose" if prose else "number")


def add_scopes(table: Tag) -> None:
    """Say of every header whether it heads a column, a row or several rows."""
    for cell in table.find_all("th"):
        if not cell.get_text(strip=True):
            cell.name = "td"  # the corner over an index heads nothing
        elif not cell.get("scope"):
            cell["scope"] = "col" if cell.find_parent("thead") else "row"


def make_cards(table: Tag) -> None:
    """Prepare the table of claims for narrow screens, where each row is a card: a row for the name
    of each group, the head of its column with every cell, and the roles that a table loses when it
    is drawn as boxes."""
    table["class"], table["role"] = "claims", "table"
    heads = table.select("thead th, thead td")
    names = [head.get_text(strip=True) for head in heads]
    group = None
    for row in table.select("tbody tr"):
        cells = row.find_all(["th", "td"])
        if len(cells) == len(names):  # elsewhere a group's cell stands for this row, too
            first = cells.pop(0).extract()
            if first.get_text(strip=True) != group:
                group = first.get_text(strip=True)
                head = f'<tr class="group" role="row"><th colspan="{len(names) - 1}" '
                head += 'scope="rowgroup" role="rowheader"></th></tr>'
                line = BeautifulSoup(head, "html.parser")
                line.th.string = group
                row.insert_before(line)
        for cell, name in zip(cells, names[1:], strict=True):
            cell["data-label"] = name
            cell["role"] = "rowheader" if cell.name == "th" else "cell"
    heads[0].decompose()
    for part in table.select("thead, tbody"):
        part["role"] = "rowgroup"
    for row in table.select("tr"):
        row["role"] = "row"
    for head in table.select("thead th"):
        head["role"] = "columnheader"


def fold(table: Tag, label: str) -> None:
    """Fold a framed table under its caption and its number of rows."""
    rows = len(table.select("tbody tr"))
    text = table.caption.extract().get_text().strip() if table.caption else label
    details = BeautifulSoup('<details class="long"><summary></summary></details>', "html.parser")
    details.summary.string = f"{text} ({rows} rows)"
    table.parent.wrap(details.details)
