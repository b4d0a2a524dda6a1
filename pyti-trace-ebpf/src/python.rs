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

use core::ptr::{read_unaligned, read_volatile};

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, LruHashMap};
use pyti_trace_ebpf::{
    AFTER_LINE_TABLE, COOKIE, FrameHead, Interpreter, MAX_FILE, MAX_FRAMES, MAX_FUNCTION,
    MAX_LINE_TABLE, incomplete, tag,
};

use crate::kernel::{Ptr, current, load, offset, peek, peek_ptr};
use crate::recorder::Recorder;
use crate::repeat::repeat;
use crate::track::ids;
use crate::user::read;

/// Set by the loader when it knows the interpreter.
#[map]
static INTERPRETER: Array<Interpreter> = Array::with_max_entries(1, 0);

/// Lines that were found: nearly every stack of a process has its outer frames in common with the one
/// before.
#[map]
static LINES: LruHashMap<LineKey, u32> = LruHashMap::with_max_entries(4096, 0);

/// What a line was found by. What a table holds is asked, not where it lies: memory is used again. And
/// the process: one could make a table that is taken for another's.
#[repr(C)]
#[derive(Clone, Copy)]
struct LineKey {
    /// See [`Lines::mixed`].
    mixed: u64,
    process_start: u64,
    tgid: u32,
    pad: u32,
}

/// Interpreters and threads that are looked at for the running one.
const MAX_THREADS: u32 = 128;
/// `FRAME_OWNED_BY_CSTACK` (Include/internal/pycore_frame.h): stands for a call from C, runs nothing.
const OWNED_BY_C: u8 = 3;
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
    // A thread has a state for each interpreter that it runs code of; new ones come first.
    let is_known = known != 0
        && read::<u64>(runtime.wrapping_add(python.interpreters_head))
            == recorder.known().interpreter
        && number_of_thread(&mut recorder, python, known) == number
        // A state that was given up keeps its number, and has no frame.
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
        } else if read::<u64>(interpreter.wrapping_add(python.interpreter_next)) == 0 {
            recorder.known().interpreter = interpreter;
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

/// Copies the thread at this address, and gives its number.
#[inline(always)]
fn number_of_thread(recorder: &mut Recorder, python: &Interpreter, thread: u64) -> u32 {
    recorder.copy_block(thread, python.thread_bytes);
    recorder.field(python.native_thread_id)
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
    if u64::from(number_of_thread(recorder, python, search.thread)) == search.number {
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
        // An instruction has two bytes.
        let begin = code.wrapping_add(python.code_instructions);
        let instruction = (at.wrapping_sub(begin) / 2) as u32;
        recorder.copy_block(code, python.code_bytes);
        let file: u64 = recorder.field(python.code_filename);
        let function: u64 = recorder.field(python.code_qualname);
        let table: u64 = recorder.field(python.code_linetable);
        let first: u32 = recorder.field(python.code_firstlineno);
        let line = line_of(recorder, python, table, first, instruction);
        if !append_name(recorder, python, tag::FRAME_FILE, MAX_FILE, file, line)
            || !append_name(
                recorder,
                python,
                tag::FRAME_FUNCTION,
                MAX_FUNCTION,
                function,
                0,
            )
        {
            return 1;
        }
    }
    walk.frame = previous;
    0
}

/// Appends a `str` (PEP 393) with the line that stands before it, and says whether it can be read.
#[inline(always)]
fn append_name(
    recorder: &mut Recorder,
    python: &Interpreter,
    tag: u16,
    max: u32,
    text: u64,
    line: u32,
) -> bool {
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

/// A table of lines and how far it was read (Objects/locations.md in CPython's sources).
#[repr(C)]
struct Lines {
    /// The table's copy, with [`AFTER_LINE_TABLE`] zeroes behind it.
    table: *const u8,
    /// What the table holds, and which instruction is looked for, as one number.
    mixed: u64,
    /// Bytes of it.
    len: u32,
    /// Where reading goes on.
    at: u32,
    /// The instruction that is looked for, and the first one after the entries that were read.
    instruction: u32,
    after: u32,
    /// Of the last entry that was read.
    line: u32,
    /// 1: that entry has no line.
    without: u32,
}

/// The line of an instruction by a function's table; 0 where it has none or it cannot be read.
#[inline(always)]
fn line_of(
    recorder: &mut Recorder,
    python: &Interpreter,
    table: u64,
    first: u32,
    instruction: u32,
) -> u32 {
    let size: u64 = read(table.wrapping_add(python.bytes_size));
    let len = if size > MAX_LINE_TABLE as u64 {
        MAX_LINE_TABLE as u32
    } else {
        size as u32
    };
    let copy = recorder.scratch();
    for word in 0..=AFTER_LINE_TABLE / 8 {
        // SAFETY: the scratch has this room behind the word in which the longest table ends.
        unsafe { copy.add(len as usize / 8 + word).write(0) };
    }
    // SAFETY: the scratch has this room, the helper checks the source.
    let failed = unsafe {
        let from = table.wrapping_add(python.bytes_value) as usize as Ptr;
        bpf_probe_read_user(copy.cast(), len, from)
    };
    if failed != 0 {
        return 0;
    }
    let mut lines = Lines {
        table: copy.cast(),
        mixed: mix(u64::from(first) << 32 | u64::from(instruction), size),
        len,
        at: 0,
        instruction,
        after: 0,
        line: first,
        without: 0,
    };
    repeat(len.div_ceil(AFTER_LINE_TABLE as u32), mix_lines, &mut lines);
    // SAFETY: a local; the compiler does not see that the loop writes it.
    let mixed = unsafe { read_volatile(&raw const lines.mixed) };
    let key = LineKey {
        mixed,
        process_start: recorder.process_start(),
        tgid: ids().0,
        pad: 0,
    };
    if let Some(known) = LINES.get_ptr(key) {
        // SAFETY: a value of the map.
        return unsafe { *known };
    }
    repeat(MAX_LINE_TABLE as u32, read_entry, &mut lines);
    // SAFETY: as above.
    let lines = unsafe { read_volatile(&raw const lines) };
    let line = if lines.after > instruction && lines.without == 0 {
        lines.line
    } else {
        0
    };
    let _ = LINES.insert(key, line, 0);
    line
}

/// Mixes a number with another one (Fibonacci hashing, with the upper half folded in).
#[inline(always)]
const fn mix(with: u64, number: u64) -> u64 {
    let mixed = (with ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 32
}

/// Mixes the next [`AFTER_LINE_TABLE`] bytes of a table.
unsafe extern "C" fn mix_lines(index: u32, lines: *mut Lines) -> i64 {
    // SAFETY: `line_of` gives it its own.
    let lines = unsafe { &mut *lines };
    let at = index as usize * AFTER_LINE_TABLE & (MAX_LINE_TABLE - 1);
    let mut mixed = lines.mixed;
    for word in 0..AFTER_LINE_TABLE / 8 {
        // SAFETY: in the copy.
        mixed = mix(mixed, unsafe {
            read_volatile(lines.table.add(at).cast::<u64>().add(word))
        });
    }
    lines.mixed = mixed;
    0
}

/// Reads one more entry of a table, or goes on in a long one to the next. Returns 1 when there is
/// nothing more to be done.
///
/// Sums instead of branches: of what a branch sets to a number, the verifier tries each.
unsafe extern "C" fn read_entry(_: u32, lines: *mut Lines) -> i64 {
    // SAFETY: `line_of` gives it its own.
    let lines = unsafe { &mut *lines };
    if lines.at >= lines.len {
        return 1;
    }
    // Less than the length, which is no more than a power of two: so the verifier sees it too.
    let at = lines.at as usize & (MAX_LINE_TABLE - 1);
    // SAFETY: in the copy and what stands behind it.
    let bytes = unsafe { read_unaligned(lines.table.add(at).cast::<u64>()) };
    // Only the first byte of an entry has its highest bit set. Looked at are those after this one.
    let first_bytes = bytes >> 8 & 0x80_8080_8080_8080 | 1 << 63;
    lines.at += 1 + first_bytes.trailing_zeros() / 8;
    let head = bytes as u32 & 0xff;
    if head & 0x80 == 0 {
        return 0;
    }
    let code = head >> 3 & 15;
    lines.line = lines.line.wrapping_add(match code {
        11 => 1,
        12 => 2,
        13 | 14 => signed(bytes >> 8),
        _ => 0,
    });
    lines.without = (code + 1) >> 4;
    lines.after += (head & 7) + 1;
    i64::from(lines.after > lines.instruction)
}

/// A number in six bits a byte, each but the last with the next bit set, the lowest bit being the sign.
#[inline(always)]
fn signed(bytes: u64) -> u32 {
    let mut value = 0;
    let mut goes_on = u64::MAX;
    for index in 0..6 {
        let byte = bytes >> (8 * index);
        value |= (byte & 0x3f) << (6 * index) & goes_on;
        goes_on &= 0u64.wrapping_sub(byte >> 6 & 1);
    }
    let sign = 0u32.wrapping_sub(value as u32 & 1);
    (((value >> 1) as u32) ^ sign).wrapping_sub(sign)
}

impl Recorder {
    /// Appends the Python stack of the running thread, where it has one.
    #[inline(always)]
    pub fn python(&mut self) {
        append_python_stack(self.place());
    }
}
