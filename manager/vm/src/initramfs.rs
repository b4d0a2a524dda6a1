//! The initial RAM file system: a newc archive (Documentation/driver-api/early-userspace/
//! buffer-format.rst in the kernel's sources) with the agent as `/init` and the kernel modules.
//!
//! It is not compressed: the emulated guest would take longer to unpack it than to copy it.

/// Permission bits and file types, as in `stat.h`.
const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// The archive: `/init`, `/modules/*.ko`, and `/modules/order`, which names them in load order, one
/// on each line; and `/interpreter`, the path of the Python that the agent warms. A file here is gone
/// before anything of a package runs, unlike a word of the kernel's command line.
pub(crate) fn build(agent: &[u8], interpreter: &str, modules: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Archive::default();
    for directory in ["modules", "proc", "sys"] {
        archive.directory(directory);
    }
    let mut order = String::new();
    for (name, bytes) in modules {
        archive.file(&format!("modules/{name}"), bytes);
        order.push_str(name);
        order.push('\n');
    }
    archive.file("modules/order", order.as_bytes());
    archive.file("interpreter", interpreter.as_bytes());
    archive.program("init", agent);
    archive.finish()
}

/// A newc archive that grows.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    /// A directory. Names are relative, and what they lie in comes before them.
    pub fn directory(&mut self, name: &str) {
        self.add(name, DIRECTORY, (0, 0), &[]);
    }

    /// A file that may be read by all and written by root.
    pub fn file(&mut self, name: &str, content: &[u8]) {
        self.add(name, FILE, (0, 0), content);
    }

    /// A file that may be executed.
    pub fn program(&mut self, name: &str, content: &[u8]) {
        self.add(name, PROGRAM, (0, 0), content);
    }

    fn add(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.inode += 1;
        let links = 1;
        let size = content.len() as u32;
        let name_size = name.len() as u32 + 1;
        self.bytes.extend_from_slice(b"070701");
        // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor,
        // namesize, check
        let (major, minor) = device;
        for field in [
            self.inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0,
        ] {
            self.bytes
                .extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad(4);
        self.bytes.extend_from_slice(content);
        self.pad(4);
    }

    fn pad(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    /// The archive, with the console that the kernel opens for init's standard streams before anything
    /// is mounted.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.directory("dev");
        self.add("dev/console", CHARACTER_DEVICE, (5, 1), &[]);
        self.add("TRAILER!!!", 0, (0, 0), &[]);
        self.pad(512);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_where_the_headers_say() {
        let modules = [
            ("b.ko".to_owned(), vec![7; 5]),
            ("a.ko".to_owned(), vec![8; 3]),
        ];
        let bytes = build(b"agent", "/usr/bin/python3", &modules);
        let mut at = 0;
        let mut found = Vec::new();
        loop {
            let field = |n: usize| {
                let text = std::str::from_utf8(&bytes[at + 6 + 8 * n..at + 14 + 8 * n]).unwrap();
                usize::from_str_radix(text, 16).unwrap()
            };
            assert_eq!(&bytes[at..at + 6], b"070701");
            let (size, name_size) = (field(6), field(11));
            let name = std::str::from_utf8(&bytes[at + 110..at + 110 + name_size - 1]).unwrap();
            let content = (at + 110 + name_size).next_multiple_of(4);
            if name == "TRAILER!!!" {
                break;
            }
            found.push((name.to_owned(), bytes[content..content + size].to_vec()));
            at = (content + size).next_multiple_of(4);
        }
        let content = |name: &str| {
            found
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, b)| b.clone())
        };
        assert_eq!(content("init").unwrap(), b"agent");
        assert_eq!(content("interpreter").unwrap(), b"/usr/bin/python3");
        assert_eq!(content("modules/order").unwrap(), b"b.ko\na.ko\n");
        assert_eq!(content("modules/a.ko").unwrap(), vec![8; 3]);
        assert_eq!(bytes.len() % 512, 0);
    }
}
