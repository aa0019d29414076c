"""`%ipcluster` in a real IPython shell: it parses lines, calls functions, returns values, and reports mistakes."""

import os
import re
import shutil
from pathlib import Path

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from calolab import cluster
from calolab_magics.ipcluster import parser
from calolab_magics.verbs import read


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        made = InteractiveShell.instance()
        made.run_line_magic("load_ext", "calolab")
        yield made
        cluster.stop_all()
        InteractiveShell.clear_instance()


def test_the_verbs_call_one_function_and_return_its_value(shell, capsys):
    run = lambda line: shell.run_line_magic("ipcluster", line)  # noqa: E731
    assert "No cluster 'lab' is running" in run("stop --id lab")
    engines = run("start -n 1 -c 1 --id lab --idle 5 --engines local")
    assert isinstance(engines, cluster.Engines) and len(engines) == 1
    assert engines.client[:].apply_sync(lambda: __import__("os").environ["OMP_NUM_THREADS"]) == ["1"]
    loading = engines.client[0].execute("import tensorflow")
    loading.get(timeout=60)
    assert loading.stdout == loading.stderr == ""  # what TensorFlow prints there is in a log
    assert "already running" in run("start --id lab").note
    with pytest.raises(UsageError, match="already runs with 1 engines"):
        run("start --id lab -n 2")
    assert run("status --id lab").state == "running"
    assert [found.name for found in run("list")] == ["lab"]
    assert "IPEngine" in run("logs --id lab --lines 50")
    assert run("restart --id lab").ids == (1,)
    assert run("scale 2 --id lab").size == 2 and run("reattach --id lab").ids == (1, 2)
    assert "Stopped cluster 'lab'" in run("stop --all")
    assert run("stop --all") == "No cluster is running."
    assert capsys.readouterr().out == ""


def test_every_word_of_start_reaches_the_function(shell, monkeypatch):
    """The grammar of an HPC centre's own `%ipcluster`, as far as it goes."""
    asked = {}
    monkeypatch.setattr(cluster, "start", lambda **options: asked.update(options))
    words = "-n 32 --engines slurm -N 8 -c 4 -q interactive -A m1 -t 30:00 -C gpu --option=--gres=gpu:1 --option=--mail"
    shell.run_line_magic("ipcluster", f"start {words} -m gcc/12 --module openmpi --conda physics --hosts a,b")
    assert asked == {
        "name": "calolab",
        "n": 32,
        "engines": "slurm",
        "nodes": 8,
        "cores": 4,
        "queue": "interactive",
        "account": "m1",
        "time": "30:00",
        "constraint": "gpu",
        "options": ["--gres=gpu:1", "--mail"],
        "modules": ["gcc/12", "openmpi"],
        "conda": "physics",
        "hosts": ("a", "b"),
    }


def test_engines_by_slurm(shell):
    if shutil.which("sbatch") is None:
        pytest.skip("Slurm is not installed: .ci/slurm start")
    try:
        engines = shell.run_line_magic(
            "ipcluster", "start -n 2 --engines slurm -q interactive -t 30:00 --timeout 60 --id batch"
        )
        assert engines.client[:].apply_sync(lambda: __import__("os").environ["SLURM_NTASKS"]) == ["2", "2"]
        assert "job" in repr(shell.run_line_magic("ipcluster", "status --id batch"))
    finally:
        shell.run_line_magic("ipcluster", "stop --id batch")


def test_the_notebook_shows_texts_without_quotes(shell):
    shown = shell.display_formatter.format(shell.run_line_magic("ipcluster", "stop --id lab"))[0]["text/plain"]
    assert shown.startswith("No cluster 'lab' is running")


@pytest.mark.parametrize("line", ["", "-h", "--help"])
def test_help_lists_the_verbs(shell, line):
    text = shell.run_line_magic("ipcluster", line)
    assert all(verb in text for verb in ("start", "status", "list", "logs", "scale", "restart", "reattach", "stop"))


def test_each_verb_has_its_help(shell):
    assert "--engines" in shell.run_line_magic("ipcluster", "start -h")
    assert "--all" in shell.run_line_magic("ipcluster", "stop --help")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("strat -n 2", "Did you mean `%ipcluster start`"),
        ("xyzzy", "has no verb 'xyzzy'. Verbs: start"),
        ("start -n two", "invalid int value: 'two'"),
        ("start -n 0", "expected a number above 0"),
        ("start --engines locl", r"'locl'. Nearest: local"),
        ("start --what", "unrecognized arguments: --what"),
        ("start -n 32 --engines slurm -q interactive -t soon", "time expects minutes"),
        ("start -n 2 -q interactive", "queue: only for engines='slurm'"),
        ("start -n 2 --engines ssh", "hosts and engines='ssh' go together"),
        ("scale 0", "expected a number above 0"),
        ("scale 2 --id nowhere", "No cluster 'nowhere' is running"),
        ("reattach --id nowhere", "No cluster 'nowhere' is running"),
        ("status --id ../x", "letters, digits"),
    ],
)
def test_mistakes_are_usage_errors(shell, line, message):
    with pytest.raises(UsageError, match=message):
        shell.run_line_magic("ipcluster", line)


def test_a_comment_after_the_options_is_ignored_as_in_readme():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (line,) = re.findall(r"= %ipcluster (start .*)", readme)
    assert "#" in line
    options = read(line, parser())
    assert (options["n"], options["engines"]) == (4, None)


def test_the_magics_are_installed_under_their_own_name():
    import calolab_magics

    assert os.path.basename(os.path.dirname(calolab_magics.__file__)) == "magics"


def test_a_name_that_looks_like_an_option_is_refused(shell):
    for line in ("start -n 1 --id=-n", "status --id=--all", f"start --id {'n' * 300}"):
        with pytest.raises(UsageError, match="A cluster's name has at most 64 characters.*does not begin with '-'"):
            shell.run_line_magic("ipcluster", line)
    with pytest.raises(UsageError, match="--chdir is refused"):
        shell.run_line_magic("ipcluster", "start --engines slurm --option=--chdir=/tmp")
