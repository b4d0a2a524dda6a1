//! A package index on this machine that has sources, and no wheel.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::{Error, Result};
use pyti_index::{DistFilename, IndexConfig, Options, Quiet, Target};
use serde_json::json;

/// What it answers, by path: the media type and the content.
type Answers = BTreeMap<String, (&'static str, Vec<u8>)>;

/// The index. It knows no package but those of its sources.
pub(super) struct LocalIndex(SocketAddr);

impl LocalIndex {
    /// Starts one of the sources in these directories; it ends with this program.
    pub(super) async fn of(sources: &[PathBuf]) -> Result<Self> {
        let mut answers = Answers::new();
        for source in sources {
            offer(source, &mut answers).await?;
        }
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let answers = Arc::new(answers);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answers = Arc::clone(&answers);
                // Where the other side has hung up there is nobody to answer.
                thread::spawn(move || answer(stream, &answers));
            }
        });
        Ok(Self(address))
    }

    /// Its address.
    pub(super) fn url(&self) -> String {
        format!("http://{}/simple/", self.0)
    }
}

/// Adds the source in a directory, packed as an audit of that directory packs it.
async fn offer(source: &Path, answers: &mut Answers) -> Result<()> {
    let cache = tempfile::tempdir()?;
    // No index is asked for what is here.
    let nowhere = IndexConfig::new("http://127.0.0.1:9/simple/", &[])?;
    let options = Options::new(cache.path().to_owned(), nowhere);
    let target = Target::parse(&source.to_string_lossy())?;
    let fetched = pyti_index::fetch(&target, &options, Arc::new(Quiet)).await?;
    let file = fetched.file;
    let filename = DistFilename::parse(&file.filename, None).map_err(Error::msg)?;
    let name = filename.name();
    let path = format!("/{}", file.filename);
    let page = json!({
        "meta": {"api-version": "1.0"},
        "name": name.as_str(),
        "files": [{"filename": file.filename, "url": path, "hashes": {"sha256": file.sha256}}],
    });
    let media = "application/vnd.pypi.simple.v1+json";
    let page = page.to_string().into_bytes();
    answers.insert(format!("/simple/{name}/"), (media, page));
    answers.insert(path, ("application/gzip", std::fs::read(&file.path)?));
    Ok(())
}

fn answer(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (status, media, content) = match answers.get(path) {
        Some((media, content)) => ("200 OK", *media, content.as_slice()),
        None => ("404 Not Found", "text/plain", &b""[..]),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        content.len()
    )?;
    stream.write_all(content)
}
