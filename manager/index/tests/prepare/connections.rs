//! Connections that break, and servers that are busy.

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant, SystemTime};

use pyti_index::ErrorKind;

use super::child::{Variables, outcome};
use super::server::{FILE, PAGE, Server, answer};

/// All but the last bytes.
fn cut(whole: &[u8]) -> Option<Vec<u8>> {
    Some(whole[..whole.len() - 20].to_vec())
}

#[tokio::test]
async fn what_is_cut_off_is_fetched_again_from_its_beginning() {
    let server = Server::start(None, |path, before, whole| match (path, before) {
        (PAGE | FILE, 0) => cut(whole),
        (FILE, 1) => {
            let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n";
            Some(chunked.to_vec())
        }
        _ => None,
    });
    let bench = server.bench();
    let prepared = bench.prepare("target").await;
    let prepared = prepared.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        std::fs::read(&prepared.target.file.path).unwrap(),
        server.content
    );
    assert_eq!(server.pauses(PAGE).len(), 1);
    assert_eq!(server.pauses(FILE).len(), 2);
    assert_eq!(server.connections(), 5);
}

#[tokio::test]
async fn what_comes_after_a_broken_connection_is_checked_too() {
    let server = Server::start(None, |path, before, whole| match (path, before) {
        (FILE, 0) => cut(whole),
        (FILE, _) => Some(answer("200 OK", "", b"another file")),
        _ => None,
    });
    let bench = server.bench();
    let message = bench.refusal("target").await;
    assert!(
        message.starts_with("failed to trust target-1.0.tar.gz: sha256 is "),
        "{message}"
    );
    assert_eq!(server.pauses(FILE).len(), 1);
    assert_nothing_kept(&bench.options.cache);
}

#[tokio::test]
async fn what_never_comes_whole_is_given_up_after_longer_and_longer_pauses() {
    let server = Server::start(
        None,
        |path, _, whole| {
            if path == FILE { cut(whole) } else { None }
        },
    );
    let bench = server.bench();
    let error = bench.prepare("target").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "failed to fetch http://127.0.0.1:{}{FILE}: the connection ended before the answer did; \
             check the network and the index address",
            server.port
        )
    );
    assert_eq!(error.kind(), ErrorKind::Infrastructure);
    let pauses = server.pauses(FILE);
    let least = [300, 1000, 3000].map(Duration::from_millis);
    assert_eq!(pauses.len(), least.len());
    for (pause, least) in pauses.iter().zip(least) {
        assert!(*pause >= least, "{pauses:?}");
    }
    assert_eq!(server.connections(), 5);
    assert_nothing_kept(&bench.options.cache);
}

#[tokio::test]
async fn a_busy_server_is_left_alone_as_long_as_it_asks() {
    let server = Server::start(None, |path, before, _| {
        let (status, when) = match (path, before) {
            (PAGE, 0) => ("429 Too Many Requests", "2".to_owned()),
            (FILE, 0) => {
                let due = SystemTime::now() + Duration::from_secs(3);
                ("503 Service Unavailable", httpdate::fmt_http_date(due))
            }
            _ => return None,
        };
        Some(answer(status, &format!("Retry-After: {when}\r\n"), b""))
    });
    let prepared = server.bench().prepare("target").await;
    prepared.unwrap_or_else(|error| panic!("{error}"));
    // Nothing asked for would be 300 ms; a date is cut to whole seconds.
    for path in [PAGE, FILE] {
        let pauses = server.pauses(path);
        assert_eq!(pauses.len(), 1);
        assert!(
            pauses[0] >= Duration::from_millis(1900),
            "{path} {pauses:?}"
        );
    }
}

#[tokio::test]
async fn a_refusal_is_believed_at_once() {
    let server = Server::start(None, |_, before, _| {
        let status = match before {
            0 => "401 Unauthorized",
            1 => "403 Forbidden",
            _ => "402 Payment Required",
        };
        Some(answer(status, "Retry-After: 1\r\n", b""))
    });
    let advice = "; if it wants a password, give it as in --index-url https://user:password@host/… or \
                  in ~/.netrc";
    for (asked, status, advice) in [(1, 401, advice), (2, 403, advice), (3, 402, "")] {
        let message = server.bench().refusal("target").await;
        let end = format!("the server answered {status}{advice}");
        assert!(message.ends_with(&end), "{message}");
        assert_eq!(server.connections(), asked);
    }
}

#[tokio::test]
async fn a_page_that_leads_to_itself_is_not_followed_for_ever() {
    let server = Server::start(None, |_, _, _| {
        Some(answer("302 Found", &format!("Location: {PAGE}\r\n"), b""))
    });
    let message = server.bench().refusal("target").await;
    assert!(message.contains("too many redirects"), "{message}");
    assert!(server.connections() < 20, "{}", server.connections());
}

#[tokio::test]
async fn hosts_that_lead_to_one_another_are_not_followed_for_ever() {
    let port = Arc::new(AtomicU16::new(0));
    let own = Arc::clone(&port);
    let server = Server::start(None, move |path, before, _| {
        let hosts = ["localhost", "127.0.0.1"];
        let (host, port) = (hosts[before % 2], own.load(Ordering::SeqCst));
        let location = format!("Location: http://{host}:{port}{path}\r\n");
        Some(answer("302 Found", &location, b""))
    });
    port.store(server.port, Ordering::SeqCst);
    let message = server.bench().refusal("target").await;
    assert_eq!(
        message,
        format!(
            "failed to fetch http://127.0.0.1:{}{PAGE}: too many redirects; check the network and the \
             index address",
            server.port
        )
    );
    assert_eq!(server.connections(), 11);
}

#[test]
fn a_request_is_made_as_often_as_pip_would() {
    let busy = || Server::start(None, |_, _, _| Some(answer("503 Busy", "", b"")));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pip.conf");
    std::fs::write(&file, "[global]\nretries = 1\n").unwrap();
    for (variable, value, expected) in [
        ("PIP_RETRIES", OsStr::new("0"), 1),
        ("PIP_CONFIG_FILE", file.as_os_str(), 2),
    ] {
        let server = busy();
        let told = outcome(&server.index(), &[(variable, &value)]);
        assert!(told.ends_with("the server answered 503"), "{told}");
        assert_eq!(server.connections(), expected, "{variable}");
    }
}

#[test]
fn an_answer_is_waited_for_as_long_as_pip_would() {
    let server = Server::start(None, |_, _, _| {
        std::thread::sleep(Duration::from_secs(15));
        None
    });
    let variables: &Variables<'_> = &[("PIP_TIMEOUT", &"0.5"), ("PIP_RETRIES", &"0")];
    let begun = Instant::now();
    let told = outcome(&server.index(), variables);
    assert!(told.contains("no answer in time"), "{told}");
    assert!(begun.elapsed() < Duration::from_secs(12));
}

fn assert_nothing_kept(cache: &std::path::Path) {
    for part in ["files", "tmp"] {
        let kept: Vec<_> = std::fs::read_dir(cache.join(part)).unwrap().collect();
        assert!(kept.is_empty(), "{kept:?}");
    }
}
