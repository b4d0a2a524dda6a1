import nox

PYPROJECT = nox.project.load_toml("pyproject.toml")


@nox.session
def lint(session):
    session.install("ruff")
    session.run("ruff", "check")


@nox.session
def tests(session):
    session.install(".[more]")
    session.install(*nox.project.dependency_groups(PYPROJECT, "suite"))
    session.run("pytest", "suite", *session.posargs)
