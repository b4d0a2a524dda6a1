//! Credentials that no call asked for, in a real kernel. No ordinary user can write them there that we know
//! of, so the host does: into the guest's memory, which is memory of the hypervisor.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::thread;
use std::time::Duration;

use pyti_analyzer::Verdict;
use pyti_tests::guest;
use pyti_trace::event::{Event, Kind};
use pyti_vm::StartOptions;
use tokio::task::spawn_blocking;

const TAKEN: &str = include_str!("../../../programs/taken.c");
/// What only root may read.
const SECRET: &str = "/etc/shadow";

const ROOT: u64 = 0;
/// Number of the guest's ordinary user, and of its group.
const USER: u64 = 1000;
/// `CAP_LAST_CAP` is 40 (include/uapi/linux/capability.h).
const ALL: u64 = (1 << 41) - 1;
/// Sets of capabilities that nobody else holds; none is in both.
const FIRST: u64 = 0xa5_5a3c_96e1;
const SECOND: u64 = ALL ^ FIRST;

/// `struct cred` from `uid` to `cap_effective`, in words: four user ids, each with its group id behind it,
/// `securebits`, and the inheritable, permitted and effective capabilities (include/linux/cred.h).
type Held = [u64; 8];

const fn held(user: u64, permitted: u64, effective: u64) -> Held {
    let ids = (USER << 32) | user;
    [ids, ids, ids, ids, 0, 0, permitted, effective]
}

/// What the program holds at each of its steps, and what is written there instead.
const CHANGES: [(Held, Held); 2] = [
    (held(USER, FIRST, FIRST), held(USER, ALL, FIRST)),
    (held(USER, SECOND, SECOND), held(ROOT, SECOND, SECOND)),
];

const PAGE: u64 = 4096;
/// Bytes that are looked through at a time.
const BLOCK: usize = 1 << 20;

/// A machine's memory, as its host sees it. What was opened never means another process.
struct Memory {
    bytes: File,
    /// A word about each page of the hypervisor's.
    pages: File,
    /// Where the hypervisor has the guest's memory.
    mapped: Vec<Range<u64>>,
}

impl Memory {
    /// That of this hypervisor's guest.
    fn of(hypervisor: u32) -> io::Result<Self> {
        let open = |name: &str, for_writing: bool| {
            let path = format!("/proc/{hypervisor}/{name}");
            File::options().read(true).write(for_writing).open(path)
        };
        let maps = io::read_to_string(open("maps", false)?)?;
        let mapped: Vec<Range<u64>> = maps.lines().filter_map(of_guest).collect();
        if mapped.is_empty() {
            return Err(io::Error::other("no guest's memory is mapped"));
        }
        Ok(Self {
            bytes: open("mem", true)?,
            pages: open("pagemap", false)?,
            mapped,
        })
    }

    /// The pages that the machine has written to since it was cloned, in runs. The others are the
    /// template's: to read those would give them memory that they do not have yet.
    fn own(&self) -> io::Result<Vec<Range<u64>>> {
        // Documentation/admin-guide/mm/pagemap.rst
        const PRESENT_OR_SWAPPED: u64 = 0b11 << 62;
        const OF_FILE: u64 = 1 << 61;
        let mut runs: Vec<Range<u64>> = vec![];
        for mapped in &self.mapped {
            let count = (mapped.end - mapped.start) / PAGE;
            let mut bytes = vec![0; count as usize * size_of::<u64>()];
            let at = mapped.start / PAGE * size_of::<u64>() as u64;
            self.pages.read_exact_at(&mut bytes, at)?;
            let pages = mapped.clone().step_by(PAGE as usize);
            for (page, about) in pages.zip(words(&bytes)) {
                if about & PRESENT_OR_SWAPPED == 0 || about & OF_FILE != 0 {
                    continue;
                }
                match runs.last_mut() {
                    Some(run) if run.end == page => run.end += PAGE,
                    _ => runs.push(page..page + PAGE),
                }
            }
        }
        Ok(runs)
    }

    /// Makes each change wherever there is what it begins with. Says how often.
    fn change(&self) -> io::Result<usize> {
        let mut count = 0;
        for run in self.own()? {
            for start in run.clone().step_by(BLOCK) {
                // What begins in this block may end in the next one.
                let end = run.end.min(start + (BLOCK + size_of::<Held>()) as u64);
                let mut bytes = vec![0; (end - start) as usize];
                self.bytes.read_exact_at(&mut bytes, start)?;
                let block: Vec<u64> = words(&bytes).collect();
                let places = (start..end).step_by(size_of::<u64>());
                for (place, there) in places.zip(block.windows(CHANGES[0].0.len())) {
                    for (_, then) in CHANGES.iter().filter(|(now, _)| there == now) {
                        let then = then.map(u64::to_ne_bytes);
                        self.bytes.write_all_at(then.as_flattened(), place)?;
                        count += 1;
                    }
                }
            }
        }
        Ok(count)
    }

    /// The same again and again, until nothing can be read any more, as the machine has ended.
    fn change_to_the_end(&self) -> (usize, io::Error) {
        let mut count = 0;
        loop {
            match self.change() {
                Ok(more) => count += more,
                Err(error) => return (count, error),
            }
            thread::sleep(Duration::from_millis(500));
        }
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().copied().map(u64::from_ne_bytes)
}

/// What is mapped, where a line of `maps` is about a clone's private copy of the template's memory
/// (manager/vm/src/ram.rs).
fn of_guest(line: &str) -> Option<Range<u64>> {
    let (place, rest) = line.split_once(' ')?;
    let (start, end) = place.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    (rest.starts_with("rw-p ") && rest.contains("/memfd:pyti "))
        .then_some(address(start)?..address(end)?)
}

/// Permitted capabilities are told by the change that makes use of them, ids by whatever is done with them.
#[tokio::test(flavor = "multi_thread")]
async fn vm_credentials_that_no_call_asked_for_are_told() {
    let command = format!("/tmp/run-taken {FIRST:x} {SECOND:x} {SECRET}");
    let spec = guest::stage(&[("taken", TAKEN)], &command).expect("no order");
    let template = guest::template().await.expect("no template");
    let vm = template.start(StartOptions::default()).await;
    let vm = vm.expect("no clone");
    let memory = Memory::of(vm.id()).expect(
        "the hypervisor's memory cannot be opened: root needs CAP_SYS_PTRACE for it, and other users \
         kernel.yama.ptrace_scope=1 or 0",
    );
    let changing = spawn_blocking(move || memory.change_to_the_end());
    let (ran, changed) = tokio::join!(guest::run_in(vm, &spec), changing);
    let ran = ran.unwrap_or_else(|error| panic!("{error:#}; changed: {changed:?}"));

    let report = guest::judge(&ran.facts, &ran.events).expect("no rules");
    assert_eq!(report.verdict, Verdict::Malicious, "{report:#?}");
    let findings = report.findings.iter();
    let taken = findings.filter(|finding| finding.rule == "credentials-taken");
    let evidence = taken.flat_map(|finding| &finding.evidence);
    let proof: Vec<&Event> = evidence.map(|event| &ran.events[event.index]).collect();
    // These and no other, though before them it had all capabilities of its own namespace.
    let told: Vec<(Kind, u32, u64)> = proof
        .iter()
        .map(|event| (event.kind, event.uid, event.caps))
        .collect();
    let wanted = [
        (Kind::Creds, USER as u32, FIRST),
        (Kind::Open, ROOT as u32, SECOND),
        (Kind::Exit, ROOT as u32, SECOND),
    ];
    assert_eq!(told, wanted, "{report:#?}");
    let change = proof[0].creds.as_deref().expect("no credentials");
    assert_eq!(
        (change.old.permitted, change.new.permitted),
        (ALL, SECOND),
        "{change:?}"
    );
    let opened = proof[1];
    assert_eq!(
        (opened.path.as_deref(), opened.result),
        (Some(SECRET), 0),
        "{opened:?}"
    );
}
