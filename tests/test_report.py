"""The report page: self-contained, with its contents; and what a failing notebook says."""

import re
import time
from pathlib import Path

import nbformat
import pytest
from conftest import write
from nbformat.v4 import new_code_cell

import sniplab as lab
from sniplab import report
from sniplab.data import FallbackWarning
from sniplab.runs.config import flat_fields

# Those by the decorator `collected`.
COLLECTED = {name: plan for name, plan in report.PLANS.items() if hasattr(plan, "__wrapped__")}


def test_the_page_of_the_notebooks_as_they_are(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "output_folder", lambda profile: tmp_path / "build" / profile)
    (tmp_path / "build").mkdir()
    monkeypatch.setattr("sys.argv", ["report", "page"])
    report.main()
    page = (tmp_path / "build" / "page" / "report.html").read_text()
    for path in report.NOTEBOOKS:
        assert f'id="{path.stem}"' in page, path.stem
    assert "report.html" in capsys.readouterr().out


def test_a_notebook_waits_for_those_that_it_reads(tmp_path, monkeypatch, capsys):
    stems = ("0_introduction", "1_sparsity_sweep", "3_pruned_connections", "4_b", "6_conclusion")
    names = [f"{name}.ipynb" for name in stems]
    begun, ended, joined = [], [], []

    def run(path, *_):
        begun.append((path.name, set(ended)))
        time.sleep(0.2 if path.stem.startswith("1_") else 0)  # the slowest
        ended.append(path.name)
        return 0.0

    monkeypatch.setattr(report, "NOTEBOOKS", [tmp_path / name for name in names])
    monkeypatch.setattr(report, "output_folder", lambda profile: tmp_path)
    monkeypatch.setattr(report.joblib, "cpu_count", lambda: 5)
    monkeypatch.setattr(report, "execute", run)
    monkeypatch.setattr(report, "write_page", lambda _, paths, *__: joined.extend(paths))
    monkeypatch.setattr(report.os, "environ", dict(report.os.environ))
    report.run_notebooks("quick", pdf=False)
    before = dict(begun)
    assert names[1] in before[names[2]] and names[1] not in before[names[3]]
    assert before[names[0]] >= set(names[1:4]) and before[names[4]] >= set(names[1:4])
    assert [path.name for path in joined] == names
    capsys.readouterr()
    monkeypatch.setattr("sys.argv", ["report", "order"])
    report.main()
    order = [names[k] for k in (1, 3, 2, 0, 4)]
    assert re.findall(r"\w+\.ipynb", capsys.readouterr().out) == order


@pytest.mark.parametrize(
    ("profile", "cores", "together", "threads"),
    [
        ("smoke", 2, 2, "1"),
        ("desktop", 3, 3, "1"),
        ("desktop", 64, 4, "16"),
        ("quick", 2, 2, "1"),
        ("quick", 9, 4, "2"),
        ("paper", 8, 1, None),
    ],
)
def test_notebooks_run_side_by_side_in_their_folder(
    tmp_path, monkeypatch, profile, cores, together, threads
):
    # Each of several that changed and restored the folder would restore it under the others.
    notebooks, here, found = tmp_path / "notebooks", Path.cwd(), []
    notebooks.mkdir()
    for name in ("OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(report, "NOTEBOOKS", [notebooks / f"{n}.ipynb" for n in range(4)])
    monkeypatch.setattr(report, "output_folder", lambda profile: tmp_path)
    monkeypatch.setattr(report, "write_page", lambda *_: found.append(Path.cwd()))
    monkeypatch.setattr(report.joblib, "cpu_count", lambda: cores)
    parallel, jobs = report.joblib.Parallel, []

    def watched(n_jobs, **how):
        jobs.append(n_jobs)
        return parallel(n_jobs, **how)

    def run(source, target, parameters, progress_bar, config, cwd=None):
        found.append(Path.cwd())
        assert cwd is None

    monkeypatch.setattr(report.joblib, "Parallel", watched)
    monkeypatch.setattr(report.papermill, "execute_notebook", run)
    monkeypatch.setattr(report.os, "environ", dict(report.os.environ))
    report.run_notebooks(profile, pdf=False)
    assert found == [notebooks] * 4 + [here]
    assert set(jobs) == {together}
    for name in ("OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
        assert report.os.environ.get(name) == threads


def test_how_long_it_takes_is_said_first_and_how_far_it_is_is_read_from_the_rows(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(report, "output_folder", lambda profile: tmp_path)
    monkeypatch.setattr(report, "running_order", lambda: [])
    monkeypatch.setattr(report, "write_page", lambda *_: None)
    monkeypatch.setattr(report, "NOTEBOOKS", [tmp_path / "0.ipynb"])
    monkeypatch.setattr(report.os, "environ", dict(report.os.environ))
    assert set(report.DURATIONS) == set(lab.PROFILES)
    report.run_notebooks("quick", pdf=False)
    assert capsys.readouterr().out.startswith("Profile quick: about 6 minutes on two cores")
    recipe = lab.Recipe(1, checkpoints=1)
    configs = [lab.Config("lenet-300-100", recipe, seed=s, dataset="digits") for s in (0, 1)]
    assert report.rows_there(tmp_path, ["some"]) == 0
    lab.run_grid(configs, tmp_path / "some.csv", n_jobs=1)
    assert report.rows_there(tmp_path, ["some", "none"]) == 2


def test_a_bar_on_a_terminal_counts_rows(tmp_path, monkeypatch):
    bars = []

    class Bar:
        def __init__(self, total, unit):
            self.total = total
            bars.append(self)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def refresh(self):
            pass

    monkeypatch.setattr(report, "tqdm", Bar)
    monkeypatch.setattr(report.sys.stderr, "isatty", lambda: True, raising=False)
    (tmp_path / "6_conclusion.csv").write_text("run\na\nb\nc\n")
    with report.progress_of("quick", tmp_path):
        deadline = time.monotonic() + 60
        while not hasattr(bars[0], "n") and time.monotonic() < deadline:
            time.sleep(0.05)
    assert bars[0].n == 3 < bars[0].total
    with report.progress_of("desktop", tmp_path):  # nothing is run
        assert len(bars) == 1


def test_a_page_is_printed_by_the_browser_that_is_there(tmp_path, monkeypatch):
    page = tmp_path / "report.html"
    page.write_text("<p>Hello")
    browser = tmp_path / "chrome"  # one that says how it was called
    browser.write_text('#!/bin/sh\nfor a; do case "$a" in --print-to-pdf=*) '
                       'echo "$@" > "${a#--print-to-pdf=}";; esac; done\n')  # fmt: skip
    browser.chmod(0o755)
    monkeypatch.setattr(report.shutil, "which", {"chrome": str(browser)}.get)
    for user in (0, 1000):
        monkeypatch.setattr(report.os, "geteuid", lambda user=user: user)
        called = report.print_page(page).read_text()
        assert page.as_uri() in called and ("--no-sandbox" in called) == (user == 0)
    browser.write_text("#!/bin/sh\necho cannot >&2\n")
    with pytest.raises(SystemExit, match="cannot"):
        report.print_page(page)
    assert not page.with_suffix(".pdf").exists()  # nor one of an earlier page
    monkeypatch.setattr(report.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match=r"No report\.pdf.*chromium.*on the PATH"):
        report.print_page(page)


def test_every_plan_of_the_committed_report_has_its_file_and_every_file_its_plan():
    for name, plan in report.PLANS.items():
        rows = lab.select(plan(report.COMMITTED), report.RESULTS / f"{name}.csv")
        assert len(rows) or name in COLLECTED, name
    kept = {path.stem for path in report.RESULTS.glob("*.csv")}
    with_identities = {name for name in kept if f"{name}.curves" in kept} | {"2_layers"}
    assert with_identities <= report.PLANS.keys()


@pytest.mark.parametrize("plan", COLLECTED.values(), ids=COLLECTED)
def test_a_plan_that_is_collected_is_of_the_committed_report_alone(plan):
    (runs,) = plan(report.COMMITTED).values()
    assert len(runs) == len(set(runs)) > 10
    assert plan("quick").popitem()[1] == []
    with pytest.raises(ValueError, match="profile"):
        plan("quik")


def collected(name):
    (runs,) = COLLECTED[name](report.COMMITTED).values()
    return runs


def test_plans_ask_for_what_they_say():
    """What decides each of them, by hand."""
    assert not any(c.biases for c in collected("1_biases"))
    rate = {(c.recipe.lr, c.inputs, c.recipe.iterations) for c in collected("1_published_rate")}
    assert rate == {(0.1, "unit", 75_000)}
    assert {c.seed for c in collected("1_defaults")} == set(range(3, 8))
    assert {(c.reinit, c.recipe.momentum) for c in collected("1_defaults")} == {("vs", 0.0)}
    tuned = collected("2_tuning")
    assert {c.tested for c in tuned} == {"validation"} and len({c.recipe for c in tuned}) == 5
    assert {c.recipe.iterations for c in collected("2_methods") + tuned} == {12 * 351}


@pytest.mark.parametrize("name", ["1_defaults", "2_lengths", "2_methods"])
def test_seeds_and_methods_beside_stored_rows_differ_from_those_in_nothing_else(name):
    """Each new run has a stored one that it can be held against: of another seed, method or
    length."""
    rest = {"seed": 0, "method": "snip", "iterations": 0, "checkpoints": 0}
    beside = {"1_defaults": "1_sparsity_sweep"}
    rows = lab.read_results(report.RESULTS / f"{beside.get(name, '2_architectures')}.csv")
    names = [n for n in flat_fields(collected(name)[0]) if n not in rest]
    stored = set(rows[names].itertuples(index=False, name=None))
    runs = collected(name)
    assert {tuple(flat_fields(c)[n] for n in names) for c in runs} <= stored
    repeated = {c for c in runs if name == "2_methods" and c.method == "snip"}  # on purpose
    assert {lab.identity(c) for c in runs} & set(rows.run) == {lab.identity(c) for c in repeated}


def test_missing_rows_are_done_into_the_results(tmp_path, monkeypatch, capsys):
    recipe = lab.Recipe(2, checkpoints=1)
    config = lab.Config("lenet-300-100", recipe, dataset="digits")
    plan = {"one": [config], "another": [config]}  # a run of two parts is one
    monkeypatch.setattr(report, "PLANS", {"some": {"desktop": plan}.get})
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["report", "rows"])
    report.main()
    assert len(lab.read_results(tmp_path / "some.csv")) == 1
    assert "some: 1 rows, 0 of them lost" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::sniplab.data.FallbackWarning")
def test_what_is_missing_is_not_done_on_other_data(tmp_path, monkeypatch):
    """Rows of digits are none of the committed report's."""
    config = lab.Config("lenet-300-100", lab.Recipe(2, checkpoints=1))
    monkeypatch.setattr(report, "PLANS", {"some": lambda profile: {"one": [config]}})
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    with pytest.raises(FallbackWarning, match=r"there is no mnist\.npz"):
        report.do_missing_rows(["some"])
    assert not list(tmp_path.glob("*.csv"))


def test_tables_are_measured_into_the_results(tmp_path, monkeypatch, capsys):
    def write(folder):
        (folder / "1_time.csv").write_text("seconds\n1\n")

    monkeypatch.setattr(report, "TABLES", {"1_sweep": write, "2_nets": lambda _: pytest.fail()})
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["report", "tables", "1_sweep"])
    report.main()
    assert (tmp_path / "1_time.csv").exists()
    assert capsys.readouterr().out == "1_sweep: measured\n"


@pytest.mark.parametrize("name", report.TABLES)
def test_tables_are_not_measured_on_digits_that_stand_in(name, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    with pytest.raises(FallbackWarning):
        report.measure_tables([name])
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (["rows", "7_more"], "no 7_more; known: 1_sparsity_sweep, "),
        (["tables", "2_layers"], "no 2_layers; known: 1_sparsity_sweep, "),
        (["quick", "2_layers"], "no 2_layers; known: none"),
    ],
)
def test_an_unknown_name_is_refused(words, known, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["report", *words])
    with pytest.raises(SystemExit):
        report.main()
    assert known in capsys.readouterr().err


def test_a_notebook_that_fails_says_where_and_keeps_what_it_has(tmp_path):
    source = write(tmp_path / "1.ipynb", new_code_cell("print('so far')"), new_code_cell("1 / 0"))
    (tmp_path / "out").mkdir()
    with pytest.raises(
        RuntimeError, match=r"1\.ipynb stopped at In \[3\]: [\s\S]*ZeroDivisionError"
    ):
        report.execute(source, tmp_path / "out", "smoke")
    assert "so far" in (tmp_path / "out" / "1.ipynb").read_text()


def test_every_notebook_has_a_parameters_cell_and_names_no_machine():
    assert report.NOTEBOOKS
    for path in report.NOTEBOOKS:
        cells = nbformat.read(path, 4).cells
        assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells) == 1
        assert not re.search(r"/(home|root|Users|tmp)/", path.read_text()), path.name


def test_every_picture_is_described_in_at_most_300_characters():
    for path in report.NOTEBOOKS:
        for number, cell in enumerate(nbformat.read(path, 4).cells):
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    alt = output.metadata.get("image/png", {}).get("alt", "")
                    assert alt.strip() and len(alt) <= 300, f"{path.name}, cell {number}"
