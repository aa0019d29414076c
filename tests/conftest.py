"""What all tests share: in CI a skip is a failure, so that nothing goes untested unnoticed."""

import os

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CALOLAB_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, but CALOLAB_REQUIRE_ALL=1: {report.longrepr}"
    return report
