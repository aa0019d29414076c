"""What all tests share: in CI a skip is a failure, so that nothing goes untested unnoticed."""

import os
import signal

import pytest

import calolab  # noqa: F401 - before a test loads TensorFlow: oneDNN, threads and TensorFlow's log as for users

pytest_plugins = ["tests.engine_fixtures"]

# Notebooks run at the size made for tests, also where pytest is called by hand.
os.environ.setdefault("CALOLAB_SIZE", "test")
# A shell that starts pytest in the background makes it deaf to Ctrl-C, which some tests press.
signal.signal(signal.SIGINT, signal.default_int_handler)
# So does `nohup` with the end of a session, which engines are to hear of.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# Where two processes run the tests, each takes one file after the other: the slowest files come first.
SLOWEST = ("test_launchers", "test_slurm", "test_every_widget", "test_elastic", "test_unattended", "test_conformance")
SLOW = ("cluster", "distributed", "search", "scaling", "browser", "tests", "magics")


def pytest_collection_modifyitems(items):
    """Put the slow files first and leave all else as it stands."""
    items.sort(key=lambda item: (item.path.stem not in SLOWEST, item.path.parent.name not in SLOW))


def refuse_skip(report):
    """Turn a skip into a failure that names what was skipped and why."""
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
