"""What all tests share: in CI a skip is a failure, so that nothing goes untested unnoticed."""

import os
import signal

import pytest

import calolab  # noqa: F401 - before a test loads TensorFlow: oneDNN, threads and TensorFlow's log as for users

# Notebooks run at the size made for tests, also where pytest is called by hand.
os.environ.setdefault("CALOLAB_SIZE", "test")
# A shell that starts pytest in the background makes it deaf to Ctrl-C, which some tests press.
signal.signal(signal.SIGINT, signal.default_int_handler)
# So does `nohup` with the end of a session, which engines are to hear of.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


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
