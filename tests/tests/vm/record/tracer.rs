//! `pyti-trace` on the guest's kernel, which takes every probe: it sees what the agent sees.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pyti::home::Home;
use pyti::machine;
use pyti_tests::matrix;
use pyti_trace::event::Event;
use pyti_trace::wire::StageSpec;
use pyti_vm::{Image, Initramfs};
use serde_json::{Value, json};

/// The first process.
const INIT: &str = include_str!("../../../programs/host_init.c");
/// The disk that takes what the machine gives back, and room for it in bytes.
const BACK: &str = "back";
const BACK_BYTES: u64 = 256 << 20;
/// A machine that has not ended by then never will.
const PATIENCE: Duration = Duration::from_secs(300);

/// The matrix of actions, by the tracer alone in place of the agent: each cell is on record, or not,
/// as it is there.
#[test]
fn vm_pyti_trace_sees_what_the_agent_sees() {
    let stage = matrix::stage().expect("no stage");
    let contents = stage.files.iter().map(|(_, content)| content.as_str());
    let back = boot(
        "landlock,lockdown,bpf",
        &script_of(&stage),
        contents.collect(),
    );
    let (events, summary) = parse(&back.part("events"));
    assert_eq!(summary["probes"]["refused"], json!([]));
    // Where securityfs is not mounted, it has tried whether they are called.
    assert_eq!(summary["probes"]["doubt"], Value::Null);
    // Which ones come before bpf only the list says. Lockdown is asked nothing that the probes hear.
    let (_, listed) = parse(&back.part("listed"));
    let before = |summary: &Value| summary["probes"]["asked_before_bpf"].clone();
    assert_eq!(before(&summary), Value::Null);
    assert_eq!(before(&listed), json!(["landlock"]));
    adds_up(&listed);
    let events: Vec<Event> = events
        .into_iter()
        .map(|event| serde_json::from_value(event).expect("no event"))
        .collect();
    let cells = matrix::cells_of(&back.part("said"), &events).expect("no matrix");
    let unexpected = matrix::unexpected(&cells);
    assert!(unexpected.is_empty(), "{unexpected:#?}");
}

/// Kernels attach LSM programs that they never call, where `bpf` is not among their LSMs: those are
/// refused, whether the list of LSMs says it or an open that was tried.
#[test]
fn vm_pyti_trace_says_where_lsm_programs_are_not_called() {
    let script = "\
trace() { /mnt/pyti-trace --format json --output $1 -- cat /etc/hostname >>said 2>>errors; }
cd /root
trace tried && mount -t securityfs securityfs /sys/kernel/security &&
    cp /sys/kernel/security/lsm names && trace listed
echo $? >status
tar -cf /dev/vdb tried names listed errors status
";
    let back = boot("landlock", script, vec![]);
    let names = back.part("names");
    let listed = format!(
        "bpf is not among this kernel's active LSMs (lsm={})",
        names.trim()
    );
    let tried = "this kernel does not call the LSM programs that it attaches: bpf is not among its active LSMs";
    for (name, reason) in [("tried", tried), ("listed", &listed)] {
        let (events, summary) = parse(&back.part(name));
        let probes = &summary["probes"];
        let refused = probes["refused"].as_array().expect("no list");
        assert!(refused.len() > 20, "{name}: {refused:#?}");
        let lsm = |hook: &Value| hook.as_str().is_some_and(|hook| hook.starts_with("lsm/"));
        for refused in refused {
            assert!(lsm(&refused["hook"]), "{name}: {refused}");
            assert_eq!(refused["reason"], reason, "{name}: {refused}");
        }
        let attached = probes["attached"].as_array().expect("no list");
        assert!(!attached.iter().any(lsm), "{name}: {attached:#?}");
        assert_eq!(probes["doubt"], Value::Null, "{name}");
        // What is seen all the same has no resolved path.
        let opened = events
            .iter()
            .find(|event| event["kind"] == "open" && event["asked"] == "/etc/hostname");
        let opened = opened.unwrap_or_else(|| panic!("{name}: no open among {events:#?}"));
        assert_eq!(opened["path"], Value::Null, "{name}: {opened}");
    }
}

/// A process outlived its command and went on to make events. What the probes saw is here, or counted as
/// lost, and nothing else is.
fn adds_up(summary: &Value) {
    let left = summary["left_behind"].as_array().expect("no list");
    assert_eq!(left.len(), 1, "{summary:#}");
    let number = |of: &Value, name: &str| of[name].as_u64().expect("no number");
    for family in summary["events"].as_array().expect("no list") {
        let here = number(family, "stored") + number(family, "lost");
        assert_eq!(number(family, "seen"), here, "{family}");
    }
}

/// Events and summary of what `--output` wrote.
fn parse(text: &str) -> (Vec<Value>, Value) {
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is not JSON"))
        .collect();
    let summary = lines.pop().expect("no line")["summary"].take();
    (lines, summary)
}

/// What a machine left on its second disk: an archive.
struct Back {
    archive: tempfile::TempDir,
    console: String,
}

impl Back {
    /// A file of it.
    fn part(&self, name: &str) -> String {
        let found = read_back(&self.archive.path().join(BACK), name);
        found.unwrap_or_else(|| panic!("no {name}: {}", self.console))
    }
}

/// Boots the guest's kernel with these LSMs, as root has it on a host, to run a script. It finds
/// `planted` by their numbers, and `pyti-trace`.
fn boot(lsm: &str, script: &str, planted: Vec<&str>) -> Back {
    let home = Home::find().expect("no home");
    let definition = machine::definition(None, None).expect("no image");
    let home = pyti_vm::Home::at(&home.cache).expect("no home");
    let image = Image::obtain(&home, &definition, &|_: &str| {}).expect("no image");
    let directory = tempfile::tempdir().expect("no directory");
    let place = |name: &str| directory.path().join(name);
    let archive = initramfs(&image, script, planted, &place("init"));
    fs::write(place("initramfs"), archive).expect("not written");
    File::create(place(BACK))
        .and_then(|file| file.set_len(BACK_BYTES))
        .expect("not made");
    let drive =
        |file: &Path, more: &str| format!("if=none,format=raw,file={}{more}", file.display());
    // As the product's machines are told, see manager/vm/src/qemu/command.rs.
    let arguments = format!(
        "console=ttyS0 quiet panic=-1 reboot=t lsm={lsm} mitigations=off \
         tsc=reliable tsc_early_khz={}",
        pyti_vm::tsc_khz()
    );
    let mut machine = Command::new("qemu-system-x86_64")
        .args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
        ])
        .args(["-machine", "microvm,pcie=off,rtc=on,usb=off"])
        .args(["-global", "virtio-mmio.force-legacy=false"])
        .args([
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max,-cx16,-erms",
            "-smp",
            "2",
            "-m",
            "2048",
        ])
        .arg("-drive")
        .arg(drive(&image.root(), ",id=root,readonly=on"))
        .args(["-device", "virtio-blk-device,drive=root"])
        .arg("-drive")
        .arg(drive(&place(BACK), ",id=back"))
        .args(["-device", "virtio-blk-device,drive=back"])
        .arg("-serial")
        .arg(format!("file:{}", place("console").display()))
        .arg("-kernel")
        .arg(image.kernel())
        .arg("-initrd")
        .arg(place("initramfs"))
        .args(["-append", &arguments])
        .stdin(Stdio::null())
        .spawn()
        .expect("no QEMU");
    let began = Instant::now();
    while machine.try_wait().expect("no status").is_none() {
        if began.elapsed() > PATIENCE {
            machine.kill().expect("not killed");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let console = fs::read_to_string(place("console")).unwrap_or_default();
    let back = Back {
        archive: directory,
        console,
    };
    let status = back.part("status");
    let errors = back.part("errors");
    assert_eq!(status.trim(), "0", "{errors}{}", back.console);
    back
}

/// A file of the archive that the machine wrote.
fn read_back(archive: &Path, name: &str) -> Option<String> {
    let mut archive = tar::Archive::new(File::open(archive).ok()?);
    for entry in archive.entries().ok()? {
        let mut entry = entry.ok()?;
        if entry.path().ok()?.file_name()? == name {
            let mut text = String::new();
            entry.read_to_string(&mut text).ok()?;
            return Some(text);
        }
    }
    None
}

/// `/init`, the kernel's modules, and what the script works with.
fn initramfs(image: &Image, script: &str, planted: Vec<&str>, init: &Path) -> Vec<u8> {
    let source = init.with_extension("c");
    fs::write(&source, INIT).expect("not written");
    let compiled = Command::new("cc")
        .args(["-O1", "-Wall", "-Werror", "-static", "-o"])
        .args([init, &source])
        .status();
    assert!(compiled.expect("no compiler").success());
    let mut archive = Initramfs::default();
    for name in ["proc", "sys", "modules", "files", "files/planted"] {
        archive.directory(name);
    }
    let mut order = String::new();
    for (name, content) in image.modules().expect("no modules") {
        archive.file(&format!("modules/{name}"), &content);
        order.push_str(&name);
        order.push('\n');
    }
    archive.file("modules/order", order.as_bytes());
    archive.program("init", &fs::read(init).expect("not compiled"));
    archive.program("files/pyti-trace", &fs::read(tracer()).expect("not built"));
    for (at, content) in planted.into_iter().enumerate() {
        archive.file(&format!("files/planted/{at}"), content.as_bytes());
    }
    archive.file("files/script", script.as_bytes());
    archive.finish()
}

/// The program, which cargo builds with the tests: beside the directory that this one is in.
fn tracer() -> PathBuf {
    let test = std::env::current_exe().expect("no path");
    let directory = test.parent().and_then(Path::parent).expect("no directory");
    directory.join("pyti-trace")
}

/// The stage as its ordinary user has it, under `pyti-trace`, and one more command, which leaves a process
/// behind, where the kernel's list of LSMs can be read; what came of it goes to the second disk.
fn script_of(spec: &StageSpec) -> String {
    let quoted = |word: &str| shlex::try_quote(word).expect("a NUL").into_owned();
    let mut script = String::from("cd /root\n");
    for (at, (path, _)) in spec.files.iter().enumerate() {
        let path = quoted(path);
        _ = writeln!(
            script,
            "cp /mnt/planted/{at} {path}; chown 1000:1000 {path}"
        );
    }
    _ = write!(
        script,
        "/mnt/pyti-trace --format json --output /root/events -- setpriv --reuid 1000 --regid 1000 \
         --init-groups env --ignore-environment --chdir {}",
        quoted(&spec.cwd)
    );
    for (name, value) in &spec.env {
        _ = write!(script, " {}", quoted(&format!("{name}={value}")));
    }
    for word in &spec.argv {
        _ = write!(script, " {}", quoted(word));
    }
    script.push_str(
        " >said 2>errors
echo $? >status
mount -t securityfs securityfs /sys/kernel/security
echo >/tmp/going
/mnt/pyti-trace --format json --output listed -- python3 -S -c '
import os, time
if not os.fork():
    while os.path.exists(\"/tmp/going\"):
        open(\"/tmp/made\", \"w\").close()
        time.sleep(0.001)
' >>errors 2>&1
rm /tmp/going
tar -cf /dev/vdb events said errors status listed
",
    );
    script
}
