//! Where a CPython keeps its threads, read from its file.

use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use object::elf::PF_X;
use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSection as _, ObjectSegment as _, ReadCache, SegmentFlags};
use pyti_trace_ebpf::{COOKIE, Interpreter, MAX_BLOCK};

/// Holds `_PyRuntime`, and it alone (`GENERATE_DEBUG_SECTION` in Python/pylifecycle.c).
const SECTION: &str = ".PyRuntime";
/// Its first words are read.
const WORDS: usize = 80;
/// `PY_VERSION_HEX` of 3.13, without what comes after: other versions have other words.
const VERSION: u64 = 0x030d;

/// What the file of an interpreter says of it; `None` where it publishes nothing that is understood
/// here, as before 3.13, or without a global interpreter lock.
#[must_use]
pub fn interpreter(path: &Path) -> Option<Interpreter> {
    // Whatever has been put in its place since it ran: a fifo must not hold us.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    let file = ReadCache::new(BufReader::new(file.ok()?));
    let file = ElfFile64::<object::Endianness, _>::parse(&file).ok()?;
    let section = file.section_by_name(SECTION)?;
    let start = section
        .data_range(section.address(), 8 * WORDS as u64)
        .ok()??;
    let words: Vec<u64> = start
        .chunks_exact(8)
        .filter_map(|word| Some(u64::from_le_bytes(*word.first_chunk()?)))
        .collect();
    let code_start = file
        .segments()
        .filter(|part| matches!(part.flags(), SegmentFlags::Elf { p_flags } if p_flags & PF_X != 0))
        .map(|part| part.address())
        .min()?;
    of_words(&words, section.address(), code_start)
}

/// `_Py_DebugOffsets` of 3.13, whose members are all words; the comments are its groups.
fn of_words(words: &[u64], runtime: u64, code_start: u64) -> Option<Interpreter> {
    let &[
        cookie,
        version,
        free_threaded,
        // runtime_state: size, finalizing, interpreters_head
        _,
        _,
        interpreters_head,
        // interpreter_state: size, id, next, threads_head, gc, imports_modules, sysdict, builtins,
        // ceval_gil, and four of its lock
        _,
        _,
        interpreter_next,
        threads_head,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        // thread_state: size, prev, next, interp, current_frame, thread_id, native_thread_id,
        // datastack_chunk, status
        _,
        _,
        thread_next,
        _,
        current_frame,
        _,
        native_thread_id,
        _,
        thread_status,
        // interpreter_frame: size, previous, executable, instr_ptr, localsplus, owner
        _,
        frame_previous,
        frame_executable,
        frame_instruction,
        _,
        frame_owner,
        // code_object: size, filename, name, qualname, linetable, firstlineno, argcount,
        // localsplusnames, localspluskinds, co_code_adaptive
        _,
        code_filename,
        _,
        code_qualname,
        code_linetable,
        code_firstlineno,
        _,
        code_localsplusnames,
        _,
        code_instructions,
        // pyobject 2, type_object 4, tuple_object 3, list_object 3, dict_object 3, float_object 2,
        // long_object 3
        ref rest @ ..,
    ] = words
    else {
        return None;
    };
    let &[
        // bytes_object: size, ob_size, ob_sval
        _,
        bytes_size,
        bytes_value,
        // unicode_object: size, state, length, asciiobject_size
        _,
        text_state,
        text_length,
        text_ascii_size,
        ..,
    ] = rest.get(2 + 4 + 3 + 3 + 3 + 2 + 3..)?
    else {
        return None;
    };
    let thread_bytes = bytes_of([thread_next, current_frame, native_thread_id, thread_status])?;
    let frame_bytes = bytes_of([
        frame_previous,
        frame_executable,
        frame_instruction,
        frame_owner,
    ])?;
    // The number before it, which is not published (Include/cpython/code.h).
    let code_version = code_localsplusnames.checked_sub(4)?;
    let code_bytes = bytes_of([
        code_version,
        code_filename,
        code_qualname,
        code_linetable,
        code_firstlineno,
    ])?;
    // It begins with both.
    bytes_of([text_state, text_length, text_ascii_size])?;
    let known = cookie == COOKIE && version >> 16 == VERSION && free_threaded == 0;
    known.then_some(Interpreter {
        runtime,
        code_start,
        interpreters_head,
        interpreter_next,
        threads_head,
        thread_next,
        native_thread_id,
        current_frame,
        thread_status,
        thread_bytes,
        frame_previous,
        frame_executable,
        frame_instruction,
        frame_owner,
        frame_bytes,
        code_filename,
        code_qualname,
        code_linetable,
        code_firstlineno,
        code_version,
        code_bytes,
        code_instructions,
        bytes_size,
        bytes_value,
        text_state,
        text_length,
        text_ascii_size,
    })
}

/// How much of a structure holds all of these fields, none of which crosses a word's border, in whole
/// words: what is left over is copied byte by byte. `None` where the probes have no room for it.
fn bytes_of<const FIELDS: usize>(offsets: [u64; FIELDS]) -> Option<u64> {
    let bytes = offsets.into_iter().max()?.checked_add(8)? & !7;
    (bytes <= MAX_BLOCK as u64).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each word its own number, but for those that are looked at.
    fn words() -> Vec<u64> {
        let mut words: Vec<u64> = (0..WORDS as u64).collect();
        words[0] = COOKIE;
        words[1] = 0x030d_05f0;
        words[2] = 0;
        words
    }

    #[test]
    fn words_have_the_places_of_3_13() {
        let found = of_words(&words(), 1000, 2000).expect("it is one");
        assert_eq!((found.runtime, found.code_start), (1000, 2000));
        assert_eq!(found.interpreters_head, 5);
        assert_eq!((found.interpreter_next, found.threads_head), (8, 9));
        assert_eq!((found.thread_next, found.current_frame), (21, 23));
        assert_eq!(found.native_thread_id, 25);
        assert_eq!((found.frame_previous, found.frame_owner), (29, 33));
        assert_eq!((found.code_filename, found.code_instructions), (35, 43));
        assert_eq!((found.bytes_size, found.bytes_value), (65, 66));
        assert_eq!((found.text_state, found.text_ascii_size), (68, 70));
        let bytes = [found.thread_bytes, found.frame_bytes, found.code_bytes];
        assert_eq!(bytes, [32, 40, 40]);
    }

    #[test]
    fn structures_without_room_are_not_understood() {
        let mut words = words();
        words[37] = MAX_BLOCK as u64 - 8;
        let found = of_words(&words, 1, 1).expect("there is room");
        assert_eq!(found.code_bytes, MAX_BLOCK as u64 - 7);
        for (word, offset) in [
            (37, MAX_BLOCK as u64 - 7),
            (37, u64::MAX),
            (25, 300),
            (69, 300),
        ] {
            let mut words = words.clone();
            words[word] = offset;
            assert_eq!(of_words(&words, 1, 1), None, "{word}: {offset}");
        }
    }

    #[test]
    fn other_versions_are_not_understood() {
        for (word, value) in [(0, 0), (1, 0x030e_00f0), (1, 0x030c_05f0), (2, 1)] {
            let mut words = words();
            words[word] = value;
            assert_eq!(of_words(&words, 1, 1), None, "{word}");
        }
        assert_eq!(of_words(&words()[..40], 1, 1), None);
        assert_eq!(interpreter(Path::new("/bin/sh")), None);
    }
}
