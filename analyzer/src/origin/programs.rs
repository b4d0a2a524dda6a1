//! Programs whose names say who is behind them.

use std::collections::HashMap;

use pyti_trace::event::{Event, Incomplete};

/// Which program an execution is of.
///
/// The kernel's path of the file that it runs is its name: links on the way are followed, and only
/// root can put another file below `/usr`. But in a user namespace of its own a process may mount any
/// file there, or take another root. Such paths are marked, and of those the file itself tells, by its
/// device and inode: it is the program that was run before under its true name, or one without a name.
#[derive(Debug, Default)]
pub struct Programs {
    /// Their true paths.
    paths: HashMap<(u64, u64), String>,
}

impl Programs {
    /// The true path of the program; empty where there is none.
    pub fn path<'a>(&'a mut self, event: &'a Event) -> &'a str {
        let path = event.path.as_deref().unwrap_or_default();
        let file = event.dev.zip(event.inode);
        let doubts = Incomplete::PATH_UNRESOLVED | Incomplete::PATH_RACED;
        match file {
            Some(file) if event.incomplete.intersects(doubts) => {
                self.paths.get(&file).map_or("", String::as_str)
            }
            Some(file) => {
                self.paths.insert(file, path.to_owned());
                path
            }
            // Not one that the probes recorded.
            None => path,
        }
    }
}

/// Programs of a toolchain, without a version behind or a machine's name before them.
const TOOLCHAIN: [&str; 28] = [
    "ar",
    "as",
    "c++",
    "c99",
    "cc",
    "cc1",
    "cc1plus",
    "clang",
    "clang++",
    "cmake",
    "collect2",
    "cpp",
    "f951",
    "g++",
    "gcc",
    "gfortran",
    "ld",
    "ld.bfd",
    "lto1",
    "lto-wrapper",
    "make",
    "ninja",
    "nm",
    "objcopy",
    "pkg-config",
    "ranlib",
    "rustc",
    "strip",
];

/// Shells by which build programs start compilers.
const SHELLS: [&str; 3] = ["bash", "dash", "sh"];

/// A compiler, a linker, or what drives them, by the last component of its path.
pub fn is_toolchain(name: &str) -> bool {
    // x86_64-linux-gnu-gcc-14, clang++-19.
    let unversioned = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    let tool = unversioned.rsplit("-gnu-").next().unwrap_or(unversioned);
    // Some names end in a digit by themselves.
    TOOLCHAIN.contains(&tool) || TOOLCHAIN.contains(&name)
}

/// A shell.
pub fn is_shell(name: &str) -> bool {
    SHELLS.contains(&name)
}

/// pip runs itself, to fill its build environment.
pub fn is_pip(argv: &[String]) -> bool {
    argv.get(1).is_some_and(|script| {
        script.starts_with("/usr/lib/python3") && script.ends_with("/pip/__pip-runner__.py")
    })
}

#[cfg(test)]
mod tests {
    use pyti_trace::event::{Kind, ProcessKey};

    use super::*;

    fn exec(path: &str, inode: u64, incomplete: Incomplete) -> Event {
        Event {
            path: Some(path.to_owned()),
            dev: Some(29),
            inode: Some(inode),
            incomplete,
            ..Event::new(Kind::Exec, ProcessKey::default(), 1)
        }
    }

    #[test]
    fn a_path_in_mounts_of_ones_own_is_no_proof_but_the_inode_is() {
        const GCC: &str = "/usr/bin/x86_64-linux-gnu-gcc-14";
        let sure = Incomplete::default();
        let mut programs = Programs::default();
        for doubt in [Incomplete::PATH_UNRESOLVED, Incomplete::PATH_RACED] {
            // Not run before under its own name.
            assert_eq!(programs.path(&exec(GCC, 7, doubt)), "");
        }
        assert_eq!(programs.path(&exec(GCC, 7, sure)), GCC);
        for doubt in [Incomplete::PATH_UNRESOLVED, Incomplete::PATH_RACED] {
            // The compiler by another name, and something else by the compiler's.
            assert_eq!(programs.path(&exec("/mnt/cc", 7, doubt)), GCC);
            assert_eq!(programs.path(&exec(GCC, 8, doubt)), "");
        }
        assert_eq!(programs.path(&exec("/tmp/gcc", 8, sure)), "/tmp/gcc");
        let other = Event {
            dev: Some(30),
            ..exec(GCC, 7, Incomplete::PATH_UNRESOLVED)
        };
        assert_eq!(programs.path(&other), "");
        // strace tells no inode of a path that it is not sure of.
        let told = Event {
            inode: None,
            ..exec(GCC, 7, Incomplete::PATH_UNRESOLVED)
        };
        assert_eq!(programs.path(&told), GCC);
    }
}
