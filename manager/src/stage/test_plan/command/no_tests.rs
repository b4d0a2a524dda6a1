//! Programs of which it is known that they run no tests.

use super::interpreter::{Before, of_coverage};
use super::options::has;
use super::runner::Runner;
use super::{DEEPEST, TELLING, is_python};
use crate::stage::test_plan::variables::assignment;

/// What checks, formats, builds, installs, documents or reports, by names of programs, modules and files
/// without what stands after a dot.
const NO_TESTS: &str = "add-trailing-comma autoflake autopep8 bandit basedpyright black blacken-docs build \
    bump2version bumpversion cat check-manifest check-wheel-contents chmod codecov codespell conda cosmic-ray \
    coverage coverage3 coveralls cp curl cythonize darglint date deptry diff-cover doc8 docformatter \
    docstrfmt echo find flake8 flit git gitlint hatch import-linter interrogate isort linkchecker lint-imports \
    ls mamba mkdir mkdocs mutmut mv mypy pdm pdoc pip pip-audit pip-compile pip-licenses pip3 pipenv poetry \
    pre-commit proselint prospector pur pwd pycodestyle pycln pydocstyle pyflakes pylama pylint pyre pyright \
    pyroma pytype pyupgrade radon refurb reno restructuredtext-lint reuse rm rst-lint rstcheck ruff safety \
    scriv sed semgrep setup slotscheck sphinx sphinx-apidoc sphinx-autobuild sphinx-build stubgen touch \
    towncrier true twine ty uv validate-pyproject versioningit vulture wheel which xenon yamllint yapf";
/// Programs that run what is written elsewhere: what they are told may say whether that is tests.
const TASKS: &str = "bash dash doit inv invoke just make nox npm npx sh task tox yarn";

/// Whether it is known of a command that it runs no tests: its program does not, it is only to tell
/// something, or it runs nothing.
pub(in crate::stage::test_plan) fn runs_no_tests(words: &[String]) -> bool {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.iter().any(|word| TELLING.contains(word)) || program(&words, 0)
}

fn program(words: &[&str], depth: usize) -> bool {
    let assigned = words.iter().take_while(|word| assignment(word).is_some());
    let Some((first, rest)) = words[assigned.count()..].split_first() else {
        return true;
    };
    if depth > DEEPEST {
        return false;
    }
    let name = first.rsplit('/').next().unwrap_or(first);
    if let Some(runner) = Runner::of(name, rest) {
        return program(runner.run, depth + 1);
    }
    match (name, rest) {
        ("coverage" | "coverage3", ["run", rest @ ..]) => {
            let (_, run) = of_coverage(rest);
            interpreted(&run, depth)
        }
        _ if is_python(name) => match Before::of_python(rest) {
            Some((_, run)) => interpreted(&run, depth),
            // Code, or what it reads.
            None => !names_tests(rest),
        },
        _ if has(TASKS, name) => !names_tests(rest),
        _ => has(NO_TESTS, name.split('.').next().unwrap_or(name)),
    }
}

/// The same of what an interpreter runs, a module or a file.
fn interpreted(run: &[&str], depth: usize) -> bool {
    match run {
        ["-m", module @ ..] => program(module, depth + 1),
        file => program(file, depth + 1),
    }
}

fn names_tests(words: &[&str]) -> bool {
    let mut words = words.iter();
    words.any(|word| word.contains("test") || word.contains("check"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_run_no_tests_are_known() {
        let known = |command: &str| runs_no_tests(&shlex::split(command).unwrap());
        for command in [
            "",
            "A=b",
            "uv run",
            "flake8 src tests",
            "bin/mypy tests",
            "env A=b python3.12 -m mypy tests",
            "uv run -m ruff check",
            "uvx --from a ruff check tests",
            "python -bb -m sphinx.cmd.build docs out",
            "python setup.py build_ext -i",
            "coverage report -m",
            "python -m coverage xml",
            "coverage run -m pylint tests",
            "python -c 'import a; print(a)'",
            "nose2 --help",
            "python -m pytest --version",
            "make -C docs html",
            "uv build",
            "sh -c 'rm -r out'",
        ] {
            assert!(known(command), "{command}");
        }
        for command in [
            "zope-testrunner --test-path=src",
            "stestr run",
            "make test",
            "env A=b make check",
            "python tests/run_all.py",
            "coverage run runtests.py",
            "poetry run python -m a.suite",
            "uvx zope-testrunner",
            "python -c 'import a; a.test()'",
            "./suite.sh",
        ] {
            assert!(!known(command), "{command}");
        }
        let deep = "env ".repeat(99);
        assert!(!known(&format!("{deep}mypy")));
    }
}
