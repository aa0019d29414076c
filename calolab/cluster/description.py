"""The file `cluster-<name>.json` that describes a cluster, in the `security` folder of the IPython profile."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path

import ipyparallel
from traitlets import Dict, Float, Integer, List, Unicode

from calolab.files import complete

OWNER = "CALOLAB_OWNER"  # environment variable by which a program recognises the clusters of its kernels
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")  # files and jobs contain it; it must not look like an option
# Entries of a valid file, and their types.
NEEDED = {"cluster_id": str, "profile_dir": str, "controller_ip": str, "launcher": str, "host": str}
NEEDED |= {"n": int, "cores": int, "idle": (int, float), "watchdog": int}


class Unreadable(RuntimeError):
    """A cluster's file that does not describe a cluster."""


class EngineCluster(ipyparallel.Cluster):
    """ipyparallel's cluster, whose file also records how calolab started it."""

    launcher = Unicode("local").tag(to_dict=True)
    cores = Integer(1).tag(to_dict=True)
    idle = Float(30.0).tag(to_dict=True)
    host = Unicode("").tag(to_dict=True)
    watchdog = Integer(0).tag(to_dict=True)
    helpers = List(Integer()).tag(to_dict=True)
    request = Dict().tag(to_dict=True)
    hosts = List(Unicode()).tag(to_dict=True)
    owner = Unicode("").tag(to_dict=True)
    scratch = Unicode("").tag(to_dict=True)
    launched = Integer(0).tag(to_dict=True)  # engines so far, so that MPI's engines never have the id of an earlier one

    starting = False  # set while the controller is started

    def update_cluster_file(self):
        """Write the file, also of a cluster without controller and engines, but never restore one that was removed.

        Stopping the cluster removes it. Other programs, such as JupyterLab's server, follow the cluster too.
        """
        if self.starting or Path(self.cluster_file).exists():
            self.write_cluster_file()

    def write_cluster_file(self):
        """Write the file, readable by its owner only, completely or not at all."""
        path = Path(self.cluster_file)
        path.parent.mkdir(parents=True, exist_ok=True)
        with complete(path) as partial:
            partial.touch(mode=0o600)
            partial.write_text(json.dumps(self.to_dict()))


def path_of(name: str) -> Path:
    """The file that describes a cluster of this name.

    Raises:
        ValueError: if the name is longer than 64 characters, begins with "-" or has characters other than letters,
            digits, "-" and "_".
    """
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        shown = name if len(str(name)) <= 80 else f"{str(name)[:60]}... of {len(name)} characters"
        raise ValueError(
            "A cluster's name has at most 64 characters, letters, digits, '-' and '_' only, and does not begin with "
            f"'-'; received {shown!r}."
        )
    return Path(EngineCluster(cluster_id=name, parent=None, load_profile=False).cluster_file)


def name_of(path: Path) -> str:
    """The name of the cluster that a file describes."""
    return path.stem.removeprefix("cluster-")


def is_elsewhere(content: dict) -> bool:
    """Whether a cluster runs on another machine."""
    return content["cluster"]["host"] != socket.gethostname()


def files() -> list[Path]:
    """The files of all clusters in this profile, including those of other programs and damaged ones."""
    return sorted(path_of("any").parent.glob("cluster-*.json"))


def content_of(path: Path) -> dict | None:
    """The content of a cluster's file; None if there is no such file.

    Raises:
        Unreadable: if it does not describe a cluster that calolab has started.
    """
    for last in (*[False] * 19, True):
        try:
            content = json.loads(path.read_text())
            break
        except FileNotFoundError:
            return None
        except json.JSONDecodeError as error:
            if last:
                raise _unreadable(path, f"no JSON ({error})") from None
            time.sleep(0.05)  # another program is writing it
        except (OSError, ValueError, RecursionError) as error:
            raise _unreadable(path, str(error)) from None
    if not isinstance(content, dict) or not isinstance(cluster := content.get("cluster"), dict):
        raise _unreadable(path, f"a JSON {type(content).__name__} without the entry 'cluster'")
    if "launcher" not in cluster:
        raise Unreadable(f"{path} describes a cluster that calolab did not start: choose another name.")
    for name, kind in NEEDED.items():
        if not isinstance(cluster.get(name), kind) or isinstance(cluster.get(name), bool):
            raise _unreadable(path, f"{name!r} is {cluster.get(name, 'missing')!r}")
    if not _describes_processes(content):
        raise _unreadable(path, "its 'controller' or 'engines' differ from what ipyparallel writes")
    return content


def is_foreign(path: Path) -> bool:
    """Whether a file describes a cluster that ipyparallel itself has started."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return False
    return (
        isinstance(content, dict) and isinstance(content.get("cluster"), dict) and "launcher" not in content["cluster"]
    )


def _describes_processes(content: dict) -> bool:
    try:
        content.get("controller", {}).get("state", {}).get("pid")
        for engines in content["engines"]["sets"].values():
            engines.get("pid"), engines.get("job_id")
            for engine in engines.get("engines", {}).values():
                engine["pid"]
    except (KeyError, TypeError, AttributeError):
        return False
    return True


def _unreadable(path: Path, wrong: str) -> Unreadable:
    return Unreadable(
        f"{path} does not describe a cluster: {wrong}. Remove this file, and end any remaining processes of "
        "the cluster by hand (`ps aux | grep ipyparallel`)."
    )
