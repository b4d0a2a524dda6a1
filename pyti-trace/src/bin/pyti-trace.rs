//! `pyti-trace [--json] -- COMMAND…` runs a command and prints what the kernel saw of it and of its
//! children: events as JSON lines on standard output, counters on standard error. Needs root.

use std::error::Error;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pyti_trace::decode::decode;
use pyti_trace::loader::Tracer;

fn main() -> ExitCode {
    let command: Vec<String> = std::env::args()
        .skip(1)
        .skip_while(|argument| argument == "--json")
        .skip_while(|argument| argument == "--")
        .collect();
    let Some((program, arguments)) = command.split_first() else {
        eprintln!("usage: pyti-trace [--json] -- COMMAND [ARGUMENT…]");
        return ExitCode::from(2);
    };
    match run(program, arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("pyti-trace: {error}");
            let mut source = error.source();
            while let Some(error) = source {
                eprintln!("  because: {error}");
                source = error.source();
            }
            ExitCode::from(2)
        }
    }
}

fn run(program: &str, arguments: &[String]) -> Result<u8, Box<dyn Error>> {
    let begin = Instant::now();
    let mut tracer = Tracer::load()?;
    eprintln!(
        "attached {} probes in {:?}",
        tracer.attached().len(),
        begin.elapsed()
    );
    for (hook, reason) in tracer.refused() {
        eprintln!("refused {hook}: {reason}");
    }

    // The child waits for a byte, so that it is tracked before it does anything.
    let (mut gate, release) = io::pipe()?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    // SAFETY: only reads a descriptor, which is safe between fork and exec.
    unsafe {
        command.pre_exec(move || gate.read_exact(&mut [0]));
    }
    // `spawn` returns after exec, which waits for the byte: another thread spawns.
    let spawner = thread::spawn(move || command.spawn());
    let child_of_spawner = wait_for_child()?;
    tracer.track(child_of_spawner, 1)?;
    (&release).write_all(&[1])?;
    let mut child = spawner
        .join()
        .map_err(|_| "the spawning thread panicked")??;

    let mut out = BufWriter::new(io::stdout().lock());
    let mut drained = 0u64;
    let status = loop {
        drained += print(&mut tracer, &mut out)?;
        if let Some(status) = child.try_wait()? {
            break status;
        }
        thread::sleep(Duration::from_millis(10));
    };
    drained += print(&mut tracer, &mut out)?;
    out.flush()?;
    let counters = tracer.counters()?;
    eprintln!("drained {drained}");
    eprintln!("{}", serde_json::to_string(&counters)?);
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}

fn print(tracer: &mut Tracer, out: &mut impl Write) -> Result<u64, Box<dyn Error>> {
    let mut result: Result<(), Box<dyn Error>> = Ok(());
    let count = tracer.drain(|record| {
        let line = decode(record)
            .map_err(Box::<dyn Error>::from)
            .and_then(|(event, _)| Ok(serde_json::to_string(&event)?))
            .and_then(|line| Ok(writeln!(out, "{line}")?));
        if let Err(error) = line {
            result = Err(error);
        }
    });
    result.map(|()| count as u64)
}

/// The process that this one has just forked.
fn wait_for_child() -> Result<u32, Box<dyn Error>> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        for task in std::fs::read_dir("/proc/self/task")? {
            let children = std::fs::read_to_string(task?.path().join("children"))?;
            if let Some(child) = children.split_ascii_whitespace().next() {
                return Ok(child.parse()?);
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err("failed to see the command being forked within 5 seconds".into())
}
