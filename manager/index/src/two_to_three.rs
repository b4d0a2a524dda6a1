//! Packages whose sources are made Python 3 by 2to3 when they are built.

use crate::setup_requires::setting;

/// What a setup.py names for it: the option of setuptools, and what distutils has for its commands.
const NAMES: [&str; 5] = [
    OPTION,
    "build_py_2to3",
    "build_scripts_2to3",
    "Mixin2to3",
    "run_2to3",
];
const OPTION: &str = "use_2to3";

/// The setuptools that has 2to3. Version 58 took it away, also from its own distutils
/// (<https://github.com/pypa/setuptools/pull/2731>): such a setup.py is refused, or, once that distutils takes
/// the place of Python's (60), falls back to what builds for Python 2
/// (<https://github.com/pypa/setuptools/issues/2997>). Later Pythons are not what it was written for.
pub(crate) const CONVERTING: &str = "setuptools<58 ; python_version < '3.10'";

/// Whether a package asks for it: in `setup.py`, or in `setup.cfg`, of which setuptools before 58 takes these
/// for true (<https://github.com/pypa/setuptools/blob/v57.5.0/setuptools/config.py>).
#[must_use]
pub fn asks_for_2to3(setup_py: &str, setup_cfg: &str) -> bool {
    let is_true = |value: String| ["1", "true", "yes"].contains(&&*value.trim().to_lowercase());
    NAMES.iter().any(|name| setup_py.contains(*name))
        || setting(setup_cfg, OPTION).is_some_and(is_true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_setup_py() {
        assert!(!asks_for_2to3("setup(name='a')", ""));
        for setup in [
            "setup(name='a', use_2to3=True)",
            "try:\n    from distutils.command.build_py import build_py_2to3 as build_py\n\
            except ImportError:\n    from distutils.command.build_py import build_py\n",
            "from distutils.command.build_scripts import build_scripts_2to3\n",
            "from distutils.util import Mixin2to3\n",
        ] {
            assert!(asks_for_2to3(setup, ""), "{setup}");
        }
    }

    #[test]
    fn in_setup_cfg() {
        for (settings, expected) in [
            ("[options]\nuse_2to3 = True\n", true),
            ("[options]\nuse_2to3 = 1\n", true),
            ("[options]\nuse_2to3 = no\n", false),
            ("[options]\nuse_2to3_fixers = a.b\n", false),
            // Of that a text is made, which setuptools does not take for true.
            ("[global]\nuse_2to3 = true\n", false),
        ] {
            assert_eq!(asks_for_2to3("setup()", settings), expected, "{settings}");
        }
    }
}
