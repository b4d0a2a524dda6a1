//! Programs that are executed, memory, and other processes.

use pyti_trace::event::{Event, Incomplete, Kind, ProcessKey};

use super::arg::{Arg, Shown};
use super::call::Call;
use super::changes::understood;
use super::files::name_of;
use super::import::{Importer, Who};
use super::names::{
    self, MEMFD_FLAGS, O_RDWR, PROT_EXEC, PROT_READ, PROT_WRITE, PROTECTIONS, SHM_EXEC, SHM_FLAGS,
    SHM_RDONLY, flags,
};
use super::offsets::Road;
use super::paths::Last;
use super::record::Asked;
use super::text::text;

const ESRCH: i64 = -3;
const EBADF: i64 = -9;
const EINVAL: i64 = -22;
/// What the kernel asks for on behalf of all that reaches for another process: `PTRACE_MODE_ATTACH` and
/// `PTRACE_MODE_REALCREDS` (include/linux/ptrace.h). The probes have it in the flags.
const ATTACH: u64 = 0x12;
/// Characters that the kernel keeps of a thread's name (`TASK_COMM_LEN`).
const COMM: usize = 15;

impl Importer {
    pub(super) fn exec(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = call.result else { return };
        let (at, path, argv, env) = match call.name {
            "execve" => (None, call.arg(0), call.arg(1), call.arg(2)),
            _ => (call.arg(0), call.arg(1), call.arg(2), call.arg(3)),
        };
        let asked = self.asked(who.process, at, path, Last::Followed);
        let mut draft = self.draft(Kind::Exec, who.process, who.tid, result);
        asked.apply(&mut draft.event);
        self.doubts.any_exec = true;
        self.arguments(argv, env, &mut draft.event);
        if result < 0 {
            self.note_cut(&draft.event);
            self.keep(draft);
            return;
        }
        let event = &mut draft.event;
        let shown = at
            .and_then(Arg::shown)
            .filter(|_| asked.asked.as_deref() == Some(""));
        let (path, nlink) = self.program(&asked, shown);
        event.incomplete.remove(Incomplete::PATH_UNRESOLVED);
        match path {
            Some((path, sure)) => {
                event.incomplete.set(Incomplete::PATH_UNRESOLVED, !sure);
                if let Some(identity) = self.paths.identity(&path).filter(|_| sure) {
                    (event.dev, event.inode) = (Some(identity.dev), Some(identity.inode));
                }
                event.path = Some(path);
            }
            None => event.incomplete |= Incomplete::PATH_UNREADABLE | Incomplete::PATH_UNRESOLVED,
        }
        event.nlink = nlink;
        // A script's interpreter is found by the kernel, which strace does not show.
        event.incomplete |= Incomplete::TARGET_UNREADABLE;
        let cwd = self.processes.directory(who.process);
        let cwd = cwd.map(|cwd| self.paths.still(cwd));
        event.cwd = cwd.filter(|cwd| cwd.sure).map(|cwd| cwd.path);
        let cwd_unknown = event.cwd.is_none();
        if cwd_unknown {
            event.incomplete |= Incomplete::CWD_INCOMPLETE;
        }
        let name = event.path.as_deref().or(event.asked.as_deref());
        let comm = name.map(|name| crate::tree::base_name(name).chars().take(COMM).collect());
        if self.command.is_none() {
            self.command.clone_from(&event.argv);
            let home = event
                .env
                .iter()
                .flatten()
                .find_map(|word| word.strip_prefix("HOME="));
            self.home = home.filter(|home| home.starts_with('/')).map(str::to_owned);
        }
        // The new program's name is the doer's, as in the probes' events.
        event.comm = String::clone(comm.as_ref().unwrap_or(&event.comm));
        event
            .incomplete
            .set(Incomplete::COMM_UNKNOWN, comm.is_none());
        self.note_cut(&draft.event);
        self.alone(who);
        if let Some(process) = self.processes.get_mut(who.process) {
            process.comm = comm;
            // The program may be one that runs as its owner.
            process.uid = None;
            process.executed = true;
            process.here = cwd_unknown.then_some(self.events.len());
        }
        self.keep(draft);
        self.flush_where(who, |_, one| one.is_some_and(|one| one.cloexec));
    }

    /// The program's path, whether it is sure, and its links.
    ///
    /// A symbolic link to a program is one more name for it, as a copy would be, so what was asked
    /// for counts as the program's path. A file that was found by a name has a link; strace does
    /// not tell how many more, so 1 stands for at least one. Only where some file without a name is
    /// about, and the name may be a link to that one, nothing is known.
    fn program(
        &self,
        asked: &Asked,
        shown: Option<&Shown>,
    ) -> (Option<(String, bool)>, Option<u32>) {
        if let Some(shown) = shown {
            let deleted = matches!(shown, Shown::File { deleted: true, .. });
            let path = name_of(shown).map(|path| (path, true));
            return (path, Some(u32::from(!deleted)));
        }
        let nameless = asked.nameless;
        let Some(asked) = &asked.resolved else {
            return (None, None);
        };
        if nameless {
            return (Some((asked.path.clone(), true)), Some(0));
        }
        let magic = ["/proc/", "/dev/fd/", "/dev/std"];
        if magic.iter().any(|begin| asked.path.starts_with(begin)) {
            return (Some((asked.path.clone(), false)), None);
        }
        let known = self.paths.identity(&asked.path).and_then(|one| one.nlink);
        let found = !self.nameless || (asked.sure && self.paths.is_real(&asked.path));
        let path = (asked.path.clone(), !self.paths.is_shifted());
        (Some(path), known.or_else(|| found.then_some(1)))
    }

    /// Sets arguments and environment, whether the program could be executed or not.
    fn arguments(&mut self, argv: Option<&Arg<'_>>, env: Option<&Arg<'_>>, event: &mut Event) {
        (event.argv, _) = self.words(argv, event, Incomplete::ARGV_TRUNCATED);
        let unreadable = event.argv.is_none();
        event
            .incomplete
            .set(Incomplete::ARGV_UNREADABLE, unreadable);
        let hidden;
        (event.env, hidden) = self.words(env, event, Incomplete::ENV_TRUNCATED);
        let unreadable = event.env.is_none();
        event.incomplete.set(Incomplete::ENV_UNREADABLE, unreadable);
        self.doubts.env_hidden |= hidden;
    }

    /// A list of arguments, up to the first that was cut. The second says that only a pointer to
    /// them was shown.
    fn words(
        &self,
        list: Option<&Arg<'_>>,
        event: &mut Event,
        cut: Incomplete,
    ) -> (Option<Vec<String>>, bool) {
        let (items, left_out) = match list {
            Some(Arg::List(items, left_out)) => (items, *left_out),
            Some(Arg::Word("NULL")) => return (Some(Vec::new()), false),
            _ => return (None, true),
        };
        let mut out = Vec::with_capacity(items.len());
        let mut is_cut = left_out;
        for item in items {
            let Arg::Text(bytes, item_cut) = item else {
                is_cut = true;
                break;
            };
            let (word, escaped) = text(bytes);
            if escaped {
                event.incomplete |= Incomplete::ESCAPED;
            }
            out.push(word);
            if *item_cut {
                is_cut = true;
                break;
            }
        }
        if is_cut {
            event.incomplete |= cut;
        }
        (Some(out), false)
    }

    pub(super) fn memfd(&mut self, who: Who, call: &Call<'_>) {
        let done = |result: &i64| *result >= 0 || self.unknown;
        let Some(result) = call.result.filter(done) else {
            return;
        };
        self.nameless = true;
        let mut draft = self.draft(Kind::MemfdCreate, who.process, who.tid, result);
        match call.arg(0) {
            Some(Arg::Text(name, cut)) => {
                draft.event.path = Some(format!("memfd:{}", text(name).0));
                draft.event.incomplete.set(Incomplete::PATH_TRUNCATED, *cut);
            }
            _ => draft.event.incomplete |= Incomplete::PATH_UNREADABLE,
        }
        draft.event.flags = call.word(1).and_then(|word| flags(word, MEMFD_FLAGS));
        let name = draft.event.path.clone();
        if let Ok(fd @ 0..) = i32::try_from(result) {
            let path = call.shown.as_ref().and_then(name_of);
            let path = path.or_else(|| name.map(|name| format!("/{name} (deleted)")));
            let cloexec = call
                .word(1)
                .is_some_and(|word| word.contains("MFD_CLOEXEC"));
            self.flush(who, fd);
            self.processes.change(who.process, fd, |one| {
                *one = super::processes::Descriptor {
                    path: path.as_deref().map(Into::into),
                    nameless: true,
                    cloexec,
                    road: Road::opened(Some(O_RDWR)),
                    ..Default::default()
                };
            });
        }
        self.keep(draft);
    }

    /// Memory that is mapped or made executable.
    pub(super) fn map(&mut self, who: Who, call: &Call<'_>) {
        let protection = call.word(2).and_then(|word| flags(word, PROTECTIONS));
        let (Some(result), Some(protection)) = (call.result, protection) else {
            return;
        };
        if protection & PROT_WRITE != 0 && result >= 0 {
            self.map_to_write(who, call, protection);
        }
        if protection & PROT_EXEC == 0 {
            return;
        }
        let mut draft = self.draft(Kind::MmapExec, who.process, who.tid, result);
        draft.event.flags = Some(protection);
        let anonymous = call
            .word(3)
            .is_some_and(|flags| flags.contains("MAP_ANONYMOUS"));
        if call.name.starts_with("mmap") && !anonymous {
            draft.event.path = call.arg(4).and_then(Arg::shown).and_then(name_of);
            // The dynamic linker looks at a library before it maps it.
            let path = draft.event.path.as_deref();
            if let Some(identity) = path.and_then(|path| self.paths.identity(path)) {
                let event = &mut draft.event;
                (event.dev, event.inode) = (Some(identity.dev), Some(identity.inode));
            }
        }
        let unknown = draft.event.path.is_none() && !anonymous;
        draft
            .event
            .incomplete
            .set(Incomplete::PATH_UNREADABLE, unknown);
        self.keep(draft);
    }

    /// A mapping of a file that others see.
    fn map_to_write(&mut self, who: Who, call: &Call<'_>, protection: u64) {
        let flags = call.word(3).unwrap_or_default();
        let shared = ["MAP_SHARED", "MAP_SHARED_VALIDATE"];
        if call.name.starts_with("mmap") && flags.split('|').any(|flag| shared.contains(&flag)) {
            self.write_mapped(who, call.arg(4), protection);
        }
    }

    /// Memory that processes share and that has no file: attached to be executed.
    pub(super) fn attach_memory(&mut self, who: Who, call: &Call<'_>) {
        let asked = call.word(2).and_then(|word| flags(word, SHM_FLAGS));
        let (Some(result), Some(asked)) = (understood(call), asked) else {
            return;
        };
        if asked & SHM_EXEC == 0 {
            return;
        }
        let mut draft = self.draft(Kind::MmapExec, who.process, who.tid, result);
        let write = if asked & SHM_RDONLY == 0 {
            PROT_WRITE
        } else {
            0
        };
        draft.event.flags = Some(PROT_READ | write | PROT_EXEC);
        // The kernel names it by its key, which this call does not say.
        draft.event.incomplete |= Incomplete::PATH_UNREADABLE;
        self.keep(draft);
    }

    /// Access to another process that is asked for, or given to the parent.
    pub(super) fn ptrace(&mut self, who: Who, call: &Call<'_>) {
        let Some(result) = call.result else { return };
        let target = match (call.name, call.word(0)) {
            ("ptrace", Some("PTRACE_TRACEME")) => return self.let_trace(who, result),
            ("ptrace", Some("PTRACE_ATTACH" | "PTRACE_SEIZE")) => 1,
            ("ptrace", _) => return,
            _ => 0,
        };
        let mut draft = self.draft(Kind::Ptrace, who.process, who.tid, result);
        draft.event.flags = Some(ATTACH);
        if self.about(&mut draft, call.int(target)) {
            self.keep(draft);
        }
    }

    /// `PTRACE_TRACEME`: under strace it is refused, since only one may trace.
    fn let_trace(&mut self, who: Who, result: i64) {
        let mut draft = self.draft(Kind::Ptrace, who.process, who.tid, result);
        draft.event.flags = Some(0);
        let parent = self.processes.get(who.process).and_then(|one| one.parent);
        // An orphan's parent is somebody whom the trace does not name, as the first process's is.
        draft.other = parent.filter(|parent| {
            let parent = self.processes.get(*parent);
            parent.is_some_and(|parent| parent.threads().next().is_some())
        });
        draft.event.other = Some(ProcessKey::default());
        self.keep(draft);
    }

    /// `pidfd_getfd`: a descriptor of another process, to which that takes access.
    pub(super) fn take_descriptor(&mut self, who: Who, call: &Call<'_>) {
        // Of these nobody was asked for access.
        let known = understood(call).filter(|result| ![ESRCH, EINVAL].contains(result));
        let Some(result) = known else { return };
        let process = call.arg(0).and_then(Arg::shown);
        let (result, told) = match process {
            // It had access, and the other process no such descriptor.
            Some(Shown::Process(_)) if result == EBADF => (0, true),
            Some(_) => (result, result != EBADF),
            None if result == EBADF => return,
            None => (result, true),
        };
        let mut draft = self.draft(Kind::Ptrace, who.process, who.tid, result);
        draft.event.flags = Some(ATTACH);
        if !told {
            draft.event.result = 0;
            draft.event.incomplete |= Incomplete::RESULT_UNKNOWN;
        }
        if self.about(&mut draft, pid(call.arg(0))) {
            self.keep(draft);
        }
        let Some(new @ 0..) = call.result.and_then(|fd| i32::try_from(fd).ok()) else {
            return;
        };
        // Whose open file it shares is not known.
        self.offsets.untold = true;
        self.flush(who, new);
        self.processes.close(who.process, new);
        if let (0..=2, Some(shown @ Shown::Socket { .. })) = (new, &call.shown) {
            let mut draft = self.draft(Kind::Dup, who.process, who.tid, 0);
            // As the probes have it: by which number another process knows it is of no interest.
            draft.event.fds = Some((-1, new));
            let taken = Arg::Descriptor("", shown.clone());
            self.describe_socket(who, Some(&taken), &mut draft.event);
            self.keep(draft);
        }
    }

    pub(super) fn signal(&mut self, who: Who, call: &Call<'_>) {
        let place = if call.name.contains("tg") { 2 } else { 1 };
        let signal = call
            .word(place)
            .and_then(names::signal)
            .filter(|it| *it != 0);
        let (Some(result), Some(signal)) = (call.result, signal) else {
            return;
        };
        let target = match call.name {
            "pidfd_send_signal" => pid(call.arg(0)),
            _ => call.int(0),
        };
        let mut draft = self.draft(Kind::Signal, who.process, who.tid, result);
        draft.event.signal = Some(signal);
        if self.about(&mut draft, target) {
            self.keep(draft);
        }
    }

    /// Sets the other process; false where it is the doer itself. A group of processes, or one that
    /// is not told, stays open.
    fn about(&self, draft: &mut super::record::Draft, target: Option<i64>) -> bool {
        let Some(tid) = target
            .and_then(|tid| u32::try_from(tid).ok())
            .filter(|tid| *tid > 0)
        else {
            return true;
        };
        match self.processes.of(tid) {
            Some(other) if other == draft.process => return false,
            Some(other) => draft.other = Some(other),
            None => {
                draft.event.other = Some(ProcessKey {
                    tgid: tid,
                    start_ns: 0,
                });
            }
        }
        true
    }

    pub(super) fn name_thread(&mut self, who: Who, call: &Call<'_>) {
        if call.name == "set_tid_address" {
            let tid = call.result.and_then(|tid| u32::try_from(tid).ok());
            if who.tid == 0
                && let Some(tid) = tid.filter(|tid| *tid > 0)
            {
                self.name_first(tid);
            }
        } else if let (Some("PR_SET_NAME"), Some(Arg::Text(name, cut))) =
            (call.word(0), call.arg(1))
            && let Some(process) = self.processes.get_mut(who.process)
        {
            process.comm = (!cut).then(|| text(name).0.chars().take(COMM).collect());
        }
    }
}

/// The process that a descriptor stands for: strace says it only with -yy, and not in every version.
fn pid(fd: Option<&Arg<'_>>) -> Option<i64> {
    match fd?.shown()? {
        Shown::Process(pid) => Some((*pid).into()),
        _ => None,
    }
}
