def pytest_runtest_logreport(report):
    if report.when == "call" and "breaks" in report.nodeid:
        raise RuntimeError("no more")
