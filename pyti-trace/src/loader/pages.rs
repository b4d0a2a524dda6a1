//! Where the kernel has its memory. It lies elsewhere after each boot (`CONFIG_RANDOMIZE_MEMORY`), so
//! what is told to the probes is where the kernel itself looks it up.

use std::fs::File;
use std::io::{BufRead as _, BufReader};

use pyti_trace_ebpf::{Hook, Pages};

use super::attach::Refused;
use super::btf::Btf;

/// Symbols with their addresses, `address type name`, all 0 for who may not know them.
const SYMBOLS: &str = "/proc/kallsyms";

/// What the running kernel says; [`Pages::UNKNOWN`] where it does not say all of it.
pub(super) fn pages(btf: &Btf<'_>) -> Pages {
    let find = || {
        let symbols = BufReader::new(File::open(SYMBOLS).ok()?);
        let page_size = btf.size("page")?;
        find(symbols.split(b'\n').map_while(Result::ok), page_size)
    };
    find().unwrap_or(Pages::UNKNOWN)
}

/// Why a program that reads pages is not loaded where nobody says where they are.
pub(super) fn refused(hook: &'static Hook) -> Box<Refused> {
    Box::new(Refused {
        hook,
        reason: format!("{SYMBOLS} does not say where this kernel has its memory"),
        detail: String::new(),
    })
}

fn find(lines: impl Iterator<Item = Vec<u8>>, page_size: u32) -> Option<Pages> {
    let mut memory = None;
    let mut first = None;
    for line in lines {
        let place = match line.rsplit(|byte| *byte == b' ').next() {
            Some(b"page_offset_base") => &mut memory,
            Some(b"vmemmap_base") => &mut first,
            _ => continue,
        };
        let address = str::from_utf8(&line).ok()?.split(' ').next()?;
        *place = u64::from_str_radix(address, 16).ok();
        if let (Some(page_offset_base @ 1..), Some(vmemmap_base @ 1..)) = (memory, first) {
            return Some(Pages {
                page_offset_base,
                vmemmap_base,
                page_size: page_size.into(),
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<Pages> {
        find(text.lines().map(|line| line.as_bytes().to_vec()), 64)
    }

    #[test]
    fn symbols_are_found_by_their_whole_names() {
        let text = "ffffffff82001000 D not_page_offset_base\n\
                    ffffffff82001008 D vmemmap_base\n\
                    ffffffff82001010 D page_offset_base\n";
        let pages = Pages {
            page_offset_base: 0xffff_ffff_8200_1010,
            vmemmap_base: 0xffff_ffff_8200_1008,
            page_size: 64,
        };
        assert_eq!(found(text), Some(pages));
    }

    #[test]
    fn what_is_hidden_or_not_there_is_unknown() {
        let hidden = "0000000000000000 D vmemmap_base\n0000000000000000 D page_offset_base\n";
        for text in ["", "ffffffff82001010 D page_offset_base", "x", hidden] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
