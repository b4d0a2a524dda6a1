//! A package index on this machine that does not come to the end of what it is asked for.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The index. It has one package, `slow` 1.0; every other one it does not know.
#[derive(Debug, Clone)]
pub struct SlowIndex {
    address: SocketAddr,
    stalls: Stalls,
    asked: Arc<Mutex<Vec<String>>>,
}

/// Where it stalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stalls {
    /// Before it answers with the package's page.
    Page,
    /// In the middle of the package's file.
    File,
}

impl SlowIndex {
    /// Starts one; it ends with this program.
    ///
    /// # Errors
    /// There is no port.
    pub fn start(stalls: Stalls) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let index = Self {
            address: listener.local_addr()?,
            stalls,
            asked: Arc::default(),
        };
        let serving = index.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                // Where the other side has hung up there is nobody to answer.
                thread::spawn(move || serving.answer(stream));
            }
        });
        Ok(index)
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/simple/", self.address)
    }

    /// The paths that it was asked for.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        for line in lines.by_ref() {
            if line?.is_empty() {
                break;
            }
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(path.clone());
        drop(asked);
        match (path.as_str(), self.stalls) {
            ("/simple/slow/", Stalls::File) => {
                let page = format!(
                    r#"{{"meta": {{"api-version": "1.0"}}, "name": "slow", "files": [{{"filename": "slow-1.0.tar.gz",
                    "url": "http://{}/slow-1.0.tar.gz", "hashes": {{"sha256": "{}"}}}}]}}"#,
                    self.address,
                    "0".repeat(64)
                );
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.pypi.simple.v1+json\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{page}",
                    page.len()
                )
            }
            ("/simple/slow/", Stalls::Page) => until_hung_up(&mut stream),
            ("/slow-1.0.tar.gz", _) => {
                let begin = "its beginning".repeat(100);
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{begin}"
                )?;
                until_hung_up(&mut stream)
            }
            _ => write!(
                stream,
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            ),
        }
    }
}

fn until_hung_up(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.read(&mut [0]).map(drop)
}
