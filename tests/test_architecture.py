"""The house of CONTRIBUTING.md, held by tests: imports point one way, and each heavy library has one door."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Within row 0 imports follow the order of this list, as in spaces <- samples <- particles <- jets.
NOUNS = [
    "cgroups",
    "cpu",
    "files",
    "cache",
    "memory",
    "tensorflow_log",
    "progress",
    "interrupts",
    "names",
    "spaces",
    "samples",
    "particles",
    "jets",
]
# Import only from lower rows; siblings of a row do not know each other.
ROWS = [
    set(NOUNS),
    {"cluster", "plots"},
    {"datasets", "simulate", "models"},
    {"training", "validation"},
    {"distributed", "inference"},
    {"search", "scaling", "studies"},
    {"widgets"},
    {"calolab_magics"},
]
# `calolab/__init__.py` exports lazily and loads the magics on request.
FREE = {"calolab"}

DOORS = {
    "tensorflow": ("calolab.training.", "calolab.inference.", "calolab.distributed.rank"),
    "keras": ("calolab.models.", "calolab.training.", "calolab.inference.", "calolab.distributed.rank"),
    "cloudpickle": ("calolab.distributed.shipment",),
    "horovod": ("calolab.distributed.horovod",),
    "ipyparallel": ("calolab.cluster.", "calolab.distributed.", "calolab.search.", "calolab.scaling."),
    "distributed": ("calolab.distributed.dask",),
    "dask": ("calolab.distributed.dask",),
    "optuna": ("calolab.search.proposals",),
    "h5py": ("calolab.datasets.",),
    "uproot": ("calolab.datasets.",),
    "astropy": ("calolab.datasets.",),
    "awkward": ("calolab.particles", "calolab.jets", "calolab.datasets.", "calolab.simulate."),
    "geant4_pybind": ("calolab.simulate.geant4_worker",),
    "pythia8mc": ("calolab.simulate.pythia",),
    "fastjet": ("calolab.jets",),
    "tqdm": ("calolab.progress", "calolab.interrupts"),
    "matplotlib": ("calolab.plots.",),
    "mplhep": ("calolab.plots.",),
    "anywidget": ("calolab.widgets.",),
    "ipywidgets": ("calolab.widgets.",),
    "IPython": ("calolab_magics",),
}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(("calolab_magics", *parts[1:]) if parts[0] == "magics" else parts)


FILES = {module_name(path): path for top in ("calolab", "magics") for path in sorted((ROOT / top).rglob("*.py"))}


def imports(path):
    """Absolute names of all modules that a file imports, wherever the import stands in it."""
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from calolab import spaces` imports a module, `from calolab.spaces import Space` a name.
            yield from (f"{base}.{alias.name}" for alias in node.names) if base == "calolab" else (base,)


def part(module):
    """The part of the house that a module belongs to: `spaces`, `plots`, ..., `calolab_magics`."""
    names = module.split(".")
    return names[0] if names[0] == "calolab_magics" else names[1] if len(names) > 1 else names[0]


def row(name):
    return next(number for number, members in enumerate(ROWS) if name in members)


@pytest.mark.parametrize("module", sorted(set(FILES) - FREE))
def test_imports_point_one_way(module):
    here = part(module)
    for imported in imports(FILES[module]):
        if imported.split(".")[0] not in ("calolab", "calolab_magics") or imported in FREE:
            continue
        there = part(imported)
        if there == here or there == "__version__":
            continue
        if row(there) == row(here) == 0:
            assert NOUNS.index(there) < NOUNS.index(here), f"{module} imports {imported}: against the arrows of row 0"
        else:
            assert row(there) < row(here), f"{module} imports {imported}: imports point to lower rows only"


@pytest.mark.parametrize("module", sorted(FILES))
def test_heavy_libraries_have_one_door(module):
    for imported in imports(FILES[module]):
        doors = DOORS.get(imported.split(".")[0])
        assert doors is None or f"{module}.".startswith(doors) or module.startswith(doors), (
            f"{module} imports {imported}, whose door is {' or '.join(doors)}"
        )


def test_nothing_imports_the_magics_by_their_folder_name():
    """`import magics` from the root of the project would load a second copy of calolab_magics."""
    everywhere = [*FILES.values(), *sorted((ROOT / "tests").rglob("*.py"))]
    for path in everywhere:
        tree = ast.parse(path.read_text())
        named = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        named += [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level]
        assert "magics" not in [name.split(".")[0] for name in named], path


@pytest.mark.parametrize(
    "part_name",
    [
        "",
        ".training",
        ".datasets",
        ".simulate",
        ".validation",
        ".widgets",
        ".cluster",
        ".distributed",
        ".search",
        ".scaling",
        ".plots",
    ],
)
def test_importing_is_light(part_name):
    """TensorFlow, Geant4 and Pythia load when a model or an event is made, not when calolab is imported."""
    heavy = ("tensorflow", "keras", "geant4_pybind", "pythia8mc", "uproot", "astropy", "distributed", "dask", "optuna")
    code = f"import sys, calolab{part_name}; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_import_calolab_loads_no_library_but_the_standard_one():
    code = (
        "import sys, calolab; print([m for m in ('numpy', 'matplotlib', 'IPython', 'ipyparallel') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_modules_stay_short():
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES.values()}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}


def test_no_module_is_called_by_a_word_that_says_nothing():
    assert {path.stem for path in FILES.values()} & {"utils", "util", "common", "helpers", "base", "misc"} == set()
