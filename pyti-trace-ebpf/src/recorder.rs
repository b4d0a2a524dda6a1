//! Filling a record and handing it to the ring buffer.
//!
//! A thread has one slot, so hooks that resolve and hooks that know the result meet there without
//! copying, whatever CPU they run on. While a record is held there for its second hook, what happens
//! within the same call is recorded in a slot of its own, which is given back at once. Executions and
//! mounts, on whose way files are opened and closed, are held in slots of their own.
//!
//! An event without a slot is counted as lost once: by the hook that would have emitted it, or by the
//! first one where the second cannot know ([`Recorder::hold_or_lose`], [`Recorder::begin_mount`]).

mod copies;
mod credentials;
mod frames;
mod names;
mod slots;
mod words;

use core::ffi::c_void;
use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::helpers::generated::{
    bpf_d_path, bpf_get_smp_processor_id, bpf_ktime_get_boot_ns, bpf_probe_read_kernel,
    bpf_probe_read_kernel_str, bpf_probe_read_user, bpf_probe_read_user_str, bpf_ringbuf_output,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::RingBuf;
use pyti_trace_ebpf::{
    AFTER_LINE_TABLE, MAX_BLOCK, MAX_LINE_TABLE, RECORD_SIZE, RING_BYTES, Record, TEXT_MAX,
    TextHead, VERSION, WAKE_BYTES, kind,
};

use copies::KnownThread;
pub use frames::Code;
pub use slots::free_slot;
use slots::{find_slot, give_back, is_held, own_slot, set_process, slot_at};

use crate::kernel::{Ptr, current, load, offset};
use crate::lost::{count_lost, count_missing, count_overwritten};
use crate::track::{COUNTERS, ids, tracked, watching};
use crate::view::{is_foreign, unresolved};

/// A text may begin at this offset of the slot's record at the latest.
const LAST_TEXT: usize = 28 * 1024;
/// Bytes of a slot behind the fixed record.
const TEXTS: usize = LAST_TEXT + size_of::<TextHead>() + TEXT_MAX - RECORD_SIZE;
/// Words of a slot that are no part of the record: a table that ends within one, and what is behind.
const SCRATCH: usize = (MAX_LINE_TABLE + 8 + AFTER_LINE_TABLE) / 8;
/// Words of a block: any of its bytes may begin one.
const BLOCK: usize = (MAX_BLOCK + 1) / 8 + 1;
/// No record is held.
const NOTHING: u32 = 0;

/// Where a record is filled: in the thread's slot, in one for what happens while that one is held, or
/// in its process's for an execution: an exec closes files on its way, which are events too, and may
/// change its thread's id; or in one of the thread's for a mount, on whose way a file system may open
/// files. Numbers, since the verifier's global functions take no others.
pub const OF_THREAD: u32 = 1;
const NESTED: u32 = 2;
pub const OF_EXEC: u32 = 3;
pub const OF_MOUNT: u32 = 4;

/// How much of something was appended, for the same reason as a number: nothing is missing,
pub const WHOLE: u32 = 0;
/// there is more than is kept,
pub const CUT: u32 = 1;
/// or it could not be read.
pub const UNREADABLE: u32 = 2;

const BPF_RB_NO_WAKEUP: u64 = 1;
const BPF_RB_FORCE_WAKEUP: u64 = 2;

/// A record in the making.
#[repr(C)]
pub struct Slot {
    /// Whose it is: see [`slots`].
    owner: u64,
    /// One more than the kind that is held here for another hook, or [`NOTHING`].
    held: u32,
    /// Which of the places this is. Read from here each time: what the verifier does not know it does
    /// not follow through the whole program for each of them.
    place: u32,
    /// The kernel object that the record is about, to match the two hooks.
    subject: u64,
    record: Record,
    texts: [u8; TEXTS],
    /// A copy of what is looked through on the way.
    scratch: [u64; SCRATCH],
    /// What the interpreter knows of the thread: see [`crate::python`].
    known: KnownThread,
    /// A copy of the structure that is looked at.
    block: [u64; BLOCK],
}

/// Records on their way to user space.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// A record that the running thread fills.
#[derive(Clone)]
#[repr(transparent)]
pub struct Recorder {
    slot: *mut Slot,
}

impl Recorder {
    /// Begins a record that the running hook emits, where the running process is tracked.
    #[inline(always)]
    pub fn begin(kind: u16) -> Option<Self> {
        if let Some(slot) = own_slot()
            && !is_held(slot)
        {
            return Some(Self::fill(slot, kind));
        }
        let process = tracked(ids().0)?;
        let mut slot = slot_at(OF_THREAD);
        if slot.is_some_and(is_held) {
            slot = slot_at(NESTED);
        }
        let Some(slot) = slot else {
            count_lost(kind);
            return None;
        };
        set_process(slot, process);
        Some(Self::fill(slot, kind))
    }

    /// Whether the running process is tracked; sooner known of one that has made an event.
    #[inline(always)]
    pub fn watches() -> bool {
        own_slot().is_some() || watching()
    }

    /// The running thread's slot, where its process is tracked and there is room.
    #[inline(always)]
    fn slot_of_thread() -> Option<*mut Slot> {
        if let Some(slot) = own_slot() {
            return Some(slot);
        }
        let process = tracked(ids().0)?;
        let slot = slot_at(OF_THREAD)?;
        set_process(slot, process);
        Some(slot)
    }

    /// Room that nobody else has, for what is no part of a record: see [`Recorder::scratch`].
    #[inline(always)]
    pub fn scratch_of_thread() -> Option<*mut u64> {
        let slot = Self::slot_of_thread()?;
        // SAFETY: a value of the map.
        Some(unsafe { (&raw mut (*slot).scratch).cast() })
    }

    /// Begins a record that another hook of the same call emits: that one counts it as lost where it
    /// does not find it.
    #[inline(always)]
    pub fn hold(kind: u16) -> Option<Self> {
        let slot = Self::slot_of_thread()?;
        let held = u32::from(kind) + 1;
        // SAFETY: a value of the map, this thread's own.
        unsafe {
            count_overwritten((*slot).held, held);
            (*slot).held = held;
        }
        Some(Self::fill(slot, kind))
    }

    /// The same, where the hook that emits it could not tell; or is this one, which begins again.
    #[inline(always)]
    pub fn hold_or_lose(kind: u16) -> Option<Self> {
        let recorder = Self::hold(kind);
        if recorder.is_none() {
            count_missing(kind);
        }
        recorder
    }

    /// Begins an execution's record: of the `struct linux_binprm` at this address.
    #[inline(always)]
    pub fn begin_exec(bprm: u64) -> Option<Self> {
        let process = tracked(ids().0)?;
        let slot = slot_at(OF_EXEC)?;
        set_process(slot, process);
        let mut recorder = Self::fill(slot, kind::EXEC);
        recorder.set_subject(bprm);
        // Another thread of the process may look for a program meanwhile: see [`Recorder::begun_exec`].
        recorder.record().tid = ids().1;
        Some(recorder)
    }

    /// Begins a mount's record: one that is taken away or moved, or that becomes the root, is like it.
    #[inline(always)]
    pub fn begin_mount() -> Option<Self> {
        let process = tracked(ids().0)?;
        let Some(slot) = slot_at(OF_MOUNT) else {
            count_lost(kind::TAMPER);
            return None;
        };
        set_process(slot, process);
        Some(Self::fill(slot, kind::TAMPER))
    }

    #[inline(always)]
    fn fill(slot: *mut Slot, kind: u16) -> Self {
        // SAFETY: a value of the map, this thread's own.
        unsafe {
            (*slot).subject = 0;
            (*slot).record.kind = kind;
            (*slot).record.has = 0;
            (*slot).record.incomplete = 0;
            write_volatile(&raw mut (*slot).record.size, RECORD_SIZE as u32);
        }
        Self { slot }
    }

    /// The record of this kind that an earlier hook of this thread holds.
    #[inline(always)]
    pub fn resume(kind: u16) -> Option<Self> {
        let recorder = Self::running(OF_THREAD)?;
        // SAFETY: a value of the map, this thread's own.
        (unsafe { (*recorder.slot).held } == u32::from(kind) + 1).then_some(recorder)
    }

    /// The record of this execution. Another thread of the process may have begun one too, which then
    /// fails when this one ends it.
    #[inline(always)]
    pub fn resume_exec(bprm: u64) -> Option<Self> {
        let recorder = Self::running(OF_EXEC)?;
        (recorder.subject() == bprm).then_some(recorder)
    }

    /// The record of the execution that the running thread has begun, where it is not told yet.
    #[inline(always)]
    pub fn begun_exec() -> Option<Self> {
        let mut recorder = Self::running(OF_EXEC)?;
        (recorder.record().tid == ids().1).then_some(recorder)
    }

    /// The record that is filled at this place.
    #[inline(always)]
    pub fn running(place: u32) -> Option<Self> {
        let slot = find_slot(place)?;
        Some(Self { slot })
    }

    /// When the running process began, nanoseconds of boot time: with its number, which one it is.
    #[inline(always)]
    pub fn process_start(&self) -> u64 {
        // SAFETY: a value of the map.
        unsafe { (*self.slot).record.start_ns }
    }

    /// Where it is filled: see [`Recorder::running`].
    #[inline(always)]
    pub fn place(&self) -> u32 {
        // SAFETY: a value of the map.
        unsafe { read_volatile(&raw const (*self.slot).place) }
    }

    /// The fixed part, to set numbers in.
    #[inline(always)]
    pub fn record(&mut self) -> &mut Record {
        // SAFETY: a value of the map, this thread's own.
        unsafe { &mut (*self.slot).record }
    }

    /// Bytes of the record so far, read from the map again.
    #[inline(always)]
    pub fn size(&self) -> usize {
        // SAFETY: a value of the map, this thread's own.
        unsafe { read_volatile(&raw const (*self.slot).record.size) as usize }
    }

    /// Marks something as missing.
    #[inline(always)]
    pub fn mark(&mut self, bit: u32) {
        self.record().incomplete |= bit;
    }

    /// Remembers what the record is about.
    #[inline(always)]
    pub fn set_subject(&mut self, subject: u64) {
        // SAFETY: a value of the map, this thread's own.
        unsafe { (*self.slot).subject = subject };
    }

    /// What the record is about, read from the map again.
    #[inline(always)]
    pub fn subject(&self) -> u64 {
        // SAFETY: a value of the map, this thread's own.
        unsafe { read_volatile(&raw const (*self.slot).subject) }
    }

    /// Appends a text that `fill` writes to the address it is given. `fill` returns how many bytes
    /// there were; it must have written no more than [`TEXT_MAX`].
    #[inline(always)]
    fn text(&mut self, tag: u16, unreadable: u32, fill: impl FnOnce(*mut c_void) -> i64) {
        // SAFETY: a value of the map; the verifier checks what follows against LAST_TEXT.
        unsafe {
            let at = self.size();
            if at > LAST_TEXT {
                self.mark(unreadable);
                return;
            }
            let head = (&raw mut (*self.slot).record).cast::<u8>().add(at);
            let full = fill(head.add(size_of::<TextHead>()).cast());
            if full < 0 {
                self.mark(unreadable);
                return;
            }
            let full = full as u64;
            let len = if full > TEXT_MAX as u64 {
                TEXT_MAX as u64
            } else {
                full
            };
            let head = head.cast::<TextHead>();
            write_volatile(&raw mut (*head).tag, tag);
            write_volatile(&raw mut (*head).len, len as u16);
            write_volatile(&raw mut (*head).full, full as u32);
            let next = (at as u64 + size_of::<TextHead>() as u64 + len + 7) & !7;
            write_volatile(&raw mut (*self.slot).record.size, next as u32);
        }
    }

    /// Appends the absolute path of a `struct path`.
    #[inline(always)]
    pub fn path(&mut self, tag: u16, unreadable: u32, path: Ptr) {
        self.text(tag, unreadable, |at| {
            // SAFETY: the verifier checks that `path` is one, and the room at `at`.
            unsafe { bpf_d_path(path as *mut _, at.cast(), TEXT_MAX as u32) }
        });
        if is_foreign(path) {
            self.mark(unresolved(unreadable));
        }
    }

    /// Appends a kernel string of at most `MAX` bytes.
    #[inline(always)]
    pub fn string<const MAX: u32>(&mut self, tag: u16, unreadable: u32, string: Ptr) {
        self.text(tag, unreadable, |at| {
            // SAFETY: the helper checks the source, the verifier the destination.
            unsafe { bpf_probe_read_kernel_str(at, MAX, string) }
        });
    }

    /// Appends a string of user memory.
    #[inline(always)]
    pub fn user_string(&mut self, tag: u16, unreadable: u32, string: Ptr) {
        self.text(tag, unreadable, |at| {
            // SAFETY: the helper checks the source, the verifier the destination.
            unsafe { bpf_probe_read_user_str(at, TEXT_MAX as u32, string) }
        });
    }

    /// Appends the name of a dentry.
    #[inline(always)]
    pub fn name(&mut self, tag: u16, unreadable: u32, dentry: Ptr) {
        let name: Ptr = load(dentry, offset!(dentry_name) + offset!(qstr_name));
        self.string::<256>(tag, unreadable, name);
    }

    /// Appends the first `MAX` of `len` bytes of user memory.
    #[inline(always)]
    pub fn user<const MAX: u32>(&mut self, tag: u16, unreadable: u32, from: Ptr, len: u64) {
        self.text(tag, unreadable, |at| {
            let cut = if len > u64::from(MAX) {
                u64::from(MAX)
            } else {
                len
            };
            // SAFETY: the helper checks the source, the verifier the destination.
            match unsafe { bpf_probe_read_user(at, cut as u32, from) } {
                0 if len > u64::from(MAX) => cut as i64,
                0 => len as i64,
                error => error,
            }
        });
    }

    /// The first bytes of the first text, as a little-endian number.
    #[inline(always)]
    pub fn first_bytes(&self) -> u32 {
        // SAFETY: a value of the map; there is room for texts behind the record.
        unsafe {
            let texts = (&raw const (*self.slot).texts).cast::<u8>();
            read_volatile(texts.add(size_of::<TextHead>()).cast())
        }
    }

    /// Appends `len`, at most `MAX`, bytes of kernel memory.
    #[inline(always)]
    pub fn kernel<const MAX: u32>(&mut self, tag: u16, unreadable: u32, from: Ptr, len: u32) {
        self.text(tag, unreadable, |at| {
            let cut = if len > MAX { MAX } else { len };
            // SAFETY: the helper checks the source, the verifier the destination.
            match unsafe { bpf_probe_read_kernel(at, cut, from) } {
                0 => i64::from(cut),
                error => error,
            }
        });
    }

    /// Completes the record with its doer and its result, and hands it over. The kind is given
    /// again so that it is known when the probe is compiled.
    #[inline(always)]
    pub fn emit(self, kind: u16, result: i64) {
        self.hand_over(kind, result);
        let place = self.place();
        if place == OF_THREAD {
            // SAFETY: a value of the map, this thread's own.
            unsafe { (*self.slot).held = NOTHING };
        } else {
            give_back(place);
        }
    }

    #[inline(always)]
    fn hand_over(&self, kind: u16, result: i64) {
        let Some(counters) = COUNTERS.get_ptr_mut(0) else {
            return;
        };
        let (_, tid) = ids();
        let task = current();
        // `TASK_COMM_LEN` bytes (include/linux/sched.h), padded by whoever sets them: two loads do what the
        // helper takes a hundred instructions for.
        let comm = [
            load::<u64>(task, offset!(task_comm)),
            load::<u64>(task, offset!(task_comm) + 8),
        ];
        let cred: Ptr = load(task, offset!(task_cred));
        let uid = load(cred, offset!(cred_euid));
        let caps = load(cred, offset!(cred_caps));
        // SAFETY: values of maps, this thread's and this CPU's own; helpers without preconditions.
        unsafe {
            let record = &raw mut (*self.slot).record;
            (*record).version = VERSION;
            (*record).cpu = bpf_get_smp_processor_id();
            (*record).time_ns = bpf_ktime_get_boot_ns();
            (*record).tid = tid;
            (*record).uid = uid;
            (*record).caps = caps;
            write_volatile((&raw mut (*record).comm).cast(), comm);
            (*record).result = result;

            (*record).seq = (*counters).seq;
            (*counters).seq += 1;
            let family = &raw mut (*counters).families[kind::family(kind)];
            (*family).seen += 1;
            let size = u64::from(read_volatile(&raw const (*record).size));
            if size > (RECORD_SIZE + TEXTS) as u64 {
                (*family).oversize += 1;
                return;
            }
            let ring = (&raw const EVENTS).cast_mut().cast();
            (*counters).since_wake += size;
            let flags = if urgent(kind) || (*counters).since_wake >= WAKE_BYTES {
                (*counters).since_wake = 0;
                BPF_RB_FORCE_WAKEUP
            } else {
                BPF_RB_NO_WAKEUP
            };
            if bpf_ringbuf_output(ring, record.cast(), size, flags) == 0 {
                (*family).submitted += 1;
            } else {
                (*family).full += 1;
            }
        }
    }
}

/// What should leave the machine at once, lest the machine be wrecked first.
#[inline(always)]
const fn urgent(kind: u16) -> bool {
    matches!(
        kind,
        kind::EXEC | kind::CONNECT | kind::TAMPER | kind::PTRACE
    )
}
