"""environment.yml (conda-forge) and pyproject.toml (PyPI) must list the same packages."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
# Packages with different names in conda-forge and PyPI.
CONDA_NAMES = {"matplotlib": "matplotlib-base"}
# Packages that only one of them needs, with the reason.
CONDA_ONLY = {
    "python": "the interpreter itself",
    "pip": "installs the pip section and the project",
    "setuptools": "builds the project",
    "horovod": "PyPI has its source only; `make` builds the wheel",
    "openmpi": "conda-forge's Horovod has MPI and no Gloo",
    "mpi4py": "likewise",
    "voila": "an extra in pyproject.toml",
    "latex2mathml": "likewise; HTML pages need it",
}


def name_and_bounds(requirement):
    """`("keras", {">=3.15", "<4"})` from both notations."""
    name, bounds = re.fullmatch(r"\s*([A-Za-z0-9_.-]+)(?:\[[^]]*\])?\s*(.*)", requirement).groups()
    return name.lower(), {bound.strip().replace(" ", "") for bound in bounds.split(",") if bound.strip()}


def each_once(requirements):
    """The bounds of packages by name; fails if one is listed twice."""
    listed = [name_and_bounds(entry) for entry in requirements]
    names = [name for name, _ in listed]
    assert sorted(set(names)) == sorted(names), f"listed twice: {sorted({n for n in names if names.count(n) > 1})}"
    return dict(listed)


def conda_requirements():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip_section = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    return each_once(entry for entry in entries if isinstance(entry, str)), each_once(pip_section)


def pip_requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = project["dependencies"] + project["optional-dependencies"]["geant4"]
    return each_once(listed)


def test_both_lists_name_the_same_packages_with_the_same_bounds():
    conda, conda_pip = conda_requirements()
    together = conda | conda_pip
    for name, bounds in pip_requirements().items():
        conda_name = CONDA_NAMES.get(name, name)
        assert conda_name in together, f"{name} of pyproject.toml is missing in environment.yml"
        assert together[conda_name] == bounds, (
            f"{name}: {bounds} in pyproject.toml, {together[conda_name]} in environment"
        )
    known = {CONDA_NAMES.get(name, name) for name in pip_requirements()} | set(CONDA_ONLY)
    assert set(together) == known


def test_ipykernel_is_new_enough_for_widgets_beside_a_running_cell():
    """7.0 freezes TrainingMonitor; with 7.1 to 7.3 a slider moved while a cell draws takes that cell's figure away."""
    assert pip_requirements()["ipykernel"] == {">=7.4"}


def test_only_what_conda_forge_lacks_comes_by_pip():
    assert set(conda_requirements()[1]) == {"pythia8mc", "geant4_pybind", "xpecgen", "xraydb"}


def test_binder_uses_the_same_environment():
    link = ROOT / "binder" / "environment.yml"
    assert link.is_symlink()
    assert link.resolve() == (ROOT / "environment.yml").resolve()
    assert "pip install" in (ROOT / "binder" / "postBuild").read_text()


def test_packages_of_the_project_are_all_listed():
    """setuptools needs the packages by name, so new folders must be added."""
    configured = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("calolab", "magics")
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert {name.replace("calolab_magics", "magics") for name in configured} == folders


def test_every_file_of_the_packages_that_is_not_python_is_in_the_wheel():
    """setuptools leaves out what no pattern of package-data matches: JavaScript, style sheets, templates, weights."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    included = {
        path
        for package, globs in patterns.items()
        for glob in globs
        for path in ROOT.joinpath(*package.replace("calolab_magics", "magics").split(".")).glob(glob)
    }
    ignored = {".py", ".pyc", ".ts"}  # TypeScript declarations are for the checks of the JavaScript only
    files = {path for top in ("calolab", "magics") for path in (ROOT / top).rglob("*") if path.is_file()}
    missing = {str(path.relative_to(ROOT)) for path in files - included if path.suffix not in ignored}
    assert missing == set()
