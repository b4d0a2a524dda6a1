//! Frames of a Python stack.

use pyti_trace_ebpf::{FRAME_HEAD, MAX_FRAMES};

use super::DecodeError;
use crate::event::{Event, Frame, Incomplete};

/// Begins the next frame by the name of its file.
pub(super) fn file(event: &mut Event, bytes: &[u8]) -> Result<(), DecodeError> {
    let (line, file) = name(bytes, &mut event.incomplete)?;
    let stack = event.python.get_or_insert_default();
    if stack.len() == MAX_FRAMES {
        return Err(DecodeError::Frames);
    }
    stack.push(Frame {
        file,
        line: (line > 0).then_some(line),
        function: String::new(),
    });
    Ok(())
}

/// Names the function of the frame that was begun.
pub(super) fn function(event: &mut Event, bytes: &[u8]) -> Result<(), DecodeError> {
    let (_, function) = name(bytes, &mut event.incomplete)?;
    let frame = event.python.as_mut().and_then(|stack| stack.last_mut());
    frame.ok_or(DecodeError::Frames)?.function = function;
    Ok(())
}

/// The number and the name. A character has one, two or four bytes (PEP 393); what is none becomes
/// `U+FFFD`.
fn name(bytes: &[u8], incomplete: &mut Incomplete) -> Result<(u32, String), DecodeError> {
    let head = bytes.first_chunk::<FRAME_HEAD>();
    let &[a, b, c, d, width, ..] = head.ok_or(DecodeError::Frames)?;
    let name = bytes.get(FRAME_HEAD..).unwrap_or_default();
    let characters: Vec<u32> = match width {
        1 => name.iter().map(|&byte| u32::from(byte)).collect(),
        2 => (name.chunks_exact(2).map(|pair| {
            let pair = pair.first_chunk().copied().unwrap_or_default();
            u32::from(u16::from_le_bytes(pair))
        }))
        .collect(),
        4 => (name.chunks_exact(4))
            .map(|four| u32::from_le_bytes(four.first_chunk().copied().unwrap_or_default()))
            .collect(),
        // Not a `str` that is ready for use.
        _ => {
            *incomplete |= Incomplete::PYTHON_INCOMPLETE;
            vec![]
        }
    };
    let name = characters
        .into_iter()
        .map(|character| char::from_u32(character).unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    Ok((u32::from_le_bytes([a, b, c, d]), name))
}
