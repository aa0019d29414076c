"""The architecture of CONTRIBUTING.md: imports go to lower layers, and each heavy library is imported in few places."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The modules of layer 0; they import only modules that come earlier in this list.
LAYER_0 = [
    "tables",
    "cgroups",
    "cpu",
    "files",
    "cache",
    "memory",
    "loading",
    "tensorflow_log",
    "progress",
    "interrupts",
    "names",
    "materials",
    "layers",
    "labels",
    "scores",
    "model_card",
    "calochallenge",
    "spaces",
    "symmetries",
    "samples",
    "momenta",
    "particles",
    "jets",
]
# Packages import only from lower layers, not from other packages of their own layer.
LAYERS = [
    set(LAYER_0),
    {"cluster", "generators", "plots"},
    {"datasets", "simulate", "models"},
    {"training", "validation"},
    {"distributed", "inference"},
    {"search", "scaling", "studies"},
    {"widgets"},
    {"calolab_magics"},
]
# `calolab/__init__.py` imports its parts on access, and the magics on request.
EXEMPT = {"calolab"}

# The only modules and packages that import each heavy library.
ALLOWED = {
    "tensorflow": ("calolab.training.", "calolab.distributed.rank"),
    "keras": ("calolab.models.", "calolab.training.", "calolab.validation.classifiers."),
    "sklearn": ("calolab.validation.classifiers.",),
    "cloudpickle": ("calolab.distributed.shipment",),
    "horovod": ("calolab.distributed.horovod",),
    "ipyparallel": ("calolab.cluster.", "calolab.search.engines"),
    "distributed": ("calolab.distributed.dask",),
    "dask": ("calolab.distributed.dask",),
    "optuna": ("calolab.search.proposals",),
    "h5py": ("calolab.datasets.", "calolab.models.compact", "calolab.models.published"),
    "uproot": ("calolab.datasets.delphes", "calolab.datasets.root", "calolab.datasets.trees"),
    "pyhepmc": ("calolab.datasets.hepmc",),
    "astropy": ("calolab.datasets.maps",),
    "awkward": (
        "calolab.particles",
        "calolab.jets",
        "calolab.datasets.delphes",
        "calolab.datasets.delphes_objects",
        "calolab.datasets.root",
        "calolab.datasets.trees",
        "calolab.simulate.jet_preprocessing",
        "calolab.simulate.pythia_worker",
    ),
    "geant4_pybind": ("calolab.simulate.geant4_worker",),
    "pythia8mc": ("calolab.simulate.pythia_worker",),
    "fastjet": ("calolab.jets",),
    "tqdm": ("calolab.progress", "calolab.interrupts"),
    "matplotlib": ("calolab.plots.",),
    "mplhep": ("calolab.plots.style",),
    "anywidget": ("calolab.widgets.shared.live",),
    "ipywidgets": (),
    "tabulate": ("calolab.tables",),
    "IPython": ("calolab_magics",),
}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(("calolab_magics", *parts[1:]) if parts[0] == "magics" else parts)


FILES = {module_name(path): path for top in ("calolab", "magics") for path in sorted((ROOT / top).rglob("*.py"))}


def imports(path, names=False):
    """Absolute names of all modules that a file imports, wherever in the file.

    Args:
        path: of the file.
        names: whether `from package import name` is given as `package.name`, too, which may be a module.
    """
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from calolab import spaces` imports a module, `from calolab.spaces import Space` a name.
            yield from (f"{base}.{alias.name}" for alias in node.names) if base == "calolab" or names else (base,)
            if names and base != package:
                yield base


def part(module):
    """The package, or module of layer 0, that a module belongs to: `spaces`, `plots`, ..., `calolab_magics`."""
    names = module.split(".")
    return names[0] if names[0] == "calolab_magics" else names[1] if len(names) > 1 else names[0]


def layer(name):
    return next(number for number, members in enumerate(LAYERS) if name in members)


@pytest.mark.parametrize("module", sorted(set(FILES) - EXEMPT))
def test_imports_go_to_lower_layers(module):
    here = part(module)
    for imported in imports(FILES[module]):
        if imported.split(".")[0] not in ("calolab", "calolab_magics") or imported in EXEMPT:
            continue
        there = part(imported)
        if there == here or there == "__version__":
            continue
        if layer(there) == layer(here) == 0:
            assert LAYER_0.index(there) < LAYER_0.index(here), (
                f"{module} imports {imported}: in layer 0 imports follow the order of the list"
            )
        else:
            assert layer(there) < layer(here), f"{module} imports {imported}: imports go to lower layers only"


@pytest.mark.parametrize("module", sorted(FILES))
def test_heavy_libraries_are_imported_where_the_table_says(module):
    for imported in imports(FILES[module]):
        allowed = ALLOWED.get(imported.split(".")[0])
        assert allowed is None or f"{module}.".startswith(allowed) or module.startswith(allowed), (
            f"{module} imports {imported}, which only {' and '.join(allowed) or 'no module'} may import"
        )


def test_the_table_of_heavy_libraries_allows_no_more_than_is_used():
    used = {(imported.split(".")[0], module) for module, path in FILES.items() for imported in imports(path)}
    unused = {
        (library, place)
        for library, places in ALLOWED.items()
        for place in places
        if not any(name == library and f"{module}.".startswith(place) for name, module in used)
    }
    assert unused == set()


PACKAGES = sorted({part(module) for module in FILES if module.count(".") > 1} - EXEMPT)


def levels(package):
    """The level of each module of a package: one above the highest of the modules of that package that it imports."""
    modules = {module for module in FILES if module.startswith(f"calolab.{package}.")}
    needs = {module: set(imports(FILES[module], names=True)) & modules - {module} for module in modules}
    found = {}
    while ready := [module for module in needs if module not in found and needs[module] <= found.keys()]:
        found |= {module: 1 + max((found[one] for one in needs[module]), default=0) for module in ready}
    return found, sorted(modules - found.keys())


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_are_shallow_and_without_cycles(package):
    found, cyclic = levels(package)
    assert cyclic == [], f"these modules import each other, or one that does: {cyclic}"
    deepest = {module: level for module, level in found.items() if level > 8}
    assert found and deepest == {}


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
        ".generators",
        ".models",
        ".training",
        ".datasets",
        ".simulate",
        ".validation",
        ".widgets",
        ".cluster",
        ".distributed",
        ".search",
        ".scaling",
        ".studies",
        ".plots",
    ],
)
def test_importing_is_light(part_name):
    """TensorFlow, Geant4 and Pythia load when a model or an event is made, not when calolab is imported."""
    heavy = (
        "tensorflow",
        "keras",
        "sklearn",
        "geant4_pybind",
        "pythia8mc",
        "uproot",
        "astropy",
        "distributed",
        "dask",
        "optuna",
    )
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
