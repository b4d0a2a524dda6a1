//! Through which proxy an index is asked: the one of pip's settings, else of the usual variables.

use super::certificates::{certified_by, make_authority};
use super::child::{FETCHED, outcome};
use super::proxy::Proxy;
use super::server::{FILE, PAGE, Server, answer};

/// An index whose host only a proxy can find.
const INDEX: &str = "http://index.test/simple/";

/// `user:secret`, as a header has it.
const LOGIN: &str = "\r\nproxy-authorization: Basic dXNlcjpzZWNyZXQ=\r\n";

fn start() -> (Server, Proxy) {
    let server = Server::start(None, |_, _, _| None);
    let proxy = Proxy::start(server.port);
    (server, proxy)
}

/// The two requests for page and file were made through this proxy.
fn assert_asked(proxy: &Proxy) {
    let asked = proxy.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    for (request, path) in asked.iter().zip([PAGE, FILE]) {
        let first = format!("GET http://index.test{path} HTTP/1.1\r\n");
        assert!(request.starts_with(&first), "{request}");
    }
}

#[test]
fn pip_s_proxy_comes_before_all_others() {
    let (_server, proxy) = start();
    let address = format!("http://user:secret@127.0.0.1:{}", proxy.port);
    let other = &"http://127.0.0.1:9";
    let told = outcome(
        INDEX,
        &[
            ("PIP_PROXY", &address),
            ("HTTP_PROXY", other),
            ("ALL_PROXY", other),
            ("NO_PROXY", &"index.test"),
        ],
    );
    assert_eq!(told, FETCHED);
    assert_asked(&proxy);
    for request in proxy.asked() {
        assert!(request.contains(LOGIN), "{request}");
    }

    let (_server, proxy) = start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pip.conf");
    let text = format!("[global]\nproxy = 127.0.0.1:{}\n", proxy.port);
    std::fs::write(&file, text).unwrap();
    let told = outcome(INDEX, &[("PIP_CONFIG_FILE", &file), ("HTTP_PROXY", other)]);
    assert_eq!(told, FETCHED);
    assert_asked(&proxy);
}

#[test]
fn the_usual_variables_name_proxies_and_who_is_asked_without() {
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let (_server, proxy) = start();
        let address = format!("http://127.0.0.1:{}", proxy.port);
        assert_eq!(outcome(INDEX, &[(name, &address)]), FETCHED, "{name}");
        assert_asked(&proxy);
    }
    for name in ["NO_PROXY", "no_proxy"] {
        let (server, proxy) = start();
        let address = format!("http://127.0.0.1:{}", proxy.port);
        let hosts = &"other.test, 127.0.0.0/8";
        let told = outcome(&server.index(), &[("HTTP_PROXY", &address), (name, hosts)]);
        assert_eq!(told, FETCHED, "{name}");
        assert_eq!(proxy.asked(), [""; 0], "{name}");
        assert_eq!(server.connections(), 2);
    }
}

#[test]
fn https_goes_through_a_proxy_unread() {
    let home = tempfile::tempdir().unwrap();
    let file = make_authority(home.path(), "known").join("ca.pem");
    let server = Server::start(Some(certified_by("known", home.path())), |_, _, _| None);
    let proxy = Proxy::start(server.port);
    let address = format!("http://user:secret@127.0.0.1:{}", proxy.port);
    let index = format!("https://127.0.0.1:{}/simple/", server.port);
    let told = outcome(&index, &[("HTTPS_PROXY", &address), ("PIP_CERT", &file)]);
    assert_eq!(told, FETCHED);
    let asked = proxy.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    let first = format!("CONNECT 127.0.0.1:{} HTTP/1.1\r\n", server.port);
    for request in asked {
        assert!(request.starts_with(&first), "{request}");
        assert!(request.contains(LOGIN), "{request}");
    }
    for request in server.requests() {
        assert!(!request.contains("proxy-authorization"), "{request}");
    }
}

#[test]
fn a_proxy_may_speak_socks() {
    let (_server, proxy) = start();
    let address = format!("socks5h://127.0.0.1:{}", proxy.port);
    assert_eq!(outcome(INDEX, &[("ALL_PROXY", &address)]), FETCHED);
    assert_eq!(proxy.asked(), ["SOCKS index.test"; 2]);
}

#[test]
fn a_proxy_that_cannot_be_asked_is_named_without_its_password() {
    let told = outcome(INDEX, &[("PIP_PROXY", &"http://user:secret@proxy:port")]);
    let begin = "failed to use PIP_PROXY: the proxy address is not a URL: ";
    assert!(told.starts_with(begin), "{told}");
    assert!(!told.contains("secret"), "{told}");

    // Nobody who is asked there would answer.
    let closed = &"http://user:secret@127.0.0.1:9";
    for index in [INDEX, "https://index.test/simple/"] {
        let told = outcome(index, &[("ALL_PROXY", closed), ("PIP_RETRIES", &"0")]);
        let begin = format!("failed to fetch {index}target/: ");
        let end = ", and ALL_PROXY names a proxy; check the network and the index address";
        assert!(told.starts_with(&begin) && told.ends_with(end), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }

    // A server stands in for a proxy that wants a password.
    let proxy = Server::start(None, |_, _, _| {
        let status = "407 Proxy Authentication Required";
        Some(answer(status, "", b""))
    });
    let address = format!("http://127.0.0.1:{}", proxy.port);
    assert_eq!(
        outcome(INDEX, &[("HTTP_PROXY", &address)]),
        format!(
            "failed to fetch http://index.test{PAGE}: the server answered 407; the proxy wants a \
             password: give it as in PIP_PROXY=http://user:password@host"
        )
    );
}
