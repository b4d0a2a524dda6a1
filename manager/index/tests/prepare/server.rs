//! A server on 127.0.0.1 that answers byte by byte what a test says: also what no framework for
//! servers lets out, and over TLS.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::NO_UV;
use super::fixture::{Bench, Fixture, sha256};

/// The page of the one package that the server has.
pub const PAGE: &str = "/simple/target/";
/// Its one file.
pub const FILE: &str = "/files/target-1.0.tar.gz";

/// What the server does instead of answering, told the path and how often it was asked for before.
pub type Trouble = fn(&str, usize, &[u8]) -> Option<Vec<u8>>;

pub struct Server {
    pub port: u16,
    /// What the file holds.
    pub content: Vec<u8>,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    connections: Mutex<usize>,
    /// Each path that was asked for, and when.
    asked: Mutex<Vec<(String, Instant)>>,
}

impl Server {
    /// Serves the package `target`, whose whole answers `trouble` may replace. Each connection carries
    /// one request.
    pub fn start(tls: Option<Arc<ServerConfig>>, trouble: Trouble) -> Self {
        let mut fixture = Fixture::default();
        let content = fixture.sdist("target", "1.0", "").content.clone();
        let page = serde_json::json!({
            "meta": {"api-version": "1.1"},
            "name": "target",
            "files": [{
                "filename": "target-1.0.tar.gz",
                "url": FILE,
                "hashes": {"sha256": sha256(&content)},
            }],
        });
        let json = "Content-Type: application/vnd.pypi.simple.v1+json\r\n";
        let page = answer("200 OK", json, page.to_string().as_bytes());
        let file = answer("200 OK", "", &content);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let log = Arc::new(Log::default());
        let server = Self {
            port,
            content,
            log: Arc::clone(&log),
        };
        let reply = move |path: &str, before: usize| {
            let whole = match path {
                PAGE => page.clone(),
                FILE => file.clone(),
                _ => answer("404 Not Found", "", b""),
            };
            trouble(path, before, &whole).unwrap_or(whole)
        };
        thread::spawn(move || {
            for connection in listener.incoming() {
                let connection = connection.unwrap();
                let patience = Some(Duration::from_secs(20));
                connection.set_read_timeout(patience).unwrap();
                *log.connections.lock().unwrap() += 1;
                // A client that does not like the certificate goes away.
                let _ = match &tls {
                    None => serve(connection, &log, &reply),
                    Some(config) => {
                        let session = ServerConnection::new(Arc::clone(config)).unwrap();
                        serve(StreamOwned::new(session, connection), &log, &reply)
                    }
                };
            }
        });
        server
    }

    /// A client of this server.
    pub fn bench(&self) -> Bench {
        bench(&format!("http://127.0.0.1:{}/simple/", self.port))
    }

    pub fn connections(&self) -> usize {
        *self.log.connections.lock().unwrap()
    }

    /// How long it took, each time, until this path was asked for again.
    pub fn pauses(&self, path: &str) -> Vec<Duration> {
        let asked = self.log.asked.lock().unwrap();
        let times: Vec<Instant> = asked
            .iter()
            .filter(|(asked, _)| asked == path)
            .map(|(_, time)| *time)
            .collect();
        assert!(!times.is_empty(), "{path} was never asked for");
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

/// A client that needs no resolver.
pub fn bench(index: &str) -> Bench {
    let mut bench = Bench::at(index);
    bench.options.uv = Some(NO_UV.into());
    bench
}

/// A whole answer. Each of `headers` ends its line.
pub fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn serve(
    stream: impl Read + Write,
    log: &Log,
    reply: &dyn Fn(&str, usize) -> Vec<u8>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request)?;
    let mut header = String::new();
    while stream.read_line(&mut header)? > 0 && header != "\r\n" {
        header.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let before = {
        let mut asked = log.asked.lock().unwrap();
        let before = asked.iter().filter(|(asked, _)| *asked == path).count();
        asked.push((path.clone(), Instant::now()));
        before
    };
    let stream = stream.get_mut();
    stream.write_all(&reply(&path, before))?;
    stream.flush()
}
