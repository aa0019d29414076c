"""Configuration of all tests: in CI a skipped test is a failure."""

import os
import signal

import pytest

import calolab  # noqa: F401 - before a test loads TensorFlow: oneDNN, threads and TensorFlow's log as for users

pytest_plugins = ["tests.engine_fixtures"]

# Notebooks run at test size, also when pytest is called directly.
os.environ.setdefault("CALOLAB_SIZE", "test")
# A shell that starts pytest in the background makes it ignore Ctrl-C, which some tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)
# `nohup` does the same with SIGHUP, which engines must receive at the end of a session.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# If two processes run the tests, each takes one file at a time. The longest come first, so that both end at the same
# time: one process executes the notebooks, which use all cores, while the other one mostly waits for engines.
LONGEST = (
    *("test_notebooks", "test_launchers", "test_slurm", "test_engines", "test_unattended", "test_elastic"),
    *("test_data_parallel", "test_every_widget", "test_notebook_00", "test_horovod", "test_equality"),
    "test_conformance",
)
LONG = ("cluster", "distributed", "search", "scaling", "browser", "tests", "magics")


def pytest_collection_modifyitems(items):
    """Put the long files first and keep the order of the others."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (places.get(item.path.stem, len(places)), item.path.parent.name not in LONG))


def refuse_skip(report):
    """Convert a skipped test to a failure with the reason."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CALOLAB_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, but CALOLAB_REQUIRE_ALL=1: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return refuse_skip((yield))
