"""`%search` in a real IPython shell: it takes what the notebook has by name, calls, returns, and says what is wrong."""

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from calolab import cluster, search


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        made = InteractiveShell.instance()
        made.run_line_magic("load_ext", "calolab")
        made.run_cell(
            "import calolab as cl\n"
            "engines = %ipcluster start -n 1 -c 1 --engines local\n"
            "def loss(x):\n"
            "    return (x - 1) ** 2\n"
            "def train(trial):\n"
            "    for epoch in range(trial.epochs):\n"
            "        trial.report(epoch, loss=loss(trial.parameters['x']) + sum(trial.data) / (epoch + 1))\n"
            "space = {'x': cl.search.Real(-3, 3)}\n"
            "events = [1.0, 2.0]\n"
        ).raise_error()
        yield made
        cluster.stop_all()
        InteractiveShell.clear_instance()


@pytest.fixture
def run(shell):
    return lambda line: shell.run_line_magic("search", line)


def test_the_verbs_act_on_the_newest_search_or_on_a_named_one(shell, run, tmp_path, capsys):
    shell.user_ns["first"] = run(
        f"start train space --folder '{tmp_path}/one two' --data events -n 3 --epochs 2 --method random --metric loss "
        "--pruner median --seed 5 --memory 4 --retries 0 --ranks 1 --direction minimize"
    )
    first = shell.user_ns["first"]
    assert isinstance(first, search.Search) and first.wait(60).value < 20
    assert first.trial(0).epochs[1]["loss"] == pytest.approx((first.trial(0).parameters["x"] - 1) ** 2 + 1.5)
    assert run("status") is first and run("list")[-1] is first
    assert len(run("table --top 2").rows) == 2
    second = run(f"start train space --folder {tmp_path}/second --data events --trials 1 --epochs 1 --metric loss")
    second.wait(60)
    assert run("status") is second and run("status --id first") is first and run("list")[-2:] == [first, second]
    assert run("promote 1 --epochs 4 --id first") is first
    assert run("restart 0 --id first") is first
    first.wait(60)
    assert len(first.trial(1).epochs) == 4 and first.trial(0).attempts == 2
    assert run("stop --id first") is first and first.status == "stopped"
    run("stop 0")
    again = run(f"reattach '{tmp_path}/one two'")
    assert again.engines is None and [one.value for one in again.trials] == [one.value for one in first.trials]
    assert run(f"reattach '{tmp_path}/one two' --engines engines").engines is shell.user_ns["engines"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("line", ["", "-h", "start --help"])
def test_help_says_what_there_is(run, line):
    text = run(line)
    wanted = ("--folder", "--ranks") if line.startswith("start") else ("start", "promote", "reattach", "table", "list")
    assert all(word in text for word in wanted)


@pytest.mark.parametrize(
    "line, message",
    [
        ("pronote 3", "no verb 'pronote'. Did you mean `%search promote`"),
        ("promote 3", "--epochs"),
        ("table --top 0", "expected a number above 0, received 0"),
        ("start trian space --folder f", "no variable 'trian'"),
        ("start train space --folder f --engines nobody", "no variable 'nobody'"),
        ("start train events --folder f", "a dictionary from names"),
        ("start train space --folder f --method grid", "Unknown method 'grid'"),
        ("status --id train", "train is not a search, but a function"),
        ("reattach /nowhere", "There is no search in /nowhere"),
        ("stop 'x", "No closing quotation"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(run, line, message):
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        run(line)
