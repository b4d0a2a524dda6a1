//! Builds image and template, then times a few clones: `clone AGENT [COUNT [IMAGE-DIRECTORY]]`.

use std::{
    path::PathBuf,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use pyti_trace::wire::{FrameKind, StageSpec, USUAL_MEMORY_BYTES, USUAL_PIDS};
use pyti_vm::{Definition, Home, Image, StartOptions, Template, VmConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let agent = PathBuf::from(
        arguments
            .next()
            .ok_or("usage: clone AGENT [COUNT [IMAGE-DIRECTORY]]")?,
    );
    let count: u32 = arguments
        .next()
        .and_then(|n| n.to_str()?.parse().ok())
        .unwrap_or(5);
    let home = Home::from_env()?;
    let progress = |message: &str| eprintln!("· {message}");
    let image = match arguments.next() {
        Some(directory) => Image::open(directory.as_ref())?,
        None => Image::obtain(&home, &Definition::builtin()?[0], &progress)?,
    };
    let began = Instant::now();
    let template = Template::obtain(&home, &image, &agent, &VmConfig::default(), &progress).await?;
    println!(
        "template after {:.3?}: {:#?}",
        began.elapsed(),
        template.record()
    );
    let began = Instant::now();
    template.prepare().await?;
    println!("prepared in {:.3?}", began.elapsed());
    let start = StageSpec {
        stage: "clock".into(),
        argv: vec!["/bin/true".into()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        cwd: "/home/dev".into(),
        traced: true,
        timed: false,
        wall_seconds: 60,
        memory_bytes: USUAL_MEMORY_BYTES,
        pids: USUAL_PIDS,
        output_bytes: 1 << 20,
        hostname: "laptop".into(),
        unix_time_ns: u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?,
        entropy: "5a".repeat(64),
        slots: Vec::new(),
        files: Vec::new(),
        collect: Vec::new(),
        keep: None,
    }
    .encode()?;
    for _ in 0..count {
        let began = Instant::now();
        let mut vm = template.start(StartOptions::default()).await?;
        let started = began.elapsed();
        vm.send(FrameKind::Start, &start).await?;
        let frame = vm.next_frame().await?;
        let answered = began.elapsed();
        let usage = vm.usage();
        let began = Instant::now();
        let report = vm.kill().await;
        println!(
            "start {started:.3?}, answer {answered:.3?} ({:?}), kill {:.3?}, {usage:?}, {:?}",
            frame.map(|frame| (frame.kind, frame.payload.escape_ascii().to_string())),
            began.elapsed(),
            report.status,
        );
    }
    Ok(())
}
