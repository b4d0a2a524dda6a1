//! The passwords of a netrc file: who gets which, and that nobody else hears of them.

use std::path::PathBuf;

use tempfile::TempDir;

use super::child::{FETCHED, Variables, outcome};
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

/// A server that leads to `host`, and that one's server.
fn leading_to(host: &'static str) -> (Server, Server) {
    let other = Server::start(None, |_, _, _| None);
    let port = other.port;
    let server = Server::start(None, move |path, _, _| {
        let location = format!("Location: http://theirs:word@{host}:{port}{path}\r\n");
        Some(answer("302 Found", &location, b""))
    });
    (server, other)
}

#[test]
fn whom_a_redirect_leads_to_gets_what_is_kept_for_that_host() {
    let (_home, file) = home(
        "machine 127.0.0.1 login other password own\nmachine localhost login user password secret",
    );
    for host in ["localhost", "127.0.0.1"] {
        let (server, other) = leading_to(host);
        assert_eq!(outcome(&server.index(), &[("NETRC", &file)]), FETCHED);
        assert_eq!((asked(&server), asked(&other)), ((1, 1), (2, 2)), "{host}");
        for request in other.requests() {
            assert_eq!(request.contains(LOGIN), host == "localhost", "{request}");
        }
    }
}

#[test]
fn the_address_s_own_password_stays_with_its_server() {
    let with_password = |server: &Server| server.index().replace("127.", "user:secret@127.");
    let (_home, file) = home("machine localhost login other password own");
    for (host, expected) in [("127.0.0.1", (2, 0)), ("localhost", (2, 2))] {
        let (server, other) = leading_to(host);
        let told = outcome(&with_password(&server), &[("NETRC", &file)]);
        assert_eq!(told, FETCHED, "{host}");
        assert_eq!((asked(&server), asked(&other)), ((1, 1), expected));
        assert!(server.requests().concat().contains(LOGIN), "{host}");
        assert!(!other.requests().concat().contains(LOGIN), "{host}");
    }

    let server = Server::start(None, |path, before, _| {
        let itself = format!("Location: {path}\r\n");
        (before == 0).then(|| answer("302 Found", &itself, b""))
    });
    assert_eq!(outcome(&with_password(&server), &[]), FETCHED);
    assert_eq!(asked(&server), (4, 4));
    for request in server.requests() {
        assert!(request.contains(LOGIN), "{request}");
    }
}

#[test]
fn a_file_in_the_home_that_cannot_be_read_stops_nothing() {
    let (home, file) = home("machine 127.0.0.1 login user password secret protocol ftp");
    let directory = home.path();
    let variables: &Variables<'_> = &[("HOME", &directory)];
    let server = Server::start(None, |_, _, _| None);
    assert_eq!(outcome(&server.index(), variables), FETCHED);
    assert_eq!(asked(&server), (2, 0));

    let end = format!(
        " or in ~/.netrc; {} was passed over: line 1: a word is none of machine, default, login, \
         account, password and macdef",
        file.display()
    );
    for (status, expected) in [
        ("401 Unauthorized", true),
        ("403 Forbidden", true),
        ("402 Payment Required", false),
    ] {
        let server = Server::start(None, move |_, _, _| Some(answer(status, "", b"")));
        let told = outcome(&server.index(), variables);
        assert!(told.contains(&status[..3]), "{told}");
        assert_eq!(told.ends_with(&end), expected, "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
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
