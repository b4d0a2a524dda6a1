//! The Python stack of the running thread, read from the interpreter's own memory while the thread
//! stands in the kernel.
//!
//! The package can write that memory: a stack tells where to look and proves nothing.
//!
//! All loops are `bpf_loop`'s: the verifier walks through what they repeat once, where it would walk
//! through each turn of a plain loop. And by its symbol, of C's kind, it knows the function that
//! probes call as a global one (Documentation/bpf/verifier.rst): it walks through it once in a program,
//! whatever calls it from where and how often. Such a function is given numbers only, and finds the
//! record again by itself; what it calls is given the record.

use core::ptr::read_volatile;

use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use pyti_trace_ebpf::{
    COOKIE, FrameHead, Interpreter, MAX_FILE, MAX_FRAMES, MAX_FUNCTION, incomplete, tag,
};

use crate::kernel::{Ptr, current, load, offset, peek, peek_ptr};
use crate::lines::line_of;
use crate::recorder::{Code, Recorder, UNREADABLE, WHOLE};
use crate::repeat::repeat;
use crate::track::ids;
use crate::user::read;

/// Set by the loader when it knows the interpreter.
#[map]
static INTERPRETER: Array<Interpreter> = Array::with_max_entries(1, 0);

/// Interpreters and threads that are looked at for the running one.
const MAX_THREADS: u32 = 128;
/// `FRAME_OWNED_BY_CSTACK` (Include/internal/pycore_frame.h): stands for a call from C, runs nothing.
const OWNED_BY_C: u8 = 3;
/// `_status.bound_gilstate` of a `PyThreadState` (Include/cpython/pystate.h): set in the one that its
/// thread used last, and in no other of that thread (`bind_gilstate_tstate` in Python/pystate.c).
const BOUND_GILSTATE: u32 = 1 << 3;
/// A task's numbers in its PID namespaces: `struct upid` (include/linux/pid.h).
const UPID: usize = 16;

/// The number of a task in its own PID namespace, which is the one that the interpreter knows.
#[inline(always)]
fn number_inside(task: Ptr) -> u32 {
    // Copied, so that the verifier sees a number: a pointer of its own it lets nobody add a level to.
    let pid = peek_ptr(task, offset!(task_thread_pid));
    let level: u32 = peek(pid, offset!(pid_level));
    let of_level = (pid as usize).wrapping_add(level as usize * UPID) as Ptr;
    peek(of_level, offset!(pid_numbers))
}

/// A search among the interpreter's threads.
#[repr(C)]
struct Search {
    interpreter: u64,
    thread: u64,
    /// Number of the thread that is looked for.
    number: u64,
    found: u64,
    /// Has room for a copy.
    recorder: Recorder,
}

/// Appends the innermost frames to the record that the running thread fills, as far as they can be
/// read, each as the name of its file with the line, and that of its function.
#[unsafe(no_mangle)]
extern "C" fn append_python_stack(place: u32) -> u32 {
    let Some(python) = INTERPRETER.get(0) else {
        return 0;
    };
    if python.runtime == 0 {
        return 0;
    }
    let Some(mut recorder) = Recorder::running(place) else {
        return 0;
    };
    if recorder.known().number == 0 {
        recorder.known().number = number_inside(current());
    }
    let number = recorder.known().number;
    let mm: Ptr = load(current(), offset!(task_mm));
    let code: u64 = load(mm, offset!(mm_start_code));
    let runtime = code
        .wrapping_sub(python.code_start)
        .wrapping_add(python.runtime);
    let known = recorder.known().state;
    let is_known = known != 0
        && is_state_of(&mut recorder, python, known, u64::from(number))
        // Memory that was given back may still say so.
        && recorder.field::<u64>(python.current_frame) != 0;
    if !is_known {
        // Another program may run by now, or none in Python.
        recorder.known().state = 0;
        if read::<u64>(runtime) != COOKIE {
            return 0;
        }
        let interpreter: u64 = read(runtime.wrapping_add(python.interpreters_head));
        let mut search = Search {
            interpreter,
            thread: read(interpreter.wrapping_add(python.threads_head)),
            number: u64::from(number),
            found: 0,
            recorder: recorder.clone(),
        };
        let first = search.thread;
        repeat(MAX_THREADS, look_at_thread, &mut search);
        // SAFETY: a local; the compiler does not see that the loop writes it.
        let found = unsafe { read_volatile(&raw const search.found) };
        if found == 0 {
            // Between fork and exec the interpreter's memory is still as the thread left it that forked.
            let forker = load::<usize>(current(), offset!(task_real_parent)) as Ptr;
            search.number = u64::from(number_inside(forker));
            search.interpreter = interpreter;
            search.thread = first;
            repeat(MAX_THREADS, look_at_thread, &mut search);
            // SAFETY: as above.
            if unsafe { read_volatile(&raw const search.found) } == 0 {
                return 0;
            }
        } else {
            recorder.known().state = found;
        }
    }
    // The thread was the last thing that was copied.
    let mut walk = Walk {
        frame: recorder.field(python.current_frame),
        recorder: recorder.clone(),
    };
    repeat(MAX_FRAMES as u32, append_frame, &mut walk);
    // SAFETY: as above.
    if unsafe { read_volatile(&raw const walk.frame) } != 0 {
        recorder.mark(incomplete::PYTHON_INCOMPLETE);
    }
    1
}

/// Copies the state of a thread at this address, and says whether it is the one that the thread with
/// this number runs by: it has one for each interpreter whose code it runs.
#[inline(always)]
fn is_state_of(recorder: &mut Recorder, python: &Interpreter, state: u64, number: u64) -> bool {
    recorder.copy_block(state, python.thread_bytes);
    recorder.field::<u64>(python.native_thread_id) == number
        && recorder.field::<u32>(python.thread_status) & BOUND_GILSTATE != 0
}

/// Looks at one thread, or goes on to the next interpreter.
unsafe extern "C" fn look_at_thread(_: u32, search: *mut Search) -> i64 {
    // SAFETY: `append_python_stack` gives it its own.
    let search = unsafe { &mut *search };
    let Some(python) = INTERPRETER.get(0) else {
        return 1;
    };
    if search.thread == 0 {
        search.interpreter = read(search.interpreter.wrapping_add(python.interpreter_next));
        if search.interpreter == 0 {
            return 1;
        }
        search.thread = read(search.interpreter.wrapping_add(python.threads_head));
        return 0;
    }
    let recorder = &mut search.recorder;
    if is_state_of(recorder, python, search.thread, search.number) {
        search.found = search.thread;
        return 1;
    }
    search.thread = recorder.field(python.thread_next);
    0
}

/// A walk from the innermost frame outwards.
#[repr(C)]
struct Walk {
    /// The next frame; 0 after the outermost one.
    frame: u64,
    /// What the frames go into.
    recorder: Recorder,
}

/// Appends one frame.
unsafe extern "C" fn append_frame(_: u32, walk: *mut Walk) -> i64 {
    // SAFETY: `append_python_stack` gives it its own.
    let walk = unsafe { &mut *walk };
    let Some(python) = INTERPRETER.get(0) else {
        return 1;
    };
    if walk.frame == 0 {
        return 1;
    }
    let recorder = &mut walk.recorder;
    recorder.copy_block(walk.frame, python.frame_bytes);
    let previous: u64 = recorder.field(python.frame_previous);
    if recorder.field::<u8>(python.frame_owner) != OWNED_BY_C {
        let code: u64 = recorder.field(python.frame_executable);
        let at: u64 = recorder.field(python.frame_instruction);
        recorder.copy_block(code, python.code_bytes);
        // An instruction has two bytes.
        let begin = code.wrapping_add(python.code_instructions);
        let code = Code {
            code,
            instruction: (at.wrapping_sub(begin) / 2) as u32,
            tgid: ids().0,
            process_start: recorder.process_start(),
            file: recorder.field(python.code_filename),
            version: u64::from(recorder.field::<u32>(python.code_version)),
        };
        if !recorder.append_known(&code) && !read_frame(recorder, python, code) {
            return 1;
        }
    }
    walk.frame = previous;
    0
}

/// Appends a frame by the code object that was copied, and says whether it can be read.
#[inline(always)]
fn read_frame(recorder: &mut Recorder, python: &Interpreter, code: Code) -> bool {
    let function: u64 = recorder.field(python.code_qualname);
    let table: u64 = recorder.field(python.code_linetable);
    let first: u32 = recorder.field(python.code_firstlineno);
    let line = line_of(recorder, python, table, first, code.instruction);
    let begin = recorder.size();
    let file = append_name(recorder, python, tag::FRAME_FILE, MAX_FILE, code.file, line);
    if file == UNREADABLE {
        return false;
    }
    let function = append_name(
        recorder,
        python,
        tag::FRAME_FUNCTION,
        MAX_FUNCTION,
        function,
        0,
    );
    if function == UNREADABLE {
        return false;
    }
    // What is cut is marked in each record; what could not be read perhaps can be the next time.
    if code.version != 0 && line != 0 && file | function == WHOLE {
        recorder.know_frame(begin, code);
    }
    true
}

/// Appends a `str` (PEP 393) with the line that stands before it, and says how much of it: [`WHOLE`],
/// [`CUT`], [`UNREADABLE`].
#[inline(always)]
fn append_name(
    recorder: &mut Recorder,
    python: &Interpreter,
    tag: u16,
    max: u32,
    text: u64,
    line: u32,
) -> u32 {
    recorder.copy_block(text, python.text_ascii_size);
    let state: u32 = recorder.field(python.text_state);
    let length: u64 = recorder.field(python.text_length);
    // Bit fields: interned 2, kind 3, compact 1, ascii 1 (Include/cpython/unicodeobject.h).
    let width = state >> 2 & 7;
    let is_ascii = state >> 6 & 1 != 0;
    // `PyCompactUnicodeObject` has two words more.
    let more = if is_ascii { 0 } else { 16 };
    let from = text.wrapping_add(python.text_ascii_size).wrapping_add(more);
    let bytes = length.wrapping_mul(u64::from(width));
    recorder.frame_name(tag, max, FrameHead { line, width }, from, bytes)
}

impl Recorder {
    /// Appends the Python stack of the running thread, where it has one.
    #[inline(always)]
    pub fn python(&mut self) {
        append_python_stack(self.place());
    }
}
