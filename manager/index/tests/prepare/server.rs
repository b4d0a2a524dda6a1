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

/// What the server does instead of answering, told the path, how often it was asked for before, and the
/// whole answer.
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
    /// Each request, without a body.
    requests: Mutex<Vec<String>>,
}

impl Server {
    /// Serves the package `target`, whose whole answers `trouble` may replace. Each connection carries
    /// one request.
    pub fn start(
        tls: Option<Arc<ServerConfig>>,
        trouble: impl Fn(&str, usize, &[u8]) -> Option<Vec<u8>> + Send + 'static,
    ) -> Self {
        let mut fixture = Fixture::default();
        let content = fixture.sdist("target", "1.0", "").content.clone();
        let page = page(FILE, &content);
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

    /// The address of the index, without TLS.
    pub fn index(&self) -> String {
        format!("http://127.0.0.1:{}/simple/", self.port)
    }

    /// A client of this server.
    pub fn bench(&self) -> Bench {
        bench(&self.index())
    }

    pub fn connections(&self) -> usize {
        *self.log.connections.lock().unwrap()
    }

    /// The lines of each request so far.
    pub fn requests(&self) -> Vec<String> {
        self.log.requests.lock().unwrap().clone()
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
    unresolved(Bench::at(index))
}

pub fn unresolved(mut bench: Bench) -> Bench {
    bench.options.uv = Some(NO_UV.into());
    bench
}

/// The page of the one package, whose file is at `url`.
pub fn page(url: &str, content: &[u8]) -> Vec<u8> {
    let page = serde_json::json!({
        "meta": {"api-version": "1.1"},
        "name": "target",
        "files": [{
            "filename": "target-1.0.tar.gz",
            "url": url,
            "hashes": {"sha256": sha256(content)},
        }],
    });
    let json = "Content-Type: application/vnd.pypi.simple.v1+json\r\n";
    answer("200 OK", json, page.to_string().as_bytes())
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
    while !request.ends_with("\r\n\r\n") && stream.read_line(&mut request)? > 0 {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    // A proxy is told the host too.
    let path = match path.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |host| &rest[host..]),
        None => path,
    };
    let path = path.to_owned();
    log.requests.lock().unwrap().push(request);
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
