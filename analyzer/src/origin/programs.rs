//! Programs whose names say who is behind them.

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
