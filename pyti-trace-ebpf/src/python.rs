//! The Python stack of the running thread, read from the interpreter's own memory while the thread
//! stands in the kernel.
//!
//! The package can write that memory: a stack tells where to look and proves nothing.

use core::ffi::c_void;
use core::ptr::read_volatile;

use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_user};
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use pyti_trace_ebpf::{
    COOKIE, FrameHead, Interpreter, MAX_FILE, MAX_FRAMES, MAX_FUNCTION, incomplete, tag,
};

use crate::kernel::{Ptr, current, load, offset, peek};
use crate::recorder::Recorder;

/// Set by the loader when it knows the interpreter.
#[map]
static INTERPRETER: Array<Interpreter> = Array::with_max_entries(1, 0);

/// Interpreters and threads that are looked at for the running one.
const MAX_THREADS: usize = 64;
/// Frames that are looked at, those of C among them.
const MAX_WALKED: usize = 2 * MAX_FRAMES;
/// `FRAME_OWNED_BY_CSTACK` (Include/internal/pycore_frame.h): stands for a call from C, runs nothing.
const OWNED_BY_C: u8 = 3;
/// A table of more words of eight bytes is not read to its end.
const MAX_WORDS: u32 = 2048;
/// A task's numbers in its PID namespaces: `struct upid` (include/linux/pid.h).
const UPID: usize = 16;

/// Copies a value of user memory.
#[inline(always)]
fn read<T: Copy + Default>(at: u64) -> Option<T> {
    let mut value = T::default();
    // SAFETY: the helper checks the address; the destination is a local of that size.
    let failed = unsafe {
        bpf_probe_read_user(
            (&raw mut value).cast(),
            size_of::<T>() as u32,
            at as usize as Ptr,
        )
    };
    (failed == 0).then_some(value)
}

/// The number of a task in its own PID namespace, which is the one that the interpreter knows.
#[inline(always)]
fn number_inside(task: Ptr) -> u32 {
    let pid = load::<usize>(task, offset!(task_thread_pid)) as Ptr;
    let level: u32 = peek(pid, offset!(pid_level));
    peek(pid, offset!(pid_numbers) + level as usize * UPID)
}

/// The thread state of the running thread; between fork and exec that of the thread that forked.
#[inline(always)]
fn thread_state(python: &Interpreter, runtime: u64) -> Option<u64> {
    let own = number_inside(current());
    let parent = number_inside(load::<usize>(current(), offset!(task_real_parent)) as Ptr);
    let mut interpreter: u64 = read(runtime.wrapping_add(python.interpreters_head))?;
    let mut thread: u64 = read(interpreter.wrapping_add(python.threads_head))?;
    let mut forker = None;
    for _ in 0..MAX_THREADS {
        if thread == 0 {
            interpreter = read(interpreter.wrapping_add(python.interpreter_next))?;
            if interpreter == 0 {
                break;
            }
            thread = read(interpreter.wrapping_add(python.threads_head))?;
            continue;
        }
        let native = read::<u64>(thread.wrapping_add(python.native_thread_id))? as u32;
        if native == own {
            return Some(thread);
        }
        if native == parent {
            forker = Some(thread);
        }
        thread = read(thread.wrapping_add(python.thread_next))?;
    }
    forker
}

/// Appends the innermost frames, as far as they can be read, each as the name of its file with the line, and that of its
/// function. Not inlined, since many probes call it.
#[inline(never)]
fn append(recorder: &mut Recorder) -> Option<()> {
    let python = INTERPRETER.get(0)?;
    if python.runtime == 0 {
        return None;
    }
    let mm: Ptr = load(current(), offset!(task_mm));
    let code: u64 = load(mm, offset!(mm_start_code));
    let runtime = code
        .wrapping_sub(python.code_start)
        .wrapping_add(python.runtime);
    if read::<u64>(runtime)? != COOKIE {
        return None;
    }
    let thread = thread_state(python, runtime)?;
    let mut frame: u64 = read(thread.wrapping_add(python.current_frame))?;
    let mut kept = 0;
    for _ in 0..MAX_WALKED {
        if frame == 0 {
            return Some(());
        }
        if kept == MAX_FRAMES {
            break;
        }
        let owner: u8 = read(frame.wrapping_add(python.frame_owner))?;
        if owner != OWNED_BY_C {
            let code: u64 = read(frame.wrapping_add(python.frame_executable))?;
            let at: u64 = read(frame.wrapping_add(python.frame_instruction))?;
            // An instruction has two bytes.
            let begin = code.wrapping_add(python.code_instructions);
            let instruction = (at.wrapping_sub(begin) / 2) as u32;
            let line = line(python, code, instruction);
            let file: u64 = read(code.wrapping_add(python.code_filename))?;
            if !name::<MAX_FILE>(recorder, python, tag::FRAME_FILE, file, line) {
                return None;
            }
            let function: u64 = read(code.wrapping_add(python.code_qualname))?;
            if !name::<MAX_FUNCTION>(recorder, python, tag::FRAME_FUNCTION, function, 0) {
                return None;
            }
            kept += 1;
        }
        frame = read(frame.wrapping_add(python.frame_previous))?;
    }
    recorder.mark(incomplete::PYTHON_INCOMPLETE);
    Some(())
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
    let state: u32 = read(text.wrapping_add(python.text_state)).unwrap_or(0);
    let length: u64 = read(text.wrapping_add(python.text_length)).unwrap_or(0);
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
    /// Address of the next bytes, and how many there are.
    at: u64,
    left: u32,
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
fn line(python: &Interpreter, code: u64, instruction: u32) -> u32 {
    let table: u64 = read(code.wrapping_add(python.code_linetable)).unwrap_or(0);
    let mut lines = Lines {
        at: table.wrapping_add(python.bytes_value),
        left: read::<u64>(table.wrapping_add(python.bytes_size)).unwrap_or(0) as u32,
        instruction,
        after: 0,
        line: read(code.wrapping_add(python.code_firstlineno)).unwrap_or(0),
        value: 0,
        shift: 0,
        reading: 0,
        without: 0,
        found: 0,
    };
    // SAFETY: the callback takes what it is given here, which lives longer than the loop.
    unsafe {
        bpf_loop(
            MAX_WORDS,
            read_lines as *mut c_void,
            (&raw mut lines).cast(),
            0,
        );
    }
    // SAFETY: a local; the compiler does not see that the callback writes it.
    let lines = unsafe { read_volatile(&raw const lines) };
    if lines.found == 1 && lines.without == 0 {
        lines.line
    } else {
        0
    }
}

/// Reads eight more bytes of a table. Returns 1 when there is nothing more to be done.
unsafe extern "C" fn read_lines(_: u32, lines: *mut Lines) -> i64 {
    // SAFETY: `line` gives it its own.
    let lines = unsafe { &mut *lines };
    let mut word = 0u64;
    let size = if lines.left < 8 { lines.left } else { 8 };
    // SAFETY: the helper checks the source; the destination has eight bytes.
    let failed =
        unsafe { bpf_probe_read_user((&raw mut word).cast(), size, lines.at as usize as Ptr) };
    if failed != 0 {
        return 1;
    }
    lines.at = lines.at.wrapping_add(8);
    for index in 0..8u32 {
        if lines.left == 0 {
            lines.found = u32::from(lines.after > lines.instruction);
            return 1;
        }
        lines.left -= 1;
        let byte = (word >> (8 * index)) as u32 & 0xff;
        // Only the first byte of an entry has this bit.
        if byte & 0x80 != 0 {
            if lines.after > lines.instruction {
                lines.found = 1;
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
    }
    0
}

impl Recorder {
    /// Appends the Python stack of the running thread, where it has one.
    #[inline(always)]
    pub fn python(&mut self) {
        let _ = append(self);
    }
}
