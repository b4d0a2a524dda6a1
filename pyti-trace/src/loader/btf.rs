//! Field offsets and numbers of parameters from the kernel's own BTF
//! (format: <https://docs.kernel.org/bpf/btf.html>).

use std::collections::HashMap;

use super::error::LoadError;

const MAGIC: u16 = 0xeb9f;
const HEADER_LEN: usize = 24;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_FUNCTION: u32 = 12;
const KIND_PROTOTYPE: u32 = 13;
/// Anonymous members nest no deeper in the kernel.
const MAX_DEPTH: usize = 8;

/// The structures and functions of a kernel.
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins in `types`; type 0 is void.
    starts: Vec<u32>,
    by_name: HashMap<&'a [u8], u32>,
    functions: HashMap<&'a [u8], u32>,
}

impl<'a> Btf<'a> {
    /// Reads the type section's index.
    pub fn parse(data: &'a [u8]) -> Result<Self, LoadError> {
        let magic = data
            .get(..2)
            .ok_or(LoadError::Btf("shorter than its header"))?;
        if magic != MAGIC.to_le_bytes() {
            return Err(LoadError::Btf("wrong magic number"));
        }
        let header = |at: usize| word(data, at).map(|value| value as usize);
        let base = header(4)?;
        if base < HEADER_LEN {
            return Err(LoadError::Btf("shorter than its header"));
        }
        let section = |offset: usize, len: usize| {
            data.get(base + offset..)
                .and_then(|rest| rest.get(..len))
                .ok_or(LoadError::Btf("a section lies outside the file"))
        };
        let types = section(header(8)?, header(12)?)?;
        let strings = section(header(16)?, header(20)?)?;
        let mut btf = Self {
            types,
            strings,
            starts: vec![0],
            by_name: HashMap::new(),
            functions: HashMap::new(),
        };
        let mut at = 0;
        while at < types.len() {
            let id = btf.starts.len() as u32;
            btf.starts.push(at as u32);
            let info = word(types, at + 4)?;
            let kind = info >> 24 & 0x1f;
            if matches!(kind, KIND_STRUCT | KIND_UNION | KIND_FUNCTION) {
                let name = btf.string(word(types, at)?)?;
                let names = match kind {
                    KIND_FUNCTION => &mut btf.functions,
                    _ => &mut btf.by_name,
                };
                if !name.is_empty() {
                    names.entry(name).or_insert(id);
                }
            }
            let count = (info & 0xffff) as usize;
            at += 12
                + match kind {
                    // int, var, declaration tag
                    1 | 14 | 17 => 4,
                    // array
                    3 => 12,
                    KIND_STRUCT | KIND_UNION | 15 | 19 => 12 * count,
                    // enum, function prototype
                    6 | KIND_PROTOTYPE => 8 * count,
                    // pointer, forward, typedef, qualifiers, function, float, type tag
                    2 | 7..=11 | KIND_FUNCTION | 16 | 18 => 0,
                    _ => return Err(LoadError::Btf("unknown kind of type")),
                };
        }
        Ok(btf)
    }

    /// Offset in bytes of `structure.field`, also where the field lies in an anonymous member; in bits of
    /// `structure.field in bits`; bytes of the structure of `sizeof structure`.
    pub fn offset(&self, path: &'static str) -> Result<u32, LoadError> {
        if let Some(structure) = path.strip_prefix("sizeof ") {
            return self.size(structure).ok_or(LoadError::Field(path));
        }
        let (name, in_bits) = match path.strip_suffix(" in bits") {
            Some(name) => (name, true),
            None => (path, false),
        };
        let (structure, field) = name.split_once('.').ok_or(LoadError::Field(path))?;
        let id = self
            .by_name
            .get(structure.as_bytes())
            .ok_or(LoadError::Field(path))?;
        let bits = self
            .member(*id, field.as_bytes(), MAX_DEPTH)?
            .ok_or(LoadError::Field(path))?;
        if in_bits {
            Ok(bits)
        } else if bits % 8 == 0 {
            Ok(bits / 8)
        } else {
            Err(LoadError::Field(path))
        }
    }

    /// Bytes of a structure.
    pub fn size(&self, structure: &str) -> Option<u32> {
        self.word_of(*self.by_name.get(structure.as_bytes())?, 8)
    }

    /// How many parameters a function has; `None` where the kernel has none of this name. Of several it
    /// is the first, to which aya attaches.
    pub fn parameters(&self, function: &str) -> Option<u32> {
        let prototype = self.word_of(*self.functions.get(function.as_bytes())?, 8)?;
        let info = self.word_of(prototype, 4)?;
        (info >> 24 & 0x1f == KIND_PROTOTYPE).then_some(info & 0xffff)
    }

    /// A word of a type, `at` bytes from its beginning.
    fn word_of(&self, id: u32, at: usize) -> Option<u32> {
        word(self.types, *self.starts.get(id as usize)? as usize + at).ok()
    }

    fn member(&self, id: u32, field: &[u8], depth: usize) -> Result<Option<u32>, LoadError> {
        let Some(&start) = self
            .starts
            .get(id as usize)
            .filter(|_| id != 0 && depth != 0)
        else {
            return Ok(None);
        };
        let start = start as usize;
        let info = word(self.types, start + 4)?;
        if !matches!(info >> 24 & 0x1f, KIND_STRUCT | KIND_UNION) {
            return Ok(None);
        }
        // With the flag set, the upper 8 bits of an offset are the width of a bit field.
        let mask = if info >> 31 == 1 {
            0x00ff_ffff
        } else {
            u32::MAX
        };
        for index in 0..(info & 0xffff) as usize {
            let at = start + 12 + 12 * index;
            let name = self.string(word(self.types, at)?)?;
            let offset = word(self.types, at + 8)? & mask;
            if name == field {
                return Ok(Some(offset));
            }
            if name.is_empty()
                && let Some(inner) = self.member(word(self.types, at + 4)?, field, depth - 1)?
            {
                return Ok(Some(offset + inner));
            }
        }
        Ok(None)
    }

    fn string(&self, at: u32) -> Result<&'a [u8], LoadError> {
        let rest = self
            .strings
            .get(at as usize..)
            .ok_or(LoadError::Btf("a name lies outside the file"))?;
        let end = rest
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(LoadError::Btf("a name does not end"))?;
        Ok(&rest[..end])
    }
}

fn word(data: &[u8], at: usize) -> Result<u32, LoadError> {
    data.get(at..)
        .and_then(|rest| rest.first_chunk::<4>())
        .map(|bytes| u32::from_le_bytes(*bytes))
        .ok_or(LoadError::Btf("it ends inside a type"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A kernel that has nothing but these functions, with so many parameters each.
    pub(in crate::loader) fn with_functions(functions: &[(&str, u32)]) -> Vec<u8> {
        let mut strings = vec![0];
        let mut types: Vec<u32> = vec![0, 1 << 24, 4, 32];
        for (at, (name, parameters)) in functions.iter().enumerate() {
            // Two types each, behind that of all parameters.
            let prototype = 2 + 2 * at as u32;
            types.extend([0, KIND_PROTOTYPE << 24 | *parameters, 1]);
            types.extend((0..*parameters).flat_map(|_| [0, 1]));
            types.extend([strings.len() as u32, KIND_FUNCTION << 24, prototype]);
            strings.extend_from_slice(name.as_bytes());
            strings.push(0);
        }
        file(&types, &strings)
    }

    fn file(types: &[u32], strings: &[u8]) -> Vec<u8> {
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut data = MAGIC.to_le_bytes().to_vec();
        data.extend([1, 0]);
        for value in [24, 0, types.len(), types.len(), strings.len()] {
            data.extend((value as u32).to_le_bytes());
        }
        data.extend(types);
        data.extend(strings);
        data
    }

    /// `struct outer { int a; union { int b; struct { int c; int d; }; }; }`
    fn sample() -> Vec<u8> {
        let strings = b"\0outer\0a\0b\0c\0d\0int\0";
        let name = |text: &str| {
            strings
                .windows(text.len() + 1)
                .position(|window| {
                    window[..text.len()] == *text.as_bytes() && window[text.len()] == 0
                })
                .unwrap() as u32
        };
        let aggregate = |name: u32, kind: u32, size: u32, members: &[[u32; 3]]| {
            let mut words = vec![name, kind << 24 | members.len() as u32, size];
            words.extend(members.iter().flatten());
            words
        };
        let types: Vec<u32> = [
            vec![name("int"), 1 << 24, 4, 32],
            aggregate(0, KIND_STRUCT, 8, &[[name("c"), 1, 0], [name("d"), 1, 32]]),
            aggregate(0, KIND_UNION, 8, &[[name("b"), 1, 0], [0, 2, 0]]),
            aggregate(
                name("outer"),
                KIND_STRUCT,
                12,
                &[[name("a"), 1, 0], [0, 3, 32]],
            ),
        ]
        .concat();
        file(&types, strings)
    }

    #[test]
    fn finds_fields_in_anonymous_members() {
        let data = sample();
        let btf = Btf::parse(&data).unwrap();
        assert_eq!(btf.offset("outer.a").unwrap(), 0);
        assert_eq!(btf.offset("outer.b").unwrap(), 4);
        assert_eq!(btf.offset("outer.d").unwrap(), 8);
        assert_eq!(btf.offset("outer.d in bits").unwrap(), 64);
        assert_eq!(btf.offset("sizeof outer").unwrap(), 12);
        assert_eq!(btf.size("outer"), Some(12));
        assert_eq!(btf.size("inner"), None);
    }

    #[test]
    fn counts_the_parameters_of_functions() {
        let data = with_functions(&[("accept", 4), ("void", 0), ("accept", 3)]);
        let btf = Btf::parse(&data).unwrap();
        assert_eq!(btf.parameters("accept"), Some(4));
        assert_eq!(btf.parameters("void"), Some(0));
        assert_eq!(btf.parameters("connect"), None);
        // What only a structure is called.
        let data = sample();
        assert_eq!(Btf::parse(&data).unwrap().parameters("outer"), None);
    }

    #[test]
    fn refuses_what_is_missing() {
        let data = sample();
        let btf = Btf::parse(&data).unwrap();
        assert!(matches!(
            btf.offset("outer.z"),
            Err(LoadError::Field("outer.z"))
        ));
        assert!(matches!(
            btf.offset("inner.a"),
            Err(LoadError::Field("inner.a"))
        ));
        assert!(matches!(
            btf.offset("sizeof inner"),
            Err(LoadError::Field("sizeof inner"))
        ));
    }

    #[test]
    fn every_truncation_is_an_error_or_harmless() {
        for data in [sample(), with_functions(&[("accept", 3)])] {
            for len in 0..data.len() {
                if let Ok(btf) = Btf::parse(&data[..len]) {
                    let _ = (btf.offset("outer.d"), btf.parameters("accept"));
                }
            }
            assert!(Btf::parse(&data[..20]).is_err());
        }
    }
}
