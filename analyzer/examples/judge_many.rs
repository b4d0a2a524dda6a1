//! Measures the judgement on what pip's install of many C extensions leaves behind:
//! `cargo run --release --example judge_many -- 500000`. Prints events, findings and seconds.

use std::time::Instant;

use pyti_analyzer::{RuleSet, StageFacts, StageRecord, StageStatus, Target, Vars};
use pyti_trace::event::{Event, Incomplete, Kind, ProcessKey};

/// Nanoseconds between two events: half a million of them take some eight minutes.
const STEP_NS: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: usize = std::env::args()
        .nth(1)
        .map_or(Ok(500_000), |count| count.parse())?;
    let rules = RuleSet::load(None, &Vars::default())?;
    let events = install(count);
    let kinds = |kind| events.iter().filter(|event| event.kind == kind).count();
    println!(
        "{} events: {} open, {} write, {} rename, {} exec, {} fork",
        events.len(),
        kinds(Kind::Open),
        kinds(Kind::Write),
        kinds(Kind::Rename),
        kinds(Kind::Exec),
        kinds(Kind::Fork)
    );
    let facts = StageFacts::new("install", StageStatus::Completed);
    let record = StageRecord {
        facts: &facts,
        events: &events,
    };
    let started = Instant::now();
    let report = rules.judge(&Target::default(), &[record]);
    println!(
        "{} findings, {} undecided, {:.3} s",
        report.findings.len(),
        report.undecided.len(),
        started.elapsed().as_secs_f64()
    );
    for finding in &report.findings {
        println!("finding: {} {}", finding.rule, finding.summary);
    }
    for undecided in &report.undecided {
        println!("undecided: {} {}", undecided.rule, undecided.reason);
    }
    Ok(())
}

/// A process at work.
#[derive(Clone, Copy)]
struct Who {
    key: ProcessKey,
    parent: ProcessKey,
    comm: &'static str,
}

/// Writes events as the probes would.
struct Writer {
    events: Vec<Event>,
    pid: u32,
    inode: u64,
}

/// One install: pip, a build backend that looks for modules all over `sys.path`, a compiler run per
/// source file with its headers, a linker, a wheel that is unpacked; again until there are `count`.
fn install(count: usize) -> Vec<Event> {
    let mut writer = Writer {
        events: Vec::with_capacity(count + 2_000),
        pid: 100,
        inode: 10_000,
    };
    let init = Who {
        key: ProcessKey {
            tgid: 1,
            start_ns: 0,
        },
        parent: ProcessKey::default(),
        comm: "agent",
    };
    let python = "/usr/bin/python3.13";
    let pip = writer.spawn(init, "python3", python, &["-m", "pip", "install", "many"]);
    let mut round = 0;
    while writer.events.len() < count {
        let build = format!("/tmp/pip-install-{round}/many");
        let hook =
            "/usr/lib/python3/dist-packages/pip/_vendor/pyproject_hooks/_in_process/_in_process.py";
        let setup = writer.spawn(pip, "python3", python, &[hook, "build_wheel", "/tmp/t"]);
        writer.imports(setup, round);
        writer.configure(setup, &build);
        for source in 0..12 {
            writer.compile(setup, &build, source);
        }
        writer.link(setup, &build);
        writer.exit(setup);
        writer.unpack(pip, round);
        round += 1;
    }
    writer.events.truncate(count);
    writer.events
}

impl Writer {
    /// Adds a successful event of a kind without objects, to be filled.
    fn add(&mut self, who: Who, kind: Kind) -> &mut Event {
        let seq = self.events.len() as u64;
        self.events.push(Event {
            cpu: (seq % 2) as u32,
            seq,
            parent: who.parent,
            uid: 1000,
            comm: who.comm.to_owned(),
            ..Event::new(kind, who.key, (seq + 1) * STEP_NS)
        });
        let last = self.events.len() - 1;
        &mut self.events[last]
    }

    fn object(&mut self, who: Who, kind: Kind, path: &str) -> &mut Event {
        self.inode += 1;
        let inode = self.inode;
        let event = self.add(who, kind);
        event.path = Some(path.to_owned());
        event.asked = Some(path.to_owned());
        event.dev = Some(1);
        event.inode = Some(inode);
        event
    }

    fn spawn(&mut self, parent: Who, comm: &'static str, program: &str, arguments: &[&str]) -> Who {
        self.pid += 1;
        let child = Who {
            key: ProcessKey {
                tgid: self.pid,
                start_ns: self.events.len() as u64 * STEP_NS,
            },
            parent: parent.key,
            comm,
        };
        self.add(parent, Kind::Fork).other = Some(child.key);
        let argv = std::iter::once(program).chain(arguments.iter().copied());
        let argv = argv.map(str::to_owned).collect();
        let event = self.object(child, Kind::Exec, program);
        event.argv = Some(argv);
        event.env = Some(vec!["PATH=/usr/bin".to_owned()]);
        event.cwd = Some("/tmp/pip-install/many".to_owned());
        event.nlink = Some(1);
        for library in ["/etc/ld.so.cache", "/usr/lib/x86_64-linux-gnu/libc.so.6"] {
            self.read(child, library);
        }
        child
    }

    fn exit(&mut self, who: Who) {
        self.add(who, Kind::Exit).exit_code = Some(0);
    }

    fn read(&mut self, who: Who, path: &str) {
        let event = self.object(who, Kind::Open, path);
        event.flags = Some(0);
        event.created = Some(false);
    }

    fn miss(&mut self, who: Who, path: &str) {
        let event = self.add(who, Kind::Open);
        event.asked = Some(path.to_owned());
        event.flags = Some(0);
        event.result = -2;
    }

    fn write(&mut self, who: Who, path: &str, data: &[u8]) {
        let event = self.object(who, Kind::Open, path);
        event.flags = Some(0o101);
        event.mode = Some(0o644);
        event.created = Some(true);
        let inode = event.inode;
        let event = self.object(who, Kind::Write, path);
        event.inode = inode;
        event.since_ns = Some(event.time_ns - STEP_NS / 2);
        event.bytes = Some(40_000);
        event.data = Some(data.to_vec());
        event.incomplete = Incomplete::DATA_INCOMPLETE;
    }

    fn rename(&mut self, who: Who, from: &str, to: &str) {
        let event = self.object(who, Kind::Rename, from);
        event.target = Some(to.to_owned());
        event.flags = Some(0);
    }

    /// Python looks for each module in each directory, and reads the compiled one.
    fn imports(&mut self, who: Who, round: usize) {
        for module in 0..150 {
            for directory in ["/tmp/pip-build-env/overlay", "/tmp/pip-build-env/normal"] {
                self.miss(who, &format!("{directory}/site-packages/m{module}.py"));
            }
            let lib = "/usr/lib/python3.13";
            self.read(who, &format!("{lib}/m{module}.py"));
            let pyc = format!("{lib}/__pycache__/m{module}.cpython-313.pyc");
            self.read(who, &pyc);
            if module % 10 == 0 {
                let new = format!("/tmp/pip-build-env/{round}/m{module}.pyc");
                let temporary = format!("{new}.1234");
                self.write(who, &temporary, b"\xf3\r\r\n");
                self.rename(who, &temporary, &new);
            }
        }
        self.miss(who, "/home/dev/.pydistutils.cfg");
    }

    /// A probe for a feature, run as a program through pipes.
    fn configure(&mut self, who: Who, build: &str) {
        let program = format!("{build}/conftest");
        let linker = self.spawn(
            who,
            "ld",
            "/usr/bin/x86_64-linux-gnu-ld.bfd",
            &["-o", "conftest"],
        );
        self.write(linker, &program, b"\x7fELF\x02\x01");
        self.exit(linker);
        for (old, new) in [(5, 0), (8, 1)] {
            self.add(who, Kind::Dup).fds = Some((old, new));
        }
        let probe = self.spawn(who, "conftest", &program, &[]);
        self.exit(probe);
        self.object(who, Kind::Unlink, &program);
    }

    fn compile(&mut self, who: Who, build: &str, source: usize) {
        let object = format!("{build}/build/s{source}.o");
        let gcc = self.spawn(
            who,
            "gcc",
            "/usr/bin/x86_64-linux-gnu-gcc-14",
            &["-O2", "-c", "s.c"],
        );
        let cc1 = self.spawn(
            gcc,
            "cc1",
            "/usr/libexec/gcc/x86_64-linux-gnu/14/cc1",
            &["s.c"],
        );
        for header in 0..90 {
            self.miss(cc1, &format!("{build}/include/h{header}.h"));
            self.read(cc1, &format!("/usr/include/python3.13/h{header}.h"));
        }
        let assembly = format!("/tmp/cc{}.s", self.inode);
        self.write(cc1, &assembly, b"\t.file\t\"s.c\"\n");
        self.exit(cc1);
        let assembler = self.spawn(
            gcc,
            "as",
            "/usr/bin/x86_64-linux-gnu-as",
            &["-o", "s.o", "cc.s"],
        );
        self.read(assembler, &assembly);
        self.write(assembler, &object, b"\x7fELF\x02\x01");
        self.exit(assembler);
        self.object(gcc, Kind::Unlink, &assembly);
        self.exit(gcc);
    }

    fn link(&mut self, who: Who, build: &str) {
        let linker = self.spawn(
            who,
            "ld",
            "/usr/bin/x86_64-linux-gnu-ld.bfd",
            &["-shared", "-o", "x.so"],
        );
        for source in 0..12 {
            self.read(linker, &format!("{build}/build/s{source}.o"));
        }
        self.write(linker, &format!("{build}/build/x.so"), b"\x7fELF\x02\x01");
        self.exit(linker);
        // The backend copies it: a program that no linker wrote, and that nobody runs.
        self.write(who, &format!("{build}/build/lib/x.so"), b"\x7fELF\x02\x01");
    }

    /// pip unpacks the wheel and takes the build directory down.
    fn unpack(&mut self, pip: Who, round: usize) {
        let site = "/home/dev/.local/lib/python3.13/site-packages";
        for file in 0..60 {
            let path = format!("{site}/many{round}/m{file}.py");
            self.write(pip, &path, b"import os\n");
            self.add(pip, Kind::Chmod).path = Some(path);
            self.object(
                pip,
                Kind::Unlink,
                &format!("/tmp/pip-unpack-{round}/{file}"),
            );
        }
        self.write(pip, &format!("{site}/many{round}/x.so"), b"\x7fELF\x02\x01");
        self.object(pip, Kind::Rmdir, &format!("/tmp/pip-install-{round}"));
    }
}
