//! Where a Python interpreter keeps what its threads run. CPython 3.13 and later publish the
//! offsets of their own structures at the beginning of `_PyRuntime`, for debuggers and profilers
//! (`_Py_DebugOffsets`, Include/internal/pycore_runtime.h in 3.13).

macro_rules! interpreter {
    ($($field:ident: $text:literal,)*) => {
        /// Addresses and offsets, bytes. All zero: no interpreter is known.
        #[repr(C)]
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Interpreter {
            $(#[doc = $text] pub $field: u64,)*
        }
    };
}

interpreter! {
    runtime: "Address of `_PyRuntime` in the interpreter's file.",
    code_start: "Lowest address of the file's executable segments; the kernel tells where that was loaded.",
    interpreters_head: "`_PyRuntimeState.interpreters.head`.",
    interpreter_next: "`PyInterpreterState.next`.",
    threads_head: "`PyInterpreterState.threads.head`.",
    thread_next: "`PyThreadState.next`.",
    native_thread_id: "`PyThreadState.native_thread_id`.",
    current_frame: "`PyThreadState.current_frame`.",
    thread_status: "`PyThreadState._status`.",
    thread_bytes: "Bytes of a `PyThreadState` that hold these four.",
    frame_previous: "`_PyInterpreterFrame.previous`.",
    frame_executable: "`_PyInterpreterFrame.f_executable`.",
    frame_instruction: "`_PyInterpreterFrame.instr_ptr`.",
    frame_owner: "`_PyInterpreterFrame.owner`.",
    frame_bytes: "Bytes of a `_PyInterpreterFrame` that hold these four.",
    code_filename: "`PyCodeObject.co_filename`.",
    code_qualname: "`PyCodeObject.co_qualname`.",
    code_linetable: "`PyCodeObject.co_linetable`.",
    code_firstlineno: "`PyCodeObject.co_firstlineno`.",
    code_version: "`PyCodeObject.co_version`.",
    code_bytes: "Bytes of a `PyCodeObject` that hold these five.",
    code_instructions: "`PyCodeObject.co_code_adaptive`.",
    bytes_size: "`PyBytesObject.ob_size`.",
    bytes_value: "`PyBytesObject.ob_sval`.",
    text_state: "`PyASCIIObject.state`.",
    text_length: "`PyASCIIObject.length`.",
    text_ascii_size: "Size of `PyASCIIObject`, which the characters of an ASCII string follow.",
}

/// What `_PyRuntime` begins with, as a little-endian number.
pub const COOKIE: u64 = u64::from_le_bytes(*b"xdebugpy");
/// Frames that are looked at for an event, from the innermost one on. Those that stand for calls from
/// C are among them, and not kept.
pub const MAX_FRAMES: usize = 16;
/// Bytes of the name of a frame's file, and of its function, that are kept.
pub const MAX_FILE: u32 = 256;
/// See [`MAX_FILE`].
pub const MAX_FUNCTION: u32 = 128;
/// A line is looked for in so many bytes of a function's table of lines: some 2,000 lines of code.
pub const MAX_LINE_TABLE: usize = 8192;
/// Bytes of a structure that are copied at most, to look at its fields: all bits of such a number set.
pub const MAX_BLOCK: usize = 255;
/// Bytes of zeroes behind a table's copy, so that eight bytes can be read wherever an entry begins.
pub const AFTER_LINE_TABLE: usize = 8;
/// Size of what stands before a name in a text: [`FrameHead`].
pub const FRAME_HEAD: usize = size_of::<FrameHead>();

/// What stands before the name of a frame's file, and of its function.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct FrameHead {
    /// Line, from 1; 0 where it is not known.
    pub line: u32,
    /// Bytes of a character of the name: 1 (Latin-1), 2 or 4 (PEP 393).
    pub width: u32,
}
