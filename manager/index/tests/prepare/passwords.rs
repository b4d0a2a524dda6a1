//! The passwords of a netrc file: who gets which, and that nobody else hears of them.

use std::path::PathBuf;

use tempfile::TempDir;

use super::child::{FETCHED, outcome};
use super::server::{FILE, PAGE, Server, answer, page};

/// `user:secret`, as a header has it.
const LOGIN: &str = "\r\nauthorization: Basic dXNlcjpzZWNyZXQ=\r\n";

/// A home with this netrc file.
fn home(text: &str) -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".netrc");
    std::fs::write(&file, text).unwrap();
    (home, file)
}

/// How many requests there were, and how many of them had a password.
fn asked(server: &Server) -> (usize, usize) {
    let requests = server.requests();
    let with = requests
        .iter()
        .filter(|request| request.contains("\r\nauthorization:"))
        .count();
    (requests.len(), with)
}

#[test]
fn a_server_gets_the_password_that_is_kept_for_it() {
    let (home, file) = home(
        "machine other.test login x password y\n\
         machine 127.0.0.1\n  login user\n  password secret\n",
    );
    for (name, value) in [("HOME", home.path()), ("NETRC", file.as_path())] {
        let server = Server::start(None, |_, _, _| None);
        assert_eq!(outcome(&server.index(), &[(name, &value)]), FETCHED);
        assert_eq!(asked(&server), (2, 2), "{name}");
        for request in server.requests() {
            assert!(request.contains(LOGIN), "{request}");
        }
    }

    let server = Server::start(None, |_, _, _| None);
    let elsewhere = server.index().replace("127.0.0.1", "localhost");
    assert_eq!(outcome(&elsewhere, &[("NETRC", &file)]), FETCHED);
    assert_eq!(asked(&server), (2, 0));
}

#[test]
fn the_address_s_own_password_comes_first() {
    let (_home, file) = home("machine 127.0.0.1 login user password secret");
    for (named, expected) in [
        // other:own
        ("other:own@", "\r\nauthorization: Basic b3RoZXI6b3du\r\n"),
        ("user@", LOGIN),
    ] {
        let server = Server::start(None, |_, _, _| None);
        let index = server
            .index()
            .replace("127.0.0.1", &format!("{named}127.0.0.1"));
        assert_eq!(outcome(&index, &[("NETRC", &file)]), FETCHED);
        assert_eq!(asked(&server), (2, 2), "{named}");
        for request in server.requests() {
            assert!(request.contains(expected), "{request}");
            assert_eq!(request.matches("authorization:").count(), 1, "{request}");
        }
    }
}

#[test]
fn a_redirect_takes_no_password_to_another_host() {
    let (_home, file) = home("machine 127.0.0.1 login user password secret");
    let other = Server::start(None, |_, _, _| None);
    let port = other.port;
    let server = Server::start(None, move |path, _, _| {
        let location = format!("Location: http://localhost:{port}{path}\r\n");
        Some(answer("302 Found", &location, b""))
    });
    assert_eq!(outcome(&server.index(), &[("NETRC", &file)]), FETCHED);
    assert_eq!(asked(&server), (1, 1));
    assert_eq!(asked(&other), (2, 0));
}

#[test]
fn what_is_for_every_machine_is_for_the_index_alone() {
    let (_home, file) = home("default login user password secret");
    let other = Server::start(None, |_, _, _| None);
    let elsewhere = page(
        &format!("http://localhost:{}{FILE}", other.port),
        &other.content,
    );
    let server = Server::start(None, move |path, _, _| {
        (path == PAGE).then(|| elsewhere.clone())
    });
    assert_eq!(outcome(&server.index(), &[("NETRC", &file)]), FETCHED);
    assert_eq!(asked(&server), (1, 1));
    assert_eq!(asked(&other), (1, 0));
}

#[test]
fn no_message_tells_a_password() {
    let (_home, file) = home("machine 127.0.0.1 login user password secret");
    let server = Server::start(None, |_, _, _| Some(answer("401 Unauthorized", "", b"")));
    let told = outcome(&server.index(), &[("NETRC", &file)]);
    let begin = format!("failed to fetch http://127.0.0.1:{}{PAGE}: ", server.port);
    assert!(told.starts_with(&begin) && told.contains("401"), "{told}");
    assert!(
        !told.contains("user@") && !told.contains("secret"),
        "{told}"
    );

    std::fs::write(
        &file,
        "machine 127.0.0.1 login user password secret and more\n",
    )
    .unwrap();
    assert_eq!(
        outcome(&server.index(), &[("NETRC", &file)]),
        format!(
            "failed to use {} of NETRC: line 1: a word is none of machine, default, login, account, \
             password and macdef; correct it, or do without by NETRC=/dev/null",
            file.display()
        )
    );
    assert_eq!(asked(&server), (1, 1));
}
