//! The Python stack of the running thread, read from the interpreter's own memory while the thread
//! stands in the kernel.
//!
//! The package can write that memory: a stack tells where to look and proves nothing.
//!
//! All loops are `bpf_loop`'s: the verifier walks through what they repeat once, where it would walk
//! through each turn of a plain loop, in each of the probes that come here.

use core::ffi::c_void;
use core::ptr::read_volatile;

use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_user};
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use pyti_trace_ebpf::{
    COOKIE, FrameHead, Interpreter, MAX_FILE, MAX_FRAMES, MAX_FUNCTION, MAX_LINE_TABLE, incomplete,
    tag,
};

use crate::kernel::{Ptr, current, load, offset, peek, peek_ptr};
use crate::recorder::Recorder;

/// Set by the loader when it knows the interpreter.
#[map]
static INTERPRETER: Array<Interpreter> = Array::with_max_entries(1, 0);

/// Interpreters and threads that are looked at for the running one.
const MAX_THREADS: u32 = 128;
/// `FRAME_OWNED_BY_CSTACK` (Include/internal/pycore_frame.h): stands for a call from C, runs nothing.
const OWNED_BY_C: u8 = 3;
/// A task's numbers in its PID namespaces: `struct upid` (include/linux/pid.h).
const UPID: usize = 16;

/// A value of user memory; its default where it cannot be read. (No `Option`: its empty half would be
/// a register that nobody set, which the verifier refuses to see stored.)
#[inline(always)]
fn read<T: Copy + Default>(at: u64) -> T {
    let mut value = T::default();
    // SAFETY: the helper checks the address, and zeroes the destination, a local of that size, where
    // it cannot read.
    unsafe {
        bpf_probe_read_user(
            (&raw mut value).cast(),
            size_of::<T>() as u32,
            at as usize as Ptr,
        );
    }
    value
}

/// Runs `turn` up to `turns` times on `state`, until it returns 1.
#[inline(always)]
fn repeat<T>(turns: u32, turn: unsafe extern "C" fn(u32, *mut T) -> i64, state: &mut T) {
    // SAFETY: `turn` takes what it is given here, which lives longer than the loop.
    unsafe {
        bpf_loop(turns, turn as *mut c_void, (&raw mut *state).cast(), 0);
    }
}

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
    /// Of the running thread, and of the one that forked it.
    own: u32,
    forker: u32,
    found: u64,
    forked_from: u64,
}

/// Appends the innermost frames, as far as they can be read, each as the name of its file with the
/// line, and that of its function. Not inlined, since it is long.
#[inline(never)]
fn append(recorder: &mut Recorder) -> u32 {
    let Some(python) = INTERPRETER.get(0) else {
        return 0;
    };
    if python.runtime == 0 {
        return 0;
    }
    let mm: Ptr = load(current(), offset!(task_mm));
    let code: u64 = load(mm, offset!(mm_start_code));
    let runtime = code
        .wrapping_sub(python.code_start)
        .wrapping_add(python.runtime);
    if read::<u64>(runtime) != COOKIE {
        return 0;
    }
    let interpreter: u64 = read(runtime.wrapping_add(python.interpreters_head));
    let mut search = Search {
        interpreter,
        thread: read(interpreter.wrapping_add(python.threads_head)),
        own: number_inside(current()),
        forker: number_inside(load::<usize>(current(), offset!(task_real_parent)) as Ptr),
        found: 0,
        forked_from: 0,
    };
    repeat(MAX_THREADS, look_at_thread, &mut search);
    // SAFETY: a local; the compiler does not see that the loop writes it.
    let search = unsafe { read_volatile(&raw const search) };
    // Between fork and exec the interpreter's memory is still as the thread left it that forked.
    let thread = if search.found != 0 {
        search.found
    } else {
        search.forked_from
    };
    if thread == 0 {
        return 0;
    }
    let mut walk = Walk {
        recorder,
        frame: read(thread.wrapping_add(python.current_frame)),
    };
    repeat(MAX_FRAMES as u32, append_frame, &mut walk);
    // SAFETY: as above.
    if unsafe { read_volatile(&raw const walk.frame) } != 0 {
        recorder.mark(incomplete::PYTHON_INCOMPLETE);
    }
    1
}

/// Looks at one thread, or goes on to the next interpreter.
unsafe extern "C" fn look_at_thread(_: u32, search: *mut Search) -> i64 {
    // SAFETY: `append` gives it its own.
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
    let native = read::<u64>(search.thread.wrapping_add(python.native_thread_id)) as u32;
    if native == search.own {
        search.found = search.thread;
        return 1;
    }
    if native == search.forker {
        search.forked_from = search.thread;
    }
    search.thread = read(search.thread.wrapping_add(python.thread_next));
    0
}

/// A walk from the innermost frame outwards.
#[repr(C)]
struct Walk {
    recorder: *mut Recorder,
    /// The next frame; 0 after the outermost one.
    frame: u64,
}

/// Appends one frame.
unsafe extern "C" fn append_frame(_: u32, walk: *mut Walk) -> i64 {
    // SAFETY: `append` gives it its own, and nothing else uses the recorder meanwhile.
    let (walk, recorder) = unsafe { (&mut *walk, &mut *(*walk).recorder) };
    let Some(python) = INTERPRETER.get(0) else {
        return 1;
    };
    let frame = walk.frame;
    if frame == 0 {
        return 1;
    }
    if read::<u8>(frame.wrapping_add(python.frame_owner)) != OWNED_BY_C {
        let code: u64 = read(frame.wrapping_add(python.frame_executable));
        let at: u64 = read(frame.wrapping_add(python.frame_instruction));
        // An instruction has two bytes.
        let begin = code.wrapping_add(python.code_instructions);
        let instruction = (at.wrapping_sub(begin) / 2) as u32;
        let line = line(recorder, python, code, instruction);
        let file: u64 = read(code.wrapping_add(python.code_filename));
        let function: u64 = read(code.wrapping_add(python.code_qualname));
        if !name::<MAX_FILE>(recorder, python, tag::FRAME_FILE, file, line)
            || !name::<MAX_FUNCTION>(recorder, python, tag::FRAME_FUNCTION, function, 0)
        {
            return 1;
        }
    }
    walk.frame = read(frame.wrapping_add(python.frame_previous));
    0
}

/// Appends a `str` (PEP 393) with what stands before it, and says whether it could be read.
#[inline(always)]
fn name<const MAX: u32>(
    recorder: &mut Recorder,
    python: &Interpreter,
    tag: u16,
    text: u64,
    line: u32,
) -> bool {
    let state: u32 = read(text.wrapping_add(python.text_state));
    let length: u64 = read(text.wrapping_add(python.text_length));
    // Bit fields: interned 2, kind 3, compact 1, ascii 1 (Include/cpython/unicodeobject.h).
    let width = state >> 2 & 7;
    let is_ascii = state >> 6 & 1 != 0;
    // `PyCompactUnicodeObject` has two words more.
    let more = if is_ascii { 0 } else { 16 };
    let from = text.wrapping_add(python.text_ascii_size).wrapping_add(more);
    let bytes = length.wrapping_mul(u64::from(width));
    recorder.frame_name::<MAX>(tag, FrameHead { line, width }, from, bytes)
}

/// How far a table of lines was read (Objects/locations.md in CPython's sources).
#[repr(C)]
struct Lines {
    /// The table's copy.
    table: *const u8,
    /// Bytes of it.
    len: u32,
    /// The instruction that is looked for, and the first one after the entry being read.
    instruction: u32,
    after: u32,
    line: u32,
    /// A number being read: its bits, and how many; it is one of a line.
    value: u32,
    shift: u32,
    reading: u32,
    /// The entry being read has no line.
    without: u32,
    found: u32,
}

/// The line of an instruction; 0 where it has none or it cannot be read.
#[inline(always)]
fn line(recorder: &mut Recorder, python: &Interpreter, code: u64, instruction: u32) -> u32 {
    let from: u64 = read(code.wrapping_add(python.code_linetable));
    let size: u64 = read(from.wrapping_add(python.bytes_size));
    let len = if size > MAX_LINE_TABLE as u64 {
        MAX_LINE_TABLE as u32
    } else {
        size as u32
    };
    let table = recorder.scratch();
    // SAFETY: the scratch has this room, the helper checks the source.
    let failed = unsafe {
        let from = from.wrapping_add(python.bytes_value) as usize as Ptr;
        bpf_probe_read_user(table.cast(), len, from)
    };
    if failed != 0 {
        return 0;
    }
    let mut lines = Lines {
        table,
        len,
        instruction,
        after: 0,
        line: read(code.wrapping_add(python.code_firstlineno)),
        value: 0,
        shift: 0,
        reading: 0,
        without: 0,
        found: 0,
    };
    // One turn more: only the end of an entry says that it was the one.
    repeat(MAX_LINE_TABLE as u32 + 1, read_lines, &mut lines);
    // SAFETY: a local; the compiler does not see that the loop writes it.
    let lines = unsafe { read_volatile(&raw const lines) };
    if lines.found == 1 && lines.without == 0 {
        lines.line
    } else {
        0
    }
}

/// Reads one more byte of a table. Returns 1 when there is nothing more to be done.
unsafe extern "C" fn read_lines(index: u32, lines: *mut Lines) -> i64 {
    // SAFETY: `line` gives it its own.
    let lines = unsafe { &mut *lines };
    let byte = if index < lines.len {
        // The length is no longer than the copy, which is a power of two; so the verifier sees it too.
        let at = index as usize & (MAX_LINE_TABLE - 1);
        // SAFETY: in the copy.
        u32::from(unsafe { read_volatile(lines.table.add(at)) })
    } else {
        // As if another entry began.
        0x80
    };
    // Only the first byte of an entry has this bit.
    if byte & 0x80 != 0 {
        if lines.after > lines.instruction || index >= lines.len {
            lines.found = u32::from(lines.after > lines.instruction);
            return 1;
        }
        lines.after += (byte & 7) + 1;
        let code = byte >> 3 & 15;
        if code == 11 || code == 12 {
            lines.line = lines.line.wrapping_add(code - 10);
        }
        lines.reading = u32::from(code == 13 || code == 14);
        lines.without = u32::from(code == 15);
        lines.value = 0;
        lines.shift = 0;
    } else if lines.reading != 0 {
        lines.value |= (byte & 0x3f) << (lines.shift & 31);
        lines.shift += 6;
        if byte & 0x40 == 0 {
            lines.reading = 0;
            let by = lines.value >> 1;
            lines.line = if lines.value & 1 != 0 {
                lines.line.wrapping_sub(by)
            } else {
                lines.line.wrapping_add(by)
            };
        }
    }
    0
}

impl Recorder {
    /// Appends the Python stack of the running thread, where it has one.
    #[inline(always)]
    pub fn python(&mut self) {
        append(self);
    }
}
