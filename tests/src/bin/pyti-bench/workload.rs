//! What is run bare, traced and under strace.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use pyti::data_store::DataStore;
use pyti::home::Home;
use pyti::order::{self, Order};
use pyti_index::{IndexConfig, Prepared};
use pyti_vm::Interpreter;

use crate::LIMITS;

/// A command in a clone, with what it is given.
pub struct Workload {
    /// What it stands for.
    pub name: &'static str,
    /// What watching it may cost at most: traced over bare.
    pub aim: f64,
    /// The command.
    pub argv: Vec<String>,
    input: Option<Order>,
}

/// Opens, writes, renames and deletes, in a directory that is in memory.
const FILES: &str = "\
import os
os.mkdir('/tmp/loop'); os.chdir('/tmp/loop')
for n in range(4000):
    with open('a', 'wb', buffering=0) as file:
        file.write(b'content')
    os.rename('a', 'b'); os.unlink('b')
";
/// Forks and executes.
const FORKS: &str = "n=0; while [ $n -lt 400 ]; do /bin/true; n=$((n+1)); done";
/// Connects to itself, sends and receives.
const SOCKETS: &str = "\
import socket
server = socket.create_server(('127.0.0.1', 0))
for n in range(1500):
    client = socket.create_connection(server.getsockname())
    peer, _ = server.accept()
    client.sendall(b'question'); peer.recv(100); peer.sendall(b'answer'); client.recv(100)
    client.close(); peer.close()
";

/// Of an installation, where the work is the package's own.
const AIM_OF_WORK: f64 = 1.03;
/// Of a loop that does nothing but what is recorded.
const AIM_OF_LOOP: f64 = 1.3;

/// All of them: installations of real packages, then loops that do nothing but what is recorded.
///
/// # Errors
/// The index.
pub async fn all(home: &Home, python: &Interpreter) -> Result<Vec<Workload>> {
    let script = |program: &str| ["python3", "-S", "-c", program].map(str::to_owned).to_vec();
    let program = |name, argv| Workload {
        name,
        aim: AIM_OF_LOOP,
        argv,
        input: None,
    };
    Ok(vec![
        install("pip install, pure Python", home, python, "docopt==0.6.2").await?,
        install(
            "pip install, C extension",
            home,
            python,
            "simplejson==3.19.3",
        )
        .await?,
        program("loop over files", script(FILES)),
        program(
            "loop over forks",
            ["sh", "-c", FORKS].map(str::to_owned).to_vec(),
        ),
        program("loop over sockets", script(SOCKETS)),
    ])
}

async fn install(
    name: &'static str,
    home: &Home,
    python: &Interpreter,
    target: &str,
) -> Result<Workload> {
    let prepared = prepare(home, target).await?;
    let file = format!("{}/{}", order::WHEELHOUSE, prepared.target.file.filename);
    let mut input = Order::new("input", vec![], &LIMITS)?;
    input.wheelhouse.clone_from(&prepared.files);
    Ok(Workload {
        name,
        aim: AIM_OF_WORK,
        argv: order::pip_install(python, &[], &file),
        input: Some(input),
    })
}

impl Workload {
    /// Its input, written anew: a clone's device is made of it.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn input(&self, python: &Interpreter, scratch: &Path) -> Result<Option<File>> {
        let Some(order) = &self.input else {
            return Ok(None);
        };
        let mut input = tempfile::tempfile_in(scratch)?;
        let store = DataStore::at(scratch.join("data"));
        pyti::input::write(order, python, &store, &mut input)?;
        Ok(Some(input))
    }
}

async fn prepare(home: &Home, target: &str) -> Result<Prepared> {
    let target = pyti_index::Target::parse(target)?;
    let index = IndexConfig::discover(None, &[])?;
    let options = pyti_index::Options::new(home.cache.clone(), index);
    let progress = Arc::new(pyti_index::Quiet);
    Ok(pyti_index::prepare(&target, &options, Arc::new(NoRequirements), progress).await?)
}

/// The measured packages require nothing; what their back ends would say is known.
struct NoRequirements;

impl pyti_index::MetadataHook for NoRequirements {
    fn metadata(
        &self,
        request: pyti_index::HookRequest,
    ) -> pyti_index::hook::BoxFuture<'_, Result<String, pyti_index::HookError>> {
        Box::pin(async move {
            let stem = request.filename.trim_end_matches(".tar.gz");
            let (name, version) = stem.rsplit_once('-').unwrap_or((stem, "0"));
            Ok(format!(
                "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            ))
        })
    }
}
