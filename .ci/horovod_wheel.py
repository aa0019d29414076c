"""Build the Horovod wheel for the interpreter that runs this file, and install it: `python .ci/horovod_wheel.py`.

PyPI has only the source of Horovod. The patches in `.ci/horovod/`, each of which begins with its reason, make it
compile with TensorFlow 2.21 and behave as calolab needs. The wheel is kept in the cache of calolab, with a key of
TensorFlow, Python, compiler, MPI, flags and patches. Flags are the environment variables of Horovod, e.g.
`HOROVOD_GPU_OPERATIONS=NCCL`. Only the standard library is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "0.28.1"
BUILD_TOOLS = ["setuptools<80", "wheel", "cffi", "psutil", "pyyaml", "cloudpickle", "packaging"]
CHECK = "import horovod.tensorflow as hvd; hvd.init(); assert hvd.size() == 1 and (hvd.gloo_built() or hvd.mpi_built())"
PATCHES = sorted((Path(__file__).parent / "horovod").glob("*.patch"))


class BuildError(Exception):
    """The wheel cannot be built; the message contains the reason and the remedy."""


class NoCompiler(BuildError):
    """This machine has no C++ compiler or no make."""


def cache_folder() -> Path:
    """The cache for wheels, in CALOLAB_CACHE, otherwise XDG_CACHE_HOME/calolab, otherwise ~/.cache/calolab."""
    if chosen := os.environ.get("CALOLAB_CACHE"):
        return Path(chosen).expanduser() / "horovod"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "calolab" / "horovod"


def first_line(*command: str) -> str:
    """First line of the output of a command, or an empty string if it cannot run."""
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        out = subprocess.run(command, check=True, capture_output=True, text=True)
        return (out.stdout or out.stderr).strip().partition("\n")[0]
    return ""


def flags() -> dict[str, str]:
    """Build flags of Horovod: TensorFlow and Gloo, MPI if the machine has it, and the variables set by the user."""
    mpi = "HOROVOD_WITH_MPI" if shutil.which("mpicxx") else "HOROVOD_WITHOUT_MPI"
    chosen = {"HOROVOD_WITH_TENSORFLOW": "1", "HOROVOD_WITHOUT_PYTORCH": "1", "HOROVOD_WITHOUT_MXNET": "1"}
    chosen |= {"HOROVOD_WITH_GLOO": "1", mpi: "1"}
    build_time = (
        r"HOROVOD_(WITH|WITHOUT|CUDA|NCCL|ROCM|GPU|CPU_OPERATIONS|ALLOW|BUILD|MPICXX|CMAKE|DEBUG|CCL|GLOO_HOME)"
    )
    users = {name: value for name, value in os.environ.items() if re.match(build_time, name) and value}
    for name in users:
        chosen.pop(name.replace("_WITHOUT_", "_WITH_"), None)
        chosen.pop(name.replace("_WITH_", "_WITHOUT_"), None)
    return chosen | users


def compiler() -> str:
    """The C++ compiler.

    Raises:
        NoCompiler: if there is none, or no make.
    """
    named = os.environ.get("CXX", "").split()
    found = next((path for name in [*named[:1], "g++", "c++", "clang++"] if (path := shutil.which(name))), None)
    if found is None or shutil.which("make") is None:
        missing = "C++ compiler" if found is None else "`make`"
        raise NoCompiler(
            f"This machine has no {missing}, so Horovod cannot be built: everything except training on several "
            "engines works. To add it, run `apt install g++ make` (Debian and Ubuntu) and `make -B setup`."
        )
    return found


def key(cxx: str, chosen: dict[str, str]) -> str:
    """The name of a build: the main versions, and a digest of everything that determines whether a wheel fits."""
    mpicxx = shutil.which("mpicxx") if chosen.get("HOROVOD_WITH_MPI") else None
    mpi = (first_line(mpicxx, "--showme:version") or first_line(mpicxx, "-v")) if mpicxx else "no MPI"
    tensorflow = importlib.metadata.version("tensorflow")
    parts = [VERSION, tensorflow, sys.version, platform.machine(), first_line(cxx, "--version"), mpicxx or "", mpi]
    parts += [f"{name}={value}" for name, value in sorted(chosen.items())] + [os.environ.get("CXXFLAGS", "")]
    parts += [patch.read_text() for patch in PATCHES]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    return f"tensorflow{tensorflow}-{sys.implementation.cache_tag}-{'mpi' if mpicxx else 'gloo'}-{digest}"


def installed_from() -> str | None:
    """Source of the installed Horovod: the URL of a file, "" if unknown (conda), None if it is not installed."""
    try:
        origin = importlib.metadata.distribution("horovod").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return None
    return json.loads(origin)["url"] if origin else ""


def run(log, *command: str | os.PathLike, **options) -> None:
    """Run one command of the build with its output in the log; its process group ends with this process.

    Raises:
        BuildError: if it fails.
    """
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **options)
    try:
        if process.wait() != 0:
            raise BuildError(f"`{' '.join(map(str, command))}` failed.")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def build(work: Path, cxx: str, chosen: dict[str, str], log) -> Path:
    """Download, patch, compile and test the wheel in the folder `work`."""
    tools = work / "tools"  # a separate folder, because setuptools < 80 must not replace that of the user
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    cmake = re.search(r"(\d+)\.(\d+)", first_line("cmake", "--version"))
    has_cmake = cmake is not None and (int(cmake[1]), int(cmake[2])) >= (3, 13)
    run(log, *pip, "install", "--target", tools, *BUILD_TOOLS, *([] if has_cmake else ["cmake"]))
    environment = os.environ | chosen
    environment |= {
        "CXX": cxx,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(tools), os.environ.get("PYTHONPATH")])),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "MAKEFLAGS": os.environ.get("MAKEFLAGS") or f"-j{os.cpu_count()}",
        "CMAKE_POLICY_VERSION_MINIMUM": "3.5",  # third-party code in Horovod needs features that CMake 4 has removed
        "TMPDIR": str(work),
    }
    if not has_cmake:
        environment["PATH"] = os.pathsep.join([str(tools / "bin"), environment["PATH"]])
    download = ["download", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--dest", work]
    run(log, *pip, *download, f"horovod=={VERSION}", env=environment)
    with tarfile.open(work / f"horovod-{VERSION}.tar.gz") as archive:
        archive.extractall(work, filter="data")
    source = work / f"horovod-{VERSION}"
    for patch in PATCHES:
        apply(patch, source)
    run(log, *pip, "wheel", "--no-deps", "--no-build-isolation", "-v", "-w", work / "wheel", source, env=environment)
    (wheel,) = (work / "wheel").glob("horovod-*.whl")
    run(log, *pip, "install", "--no-deps", "--target", work / "trial", wheel)
    trial = {"PYTHONPATH": os.pathsep.join([str(work / "trial"), str(tools)]), "CUDA_VISIBLE_DEVICES": ""}
    run(log, sys.executable, "-c", CHECK, env=os.environ | trial, cwd=work)
    return wheel


def apply(patch: Path, source: Path) -> None:
    """Apply a unified diff to Horovod's unpacked source, without any tolerance: `patch -p1` is not on every machine.

    Raises:
        BuildError: if the source is not the one that the patch was made for.
    """
    # The text before the first "--- a/" gives the reason.
    for section in re.split(r"^--- a/", patch.read_text(), flags=re.MULTILINE)[1:]:
        name = section.partition("\n")[0].strip()
        lines = (source / name).read_text().splitlines(keepends=True)
        for hunk in re.split(r"^@@ -\d+(?:,\d+)? ", section, flags=re.MULTILINE)[1:]:
            head, *body = hunk.splitlines(keepends=True)
            start = int(re.match(r"\+(\d+)", head)[1]) - 1  # hunks before it have been applied
            before = [line[1:] for line in body if line[0] in " -"]
            if lines[start : start + len(before)] != before:
                raise BuildError(f"Horovod's source is not as expected: {patch.name} does not fit {name}:{start + 1}.")
            lines[start : start + len(before)] = [line[1:] for line in body if line[0] in " +"]
        (source / name).write_text("".join(lines))


def cached_wheel() -> Path:
    """The wheel for this environment from the cache; it is built if missing.

    Raises:
        BuildError: if it cannot be built, with the path of the log.
    """
    chosen = flags()
    cxx = compiler()
    folder = cache_folder() / key(cxx, chosen)
    if found := sorted(folder.glob("horovod-*.whl")):
        return found[0]
    log_file = folder.with_name(f"{folder.name}.log")
    print(f"Building Horovod {VERSION} ({folder.name}): this takes a few minutes, only once.", flush=True)
    with tempfile.TemporaryDirectory(prefix="calolab-horovod-") as name:
        work = Path(name)
        try:
            with open(work / "build.log", "w") as log:
                wheel = build(work, cxx, chosen, log)
        except BuildError as error:
            kept = keep(work / "build.log", log_file)
            telling = [line for line in kept.read_text(errors="replace").splitlines() if "error" in line.lower()]
            raise BuildError("\n".join([f"Horovod could not be built, see {kept}: {error}", *telling[:8]])) from None
        log_file.unlink(missing_ok=True)
        return keep(wheel, folder / wheel.name)


def keep(file: Path, target: Path) -> Path:
    """Copy a file into the cache under a temporary name, then rename it, so that it is complete under its own name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        shutil.copyfile(file, partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def install() -> None:
    """Install Horovod in this environment, unless the right build is already installed."""
    present = installed_from()
    if present is not None and not re.search(r"/horovod/tensorflow[^/]+/horovod-[^/]+\.whl$", present):
        print("Horovod from another source (conda?) is already installed and is not changed.")
        return
    try:
        wheel = cached_wheel()
    except NoCompiler:
        if present is None:
            raise
        return  # the installed one was built when there was a compiler
    if present is not None and present.endswith(f"/{wheel.parent.name}/{wheel.name}"):
        return
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if present is not None:
        pip += ["--force-reinstall"]
    subprocess.run([*pip, str(wheel)], check=True)
    print(f"Horovod {VERSION} installed from {wheel}")


if __name__ == "__main__":
    # SIGTERM must clean up like Ctrl-C, through the `with` blocks above.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        install()
    except NoCompiler as error:
        print(f"warning: {error}", file=sys.stderr)
    except (BuildError, importlib.metadata.PackageNotFoundError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("Interrupted: nothing was kept.")
