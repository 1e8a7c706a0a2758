"""The house: what the core imports, which room imports which, and the wheel built from both."""

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import sniplab as lab

ROOT = Path(__file__).resolve().parent.parent

ROOMS = (  # in the order of their arrows; the sections stand side by side after them
    "snipcore",
    "sniplab.data",
    "sniplab.pruners",
    "sniplab.controls",
    "sniplab.methods",
    "sniplab.connectivity",
    "sniplab.capture",
    "sniplab.checkpoint",
    "sniplab.recipe",
    "sniplab.batches",
    "sniplab.training",
    "sniplab.sparse",
    "sniplab.engines",
    "sniplab.trial",
    "sniplab.runs.config",
    "sniplab.runs.store",
    "sniplab.runs.machine",
    "sniplab.runs.worker",
    "sniplab.runs.bar",
    "sniplab.runs.grid",
    "sniplab.stats",
    "sniplab.show",
    "sniplab.verdicts",
)
AFTER = (  # the sections, in the same order
    *("sniplab.explorer", "sniplab.notebook", "sniplab.prose"),
    *("sniplab.page_tables", "sniplab.page", "sniplab.report"),
    "sniplab.gpu",
)
SECTIONS = sorted(
    f"sniplab.sections.{path.stem}"
    for path in (ROOT / "sniplab" / "sections").glob("*.py")
    if path.stem != "__init__"
)
READERS = [room for room in SECTIONS if room.startswith("sniplab.sections.conclusion")]

HEAVY = {
    *("pandas", "matplotlib", "seaborn", "scipy", "joblib", "filelock", "tqdm", "torchvision"),
    *("sniplab", "mlxtend", "papermill", "nbconvert", "IPython", "dask", "accelerate"),
}


def fresh(code: str, folder: Path) -> str:
    """What a Python process of its own prints, started in `folder`."""
    how = {"cwd": folder, "capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run([sys.executable, "-I", "-c", code], **how)
    assert done.returncode == 0, done.stderr
    return done.stdout


def source(room: str) -> Path:
    return ROOT / f"{room.replace('.', '/')}.py"


def imported(statement: ast.stmt) -> list[str]:
    """The full names of the modules that an import statement may bring in."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        assert statement.level == 0, "imports are written in full"
        return [statement.module, *(f"{statement.module}.{a.name}" for a in statement.names)]
    return []


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """The libraries that a fresh Python has besides NumPy and PyTorch, step by step: a set after
    each. In one process, since PyTorch alone takes seconds."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copy(source("snipcore"), folder)
    code = f"""if True:
        import sys, numpy, torch
        before = set(sys.modules)  # PyTorch may bring one of them itself
        def say():
            print(*{{name.partition(".")[0] for name in set(sys.modules) - before}})
        sys.path.insert(0, {str(folder)!r})
        import snipcore
        say()
        sys.path.insert(0, {str(ROOT)!r})
        import sniplab as lab
        say()
        lab.load_data, lab.draw_batch, lab.METHODS, lab.make_masks, lab.data
        say()
        lab.summarize
        say()"""
    steps = ("snipcore", "sniplab", "data and methods", "statistics")
    return dict(zip(steps, map(set, map(str.split, fresh(code, folder).splitlines())), strict=True))


def test_the_core_brings_nothing_but_pytorch_and_numpy(brought):
    assert not brought["snipcore"] & HEAVY
    outside = {n.split(".")[0] for s in ast.parse(source("snipcore").read_text()).body
               for n in imported(s)} - set(sys.stdlib_module_names)  # fmt: skip
    assert outside == {"numpy", "torch"}


def test_the_laboratory_brings_a_library_when_a_name_that_needs_it_is_asked_for(brought):
    for step in ("sniplab", "data and methods"):
        assert not brought[step] & HEAVY - {"sniplab"}
    assert {"pandas", "scipy"} <= brought["statistics"]


def test_every_name_of_the_laboratory_is_listed_and_there():
    assert {"load_data", "run_grid", "PROFILES", "t_interval"} <= set(dir(lab))
    for name in dir(lab):
        getattr(lab, name)
    assert lab.training.train is lab.train
    with pytest.raises(AttributeError, match="no attribute 'laod_data'"):
        lab.laod_data  # noqa: B018
    with pytest.raises(ImportError, match="laod_data"):
        exec("from sniplab import laod_data")


def test_every_room_is_known():
    found = {path.relative_to(ROOT).with_suffix("") for path in (ROOT / "sniplab").rglob("*.py")}
    names = {".".join(path.parts) for path in found if path.stem != "__init__"}
    assert names == {*ROOMS[1:], *SECTIONS, *AFTER}


@pytest.mark.parametrize("room", [*ROOMS, *SECTIONS, *AFTER])
def test_a_room_imports_only_rooms_before_it_and_at_its_top(room):
    tree = ast.parse(source(room).read_text())
    top = {id(statement) for statement in tree.body}
    order = [*ROOMS, "sections", *AFTER]
    place = order.index(room if room in order else "sections")
    later = {room, *order[place:]} | (set(SECTIONS) if room in ROOMS else set())
    later |= {name.rpartition(".")[0] for name in later - {room}}  # a package brings its rooms
    for statement in ast.walk(tree):
        for name in imported(statement):
            if name.split(".")[0] in ("snipcore", "sniplab"):
                assert id(statement) in top, f"{name} is imported inside of {room}"
                assert name != "sniplab", f"{room} imports the whole house"
                assert name not in later, f"{room} imports {name}, which comes after it"


@pytest.mark.parametrize("room", SECTIONS)
def test_a_section_reads_no_other(room):
    """Its own files begin with its name; the conclusion reads all."""
    tree = ast.parse(source(room).read_text())
    names = {name for statement in ast.walk(tree) for name in imported(statement)}
    others = {name for name in names & set(SECTIONS) if room not in READERS}
    own = [one for one in SECTIONS if room.startswith(one)]  # "…random_labels", of its figures, too
    assert all(name.startswith(tuple(own)) for name in others), others
    assert room in READERS or not names & set(READERS)


FILLERS = {"found", "how", "look", "made", "said", "some", "there", "told", "what", "which", "why"}


@pytest.mark.parametrize("room", [*ROOMS, *SECTIONS, *AFTER])
def test_names_are_nouns(room):
    nodes = list(ast.walk(ast.parse(source(room).read_text())))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    assert not FILLERS & (names | {node.arg for node in nodes if isinstance(node, ast.arg)})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("snipcore.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "sniplab", folder / "sniplab", ignore=ignore)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "."]
    done = subprocess.run(build, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (folder / "dist").glob("*.whl")
    return path


def test_a_wheel_holds_both_and_asks_for_pytorch_and_numpy_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (name for name in names if name.endswith("METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    rooms = {str(path.relative_to(ROOT)) for path in (ROOT / "sniplab").rglob("*.py")}
    assert {n for n in names if n.endswith(".py")} == rooms | {"snipcore.py"}
    needed = [line for line in lines if line.startswith("Requires-Dist") and "extra ==" not in line]
    assert [line.split()[1].rstrip(">=.0123456789") for line in needed] == ["torch", "numpy"]


@pytest.mark.slow
def test_an_installed_wheel_prunes_a_network(wheel, tmp_path):
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target]
    subprocess.run([*install, wheel], check=True, capture_output=True, timeout=300)
    code = f"""if True:
        import sys
        sys.path.insert(0, {str(target)!r})
        import torch, snipcore as snip
        from torch.nn.functional import cross_entropy
        assert snip.__file__.startswith({str(target)!r}), snip.__file__
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
        x, y = torch.randn(30, 8), torch.arange(30) % 3
        masks = snip.keep_top(snip.sensitivity(model, x, y), sparsity=0.5)
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        assert snip.collapsed(model, masks, x) == []
        snip.hold(optimizer, model, masks)
        for _ in range(3):
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()
        print(sum(int(weight.count_nonzero()) for weight in model.parameters()))"""
    assert int(fresh(code, tmp_path)) <= round(195 / 2)
