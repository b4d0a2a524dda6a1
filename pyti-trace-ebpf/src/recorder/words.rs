//! Lists of words as execve takes them: pointers to strings, of which the last one is null. They lie in
//! user memory, one may be as long as the other is short, and all are kept that fit one text.
//!
//! The loop and the long functions are made as those in `python`, for the verifier's sake.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::helpers::generated::{bpf_probe_read_user, bpf_probe_read_user_str};
use pyti_trace_ebpf::{TEXT_MAX, TextHead};

use super::{CUT, LAST_TEXT, Recorder, UNREADABLE, WHOLE};
use crate::kernel::Ptr;
use crate::repeat::repeat;

/// Bytes read of a word: one more than a text keeps, so that it shows where something was cut. What is
/// too much goes where the next text will be, or into the scratch behind the last one.
const MAX_WORD: u32 = TEXT_MAX as u32 + 1;
/// Every word takes a byte at least, and the end of the list is looked at too.
const MAX_TURNS: u32 = TEXT_MAX as u32 + 1;

/// A walk along a list.
#[repr(C)]
struct List {
    /// Address of the next pointer.
    next: u64,
    /// Bytes of a pointer.
    width: u32,
    /// Which record the words go into: see [`Recorder::running`].
    place: u32,
    /// What is missing.
    missing: u32,
}

impl Recorder {
    /// Appends the words of the list at `first`, whose pointers have `width` bytes, each with its NUL.
    /// The marks are those of a list that is cut, and of one that cannot be read.
    #[inline(always)]
    pub fn words(&mut self, tag: u16, [cut, unreadable]: [u32; 2], first: u64, width: u32) {
        match append_words(self.place(), tag, first, width) {
            WHOLE => {}
            CUT => self.mark(cut),
            _ => self.mark(unreadable),
        }
    }
}

/// Appends a list as one text, and says what is missing.
#[unsafe(no_mangle)]
extern "C" fn append_words(place: u32, tag: u16, first: u64, width: u32) -> u32 {
    let Some(recorder) = Recorder::running(place) else {
        return UNREADABLE;
    };
    // SAFETY: a value of the map; the verifier checks what follows against LAST_TEXT.
    unsafe {
        let at = read_volatile(&raw const (*recorder.slot).record.size) as usize;
        if at > LAST_TEXT {
            return UNREADABLE;
        }
        let head = (&raw mut (*recorder.slot).record).cast::<u8>().add(at);
        let head = head.cast::<TextHead>();
        write_volatile(&raw mut (*head).full, 0);
        let mut list = List {
            next: first,
            width,
            place,
            missing: CUT,
        };
        repeat(MAX_TURNS, append_next, &mut list);
        // The compiler does not see that the loop writes it.
        let missing = read_volatile(&raw const list.missing);
        let full = read_volatile(&raw const (*head).full);
        if missing == UNREADABLE && full == 0 {
            return UNREADABLE;
        }
        let len = if full > TEXT_MAX as u32 {
            TEXT_MAX as u32
        } else {
            full
        };
        write_volatile(&raw mut (*head).tag, tag);
        write_volatile(&raw mut (*head).len, len as u16);
        let next = (at as u32 + size_of::<TextHead>() as u32 + len + 7) & !7;
        write_volatile(&raw mut (*recorder.slot).record.size, next);
        missing
    }
}

/// Appends the word that the next pointer leads to.
unsafe extern "C" fn append_next(_: u32, list: *mut List) -> i64 {
    // SAFETY: `append_words` gives it its own.
    let list = unsafe { &mut *list };
    // As the kernel has it, a list at no address is an empty one.
    if list.next == 0 {
        list.missing = WHOLE;
        return 1;
    }
    let mut word = [0u64; 2];
    // SAFETY: the helper checks the source; the destination has sixteen bytes, of which no more are
    // asked for: the verifier does not know that a pointer's size is four or eight.
    let failed = unsafe {
        let from = list.next as usize as Ptr;
        bpf_probe_read_user((&raw mut word).cast(), list.width & 15, from)
    };
    if failed != 0 {
        list.missing = UNREADABLE;
        return 1;
    }
    if word[0] == 0 {
        list.missing = WHOLE;
        return 1;
    }
    list.next = list.next.wrapping_add(u64::from(list.width));
    let missing = append_word(list.place, word[0]);
    if missing != WHOLE {
        list.missing = missing;
        return 1;
    }
    0
}

/// Appends a string to the text that is in the making at the record's end, whose head counts its bytes.
#[unsafe(no_mangle)]
extern "C" fn append_word(place: u32, string: u64) -> u32 {
    let Some(recorder) = Recorder::running(place) else {
        return UNREADABLE;
    };
    // SAFETY: a value of the map; the verifier checks the room at `to`, the helper the source.
    unsafe {
        let at = read_volatile(&raw const (*recorder.slot).record.size) as usize;
        if at > LAST_TEXT {
            return CUT;
        }
        let head = (&raw mut (*recorder.slot).record).cast::<u8>().add(at);
        let full = &raw mut (*head.cast::<TextHead>()).full;
        if read_volatile(full) >= TEXT_MAX as u32 {
            return CUT;
        }
        // Read again, and masked: so the verifier sees it too.
        let used = read_volatile(full) as usize & (TEXT_MAX - 1);
        let to = head.add(size_of::<TextHead>()).add(used);
        let read = bpf_probe_read_user_str(to.cast(), MAX_WORD, string as usize as Ptr);
        if read < 0 {
            return UNREADABLE;
        }
        write_volatile(full, used as u32 + read as u32);
        WHOLE
    }
}
