//! Netrc files: their grammar, and which of them is read.

use std::ffi::OsString;

use super::*;

fn parsed(text: &str) -> Netrc {
    Netrc::parse(text).unwrap_or_else(|reason| panic!("{text:?}: {reason}"))
}

/// User and password for an address.
fn login(netrc: &Netrc, url: &str) -> Option<String> {
    let url = Url::parse(url).unwrap();
    let (user, password) = netrc.login(&url)?;
    Some(format!("{user} {password}"))
}

#[test]
fn each_machine_has_its_own_password_on_one_line_or_on_many() {
    for text in [
        "machine a.test login one password first machine b.test login two password second",
        "machine a.test\nlogin one\npassword first\n\nmachine b.test\r\n\tuser two\r\n\tpassword second",
        "machine b.test password second login two\nmachine A.Test account one password first",
        "machine a.test login old password old\nmachine b.test login two account of password second\n\
         machine a.test login one password first",
    ] {
        let netrc = parsed(text);
        for (url, expected) in [
            ("https://a.test/simple/", Some("one first")),
            ("http://b.test:8080/", Some("two second")),
            ("https://c.test/", None),
            ("https://a.test.c.test/", None),
            ("https://xa.test/", None),
        ] {
            assert_eq!(login(&netrc, url).as_deref(), expected, "{text:?} {url}");
        }
    }
}

#[test]
fn words_may_be_quoted_and_lines_be_comments() {
    for (text, expected) in [
        (
            "machine a login \"o ne\" password \"\\\"\\\\#\"",
            "o ne \"\\#",
        ),
        ("machine a login o\\ ne password \\\"first", "o ne \"first"),
        (
            "# machine a login x\nmachine a # login x password y\n#\nlogin one password #first",
            "one #first",
        ),
        (
            "machine a login one password first # machine a login x",
            "one first",
        ),
        ("machine a login one password fi#rst", "one fi#rst"),
        ("machine a login \"\" password first", " first"),
        ("machine a login one", "one "),
        ("machine a login ü password \"ß\"", "ü ß"),
    ] {
        let told = login(&parsed(text), "https://a/");
        assert_eq!(told.as_deref(), Some(expected), "{text}");
    }
    assert_eq!(login(&parsed("machine a account \"\""), "https://a/"), None);
    let six = parsed("machine ::1 login one password first");
    assert_eq!(
        login(&six, "https://[::1]:8/").as_deref(),
        Some("one first")
    );
}

#[test]
fn a_macro_is_no_entry() {
    for text in [
        "macdef init\nmachine a login x password y\n\nmachine a login one password first",
        "machine a login one password first\nmacdef init\n\tmachine a login x\n\tlogin y",
        "macdef init\n\nmachine a login one password first",
        "machine a login one password first macdef init\r\nlogin x\r\n\r\nmachine b login y",
    ] {
        let told = login(&parsed(text), "https://a/");
        assert_eq!(told.as_deref(), Some("one first"), "{text:?}");
    }
}

#[test]
fn what_is_for_every_machine_is_for_the_indexes_alone() {
    let indexes = ["https://a.test/simple/", "https://b.test/"].map(|url| Url::parse(url).unwrap());
    let mut netrc =
        parsed("machine a.test login one password first\ndefault login any password all");
    assert_eq!(login(&netrc, "https://b.test/"), None);
    netrc.keep_default_for(&indexes);
    for (url, expected) in [
        ("https://a.test/", Some("one first")),
        ("https://b.test/file", Some("any all")),
        ("https://files.test/", None),
    ] {
        assert_eq!(login(&netrc, url).as_deref(), expected, "{url}");
    }
}

#[test]
fn what_the_address_says_itself_counts() {
    let netrc = parsed("machine a login o@ne password first");
    for (url, expected) in [
        ("https://o%40ne@a/", Some("o@ne first")),
        ("https://other@a/", None),
        ("https://o%40ne:own@a/", None),
        ("https://:own@a/", None),
    ] {
        assert_eq!(login(&netrc, url).as_deref(), expected, "{url}");
    }
}

#[test]
fn what_cannot_be_understood_is_told_by_its_line_alone() {
    for (text, reason) in [
        (
            "machine a\nlogin one password secret secret2",
            "line 2: a word is none of machine, default, login, account, password and macdef",
        ),
        ("\n\nlogin secret", "line 3: `login` belongs to no machine"),
        (
            "machine a login one\npassword \"secret",
            "line 2: a quote does not end",
        ),
        (
            "machine a password\n",
            "line 1: nothing comes after `password`",
        ),
        ("machine", "line 1: nothing comes after `machine`"),
    ] {
        assert_eq!(
            Netrc::parse(text).err().as_deref(),
            Some(reason),
            "{text:?}"
        );
    }
}

/// What is read where these variables are set, each to a path below `root`, or why nothing is.
fn read_in(variables: &[(&str, &str)], root: &Path) -> Result<Netrc, String> {
    let environment = |name: &str| {
        let (_, path) = variables.iter().find(|(key, _)| *key == name)?;
        if path.is_empty() || path.starts_with('~') {
            return Some(OsString::from(*path));
        }
        Some(root.join(path).into_os_string())
    };
    let settings = Settings {
        environment: &environment,
        root,
    };
    Netrc::read(&settings).map_err(|error| error.to_string())
}

fn read(variables: &[(&str, &str)], root: &Path) -> Result<Option<String>, String> {
    Ok(login(&read_in(variables, root)?, "https://a/"))
}

#[test]
fn the_file_is_the_named_one_else_one_in_the_home() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    std::fs::create_dir(root.join("home")).unwrap();
    let home = ("HOME", "home");
    assert_eq!(read(&[home], root), Ok(None));
    for (name, user) in [
        ("home/_netrc", "two"),
        ("home/.netrc", "one"),
        ("named", "three"),
    ] {
        std::fs::write(
            root.join(name),
            format!("machine a login {user} password p"),
        )
        .unwrap();
        let variables = [home, ("NETRC", "named")];
        let asked = if user == "three" {
            &variables[..]
        } else {
            &variables[..1]
        };
        assert_eq!(read(asked, root), Ok(Some(format!("{user} p"))));
    }
    let from_home = read(&[home, ("NETRC", "~/_netrc")], root);
    assert_eq!(from_home, Ok(Some("two p".to_owned())));
    assert_eq!(read(&[home, ("NETRC", "")], root), Ok(None));
    assert_eq!(read(&[("HOME", "")], root), Ok(None));
    assert_eq!(read(&[], root), Ok(None));
}

#[test]
fn a_named_file_that_cannot_be_read_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let path = root.join("named");
    let refused = |reason: &str| -> Result<Option<String>, String> {
        let shown = path.display();
        Err(format!(
            "failed to use {shown} of NETRC: {reason}; correct it, or do without by NETRC=/dev/null"
        ))
    };
    let read = || read(&[("NETRC", "named")], root);
    assert_eq!(read(), refused("No such file or directory (os error 2)"));
    std::fs::write(&path, "machine a password \"secret").unwrap();
    assert_eq!(read(), refused("line 1: a quote does not end"));
    std::fs::write(&path, " ".repeat(1_048_577)).unwrap();
    let reason = "it is larger than the limit of 1048576 bytes";
    assert_eq!(read(), refused(reason));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(read(), refused("Is a directory (os error 21)"));
}

fn make_fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

#[test]
fn a_named_pipe_is_read_to_its_end() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("named");
    make_fifo(&path);
    // Whoever opens one end waits for the other.
    std::thread::spawn(move || std::fs::write(path, "machine a login one password first"));
    let told = read(&[("NETRC", "named")], root.path());
    assert_eq!(told, Ok(Some("one first".to_owned())));
}

/// What puts something at a path.
type Put<'a> = &'a dyn Fn(&Path);

#[test]
fn a_file_in_the_home_that_cannot_be_read_is_passed_over_and_told_of() {
    let put_text = |text: &str, path: &Path| std::fs::write(path, text).unwrap();
    let cases: [(Put<'_>, &str); 6] = [
        (
            &|path: &Path| put_text("machine a login one password p protocol ftp", path),
            "line 1: a word is none of machine, default, login, account, password and macdef",
        ),
        (
            &|path: &Path| put_text("machine a login one password \"secret", path),
            "line 1: a quote does not end",
        ),
        (
            &|path: &Path| put_text(&" ".repeat(1_048_577), path),
            "it is larger than the limit of 1048576 bytes",
        ),
        (
            &|path: &Path| std::fs::create_dir(path).unwrap(),
            "it is no plain file",
        ),
        (&make_fifo, "it is no plain file"),
        (
            &|path: &Path| std::os::unix::fs::symlink(".netrc", path).unwrap(),
            "Too many levels of symbolic links (os error 40)",
        ),
    ];
    for (put, reason) in cases {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().join("home");
        std::fs::create_dir(&home).unwrap();
        put(&home.join(".netrc"));
        // Pip does not look at it where there is the other.
        let second = "machine a login two password p";
        std::fs::write(home.join("_netrc"), second).unwrap();
        let netrc = read_in(&[("HOME", "home")], root.path()).unwrap();
        assert_eq!(login(&netrc, "https://a/"), None, "{reason}");
        let path = home.join(".netrc");
        let told = format!("{} was passed over: {reason}", path.display());
        assert_eq!(netrc.passed_over, Some(told));
    }

    let root = tempfile::tempdir().unwrap();
    let netrc = read_in(&[("HOME", "home")], root.path()).unwrap();
    assert_eq!(netrc.passed_over, None);
}
