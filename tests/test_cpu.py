import os
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

from calolab import cgroups, cpu

AVX2 = ("AVX2",)
AVX512 = ("AVX2", "AVX-512", "AVX-512 VNNI", "AVX-512 BF16")


@pytest.fixture
def machine(monkeypatch):
    """A CPU with these features, without the variables that `prepare` sets."""

    def make(features):
        monkeypatch.setattr(cpu, "features", lambda: features)
        monkeypatch.setattr(cpu, "_loaded_before", False)
        for name in ("tensorflow", "tensorflow.python.util._pywrap_util_port"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        for name in (cpu.ONEDNN, cpu.MARK, cpu.LIMIT, *cpu.THREAD_VARIABLES):
            monkeypatch.setenv(name, "")  # so that changes by `prepare` are undone
            monkeypatch.delenv(name, raising=False)

    return make


@pytest.mark.parametrize("features", [AVX2, AVX512])
def test_onednn_is_switched_on_with_avx2(machine, features):
    machine(features)
    cpu.prepare()
    assert os.environ[cpu.ONEDNN] == "1"


@pytest.mark.parametrize("features", [(), ("NEON", "SVE")])
def test_tensorflow_decides_where_the_gain_is_not_known(machine, features):
    machine(features)
    cpu.prepare()
    assert cpu.ONEDNN not in os.environ


def test_the_choice_for_one_cpu_is_not_forced_on_another(machine, monkeypatch):
    """An engine may inherit variables of the client or be started with `environment`; it decides for its own CPU."""
    machine(AVX2)
    cpu.prepare()
    assert cpu.ONEDNN not in cpu.environment(2)
    monkeypatch.setattr(cpu, "features", lambda: ("NEON",))
    cpu.prepare()
    assert cpu.ONEDNN not in os.environ and cpu.MARK not in os.environ
    monkeypatch.setenv(cpu.ONEDNN, "1")
    assert cpu.environment(2)[cpu.ONEDNN] == "1"
    cpu.prepare()
    assert os.environ[cpu.ONEDNN] == "1" and "set by the user" in cpu.report().onednn


def test_the_users_choice_stays(machine, monkeypatch):
    machine(AVX2)
    monkeypatch.setenv(cpu.ONEDNN, "0")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    cpu.prepare()
    assert cpu.environment()[cpu.ONEDNN] == "0"
    found = cpu.report()
    assert found.onednn == "off (set by the user: TF_ENABLE_ONEDNN_OPTS=0)" and found.threads == 3


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"proc": "0::/\n", "cpu.max": "150000 100000\n"}, 1.5),
        ({"proc": "0::/a/b\n", "a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, 2.0),
        ({"proc": "0::/gone\n", "cpu.max": "max 100000\n"}, None),
        ({"proc": "4:cpu,cpuacct:/a\n", "cpu/a/cpu.cfs_quota_us": "50000", "cpu/a/cpu.cfs_period_us": "100000"}, 0.5),
        ({"proc": "4:cpu:/\n3:memory:/\n", "cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"proc": "0::/../job\n", "cpu.max": "150000 100000\n", "job/cpu.max": "50000 100000\n"}, 1.5),
        ({}, None),
    ],
    ids=[
        "container",
        "group above",
        "no limit",
        "version 1",
        "version 1 without limit",
        "outside the namespace",
        "no control groups",
    ],
)
def test_the_limit_of_a_container_is_seen(tmp_path, files, limit):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert cpu._container_limit(cgroups.groups("cpu", tmp_path, tmp_path / "proc")) == limit


def test_threads_follow_the_limit_of_a_container(machine, monkeypatch):
    machine(AVX2)
    monkeypatch.setattr(cpu, "_schedulable", lambda: 64)
    monkeypatch.setattr(cpu, "_container_limit", lambda groups: 1.5)
    assert cpu.cores() == 2
    assert {cpu.environment()[name] for name in cpu.THREAD_VARIABLES} == {"2"}
    monkeypatch.setattr(cpu, "_container_limit", lambda groups: None)
    assert cpu.cores() == 64
    assert not set(cpu.THREAD_VARIABLES) & set(cpu.environment())
    assert cpu.environment(4)["OMP_NUM_THREADS"] == "4"


def test_a_report_is_one_frozen_line_and_a_table():
    found = cpu.report()
    assert found.cores >= 1 and found.threads >= 1 and found.model in str(found)
    assert found.onednn.partition(" ")[0] in ("on", "off") and f"oneDNN {found.onednn}" in str(found)
    assert "\n" not in str(found) and found.onednn in found._repr_html_()
    with pytest.raises(FrozenInstanceError):
        found.cores = 3


STATE = """
import os, sys, warnings
{before}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import calolab
print(calolab.cpu.report().onednn)
import tensorflow
from tensorflow.python.util import _pywrap_util_port
print(_pywrap_util_port.IsMklEnabled(), [str(warning.message)[:46] for warning in caught])
print(calolab.cpu.report().onednn)
"""
ON = "on (calolab's choice for AVX2: TF_ENABLE_ONEDNN_OPTS=1)"
LATE = "TensorFlow was imported before calolab and run"


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (
            "",
            [
                ON,
                "True []",
                ON,
            ],
        ),
        (
            # As on a CPU with only AVX2, where TensorFlow does not enable oneDNN.
            "os.environ['TF_ENABLE_ONEDNN_OPTS'] = '0'; import tensorflow; del os.environ['TF_ENABLE_ONEDNN_OPTS']",
            [
                "off (TensorFlow was imported before calolab, too late to choose)",
                f"False ['{LATE}']",
                "off (TensorFlow was imported before calolab, too late to choose)",
            ],
        ),
    ],
    ids=["calolab first", "too late"],
)
def test_what_is_reported_is_what_tensorflow_does(before, expected, monkeypatch):
    for name in (cpu.ONEDNN, cpu.MARK, cpu.LIMIT):
        monkeypatch.delenv(name, raising=False)
    code = STATE.format(before=before)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before_loading, does, after_loading = said.splitlines()
    assert before_loading.partition(" ")[0] == after_loading.partition(" ")[0] == ("off", "on")["True" in does]
    if "AVX2" in cpu.features():  # on other CPUs TensorFlow decides on oneDNN
        assert [before_loading, does, after_loading] == expected
