//! What Python runs at every start: `.pth` files, `sitecustomize` and `usercustomize`; and which of
//! them is behind what happens.

use std::collections::HashMap;

use pyti_trace::event::{Event, Frame, Kind, ProcessKey};

/// The flags of an open that say what for: without any of them it is for reading
/// (include/uapi/asm-generic/fcntl.h).
const O_ACCMODE: u64 = 3;
/// The function of `site` that reads a `.pth` file and runs its lines (CPython Lib/site.py).
const RUNS_PTH: &str = "addpackage";
/// What the file of such a line is called.
const LINE: &str = "<string>";

/// Tells which start file is behind an event. It goes by Python stacks, which a package can forge.
#[derive(Debug, Default)]
pub(super) struct StartFiles {
    /// The `.pth` file whose lines a process runs: the last one that its `site` read.
    pth: HashMap<ProcessKey, String>,
    /// What had the program of a process started.
    programs: HashMap<ProcessKey, String>,
}

impl StartFiles {
    /// The start file that is behind this event, where that is known: the innermost one on its stack,
    /// or what had its program started. To be asked of every event, in the order of time.
    pub(super) fn behind(&mut self, event: &Event) -> Option<String> {
        let started = || self.programs.get(&event.process).cloned();
        let by = self.on_stack(event).or_else(started);
        match event.kind {
            Kind::Open => {
                let path = read_by(event).filter(|path| path.ends_with(".pth"));
                if let Some(path) = path.filter(|_| is_of_site(event)) {
                    self.pth.insert(event.process, path.to_owned());
                }
            }
            Kind::Fork => {
                for files in [&mut self.pth, &mut self.programs] {
                    let file = files.get(&event.process).cloned();
                    if let (Some(file), Some(child)) = (file, event.other) {
                        files.insert(child, file);
                    }
                }
            }
            Kind::Exec if event.result >= 0 => {
                self.pth.remove(&event.process);
                if let Some(by) = &by {
                    self.programs.insert(event.process, by.clone());
                }
            }
            _ => {}
        }
        by
    }

    fn on_stack(&self, event: &Event) -> Option<String> {
        let stack = event.python.as_deref()?;
        let mut runs_line = false;
        stack.iter().find_map(|frame| {
            if is_customize(&frame.file) {
                return Some(frame.file.clone());
            }
            if runs_line && is_runner(frame) {
                return self.pth.get(&event.process).cloned();
            }
            runs_line |= frame.file == LINE;
            None
        })
    }
}

/// The path of the start file that this event opened to read it.
pub(super) fn read_by(event: &Event) -> Option<&str> {
    let path = event.path.as_deref()?;
    let for_reading = event.flags.is_none_or(|flags| flags & O_ACCMODE == 0);
    let reads = event.kind == Kind::Open && event.result >= 0 && for_reading;
    (reads && (path.ends_with(".pth") || is_customize(path))).then_some(path)
}

/// Whether `site` itself asked for it, as far as is known: nobody asks for the stack of what is read
/// below `/usr`.
fn is_of_site(event: &Event) -> bool {
    let stack = event.python.as_deref();
    stack.is_none_or(|stack| stack.first().is_some_and(is_runner))
}

fn is_runner(frame: &Frame) -> bool {
    frame.function == RUNS_PTH
        && (frame.file == "<frozen site>" || frame.file.ends_with("/site.py"))
}

/// Whether it is a file of `sitecustomize` or `usercustomize`: of the module, or the first one of the
/// package.
fn is_customize(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or_default();
    if ![".py", ".pyc", ".so"].iter().any(|end| name.ends_with(end)) {
        return false;
    }
    let module = match name.split('.').next().unwrap_or_default() {
        "__init__" => parts
            .find(|part| *part != "__pycache__")
            .unwrap_or_default(),
        module => module,
    };
    ["sitecustomize", "usercustomize"].contains(&module)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "/home/dev/.local/lib/python3.13/site-packages";

    fn key(tgid: u32) -> ProcessKey {
        ProcessKey { tgid, start_ns: 1 }
    }

    /// An event with this stack of files and functions, the innermost frame first.
    fn event(kind: Kind, process: u32, stack: &[(&str, &str)]) -> Event {
        let frame = |(file, function): &(&str, &str)| Frame {
            file: (*file).to_owned(),
            line: None,
            function: (*function).to_owned(),
        };
        Event {
            python: (!stack.is_empty()).then(|| stack.iter().map(frame).collect()),
            ..Event::new(kind, key(process), 1)
        }
    }

    fn open(process: u32, path: &str, stack: &[(&str, &str)]) -> Event {
        Event {
            path: Some(path.to_owned()),
            ..event(Kind::Open, process, stack)
        }
    }

    const RUNNER: (&str, &str) = ("<frozen site>", "addpackage");
    const OWN_LINE: (&str, &str) = ("<string>", "<module>");

    #[test]
    fn what_the_lines_of_a_pth_file_do_is_its_doing_and_so_is_what_they_start() {
        let mut files = StartFiles::default();
        let (one, two) = (format!("{SITE}/one.pth"), format!("{SITE}/two.pth"));
        // That site reads it is the interpreter's doing.
        assert_eq!(files.behind(&open(1, &one, &[RUNNER])), None);
        let module = format!("{SITE}/one.py");
        let stack = [(module.as_str(), "steal"), OWN_LINE, RUNNER];
        let secret = open(1, "/home/dev/.ssh/id_rsa", &stack);
        assert_eq!(files.behind(&secret).as_ref(), Some(&one));
        // Another one that its code reads is not run by that.
        assert_eq!(files.behind(&open(1, &two, &stack)).as_ref(), Some(&one));
        assert_eq!(files.behind(&secret).as_ref(), Some(&one));

        let fork = |process, child| Event {
            other: Some(key(child)),
            ..event(Kind::Fork, process, &[])
        };
        files.behind(&fork(1, 2));
        let exec = event(Kind::Exec, 2, &stack);
        assert_eq!(files.behind(&exec).as_ref(), Some(&one));
        files.behind(&fork(2, 3));
        for process in [2, 3] {
            let by_program = open(process, "/etc/passwd", &[]);
            assert_eq!(files.behind(&by_program).as_ref(), Some(&one));
        }

        assert_eq!(files.behind(&open(1, &two, &[RUNNER])), None);
        assert_eq!(files.behind(&secret).as_ref(), Some(&two));
        // Nothing says whose doing this is.
        assert_eq!(files.behind(&open(1, "/etc/passwd", &[])), None);
        assert_eq!(files.behind(&open(1, "/etc/passwd", &[RUNNER])), None);
        assert_eq!(files.behind(&open(1, "/etc/passwd", &[OWN_LINE])), None);
    }

    #[test]
    fn the_innermost_start_file_is_named() {
        let mut files = StartFiles::default();
        let pth = format!("{SITE}/one.pth");
        // Below /usr there is no stack.
        files.behind(&open(1, &pth, &[]));
        let module = format!("{SITE}/usercustomize.py");
        let customize = (module.as_str(), "<module>");
        let runner = ("/usr/lib/python3.13/site.py", "addpackage");
        let inside = open(1, "/tmp/x", &[customize, OWN_LINE, runner]);
        assert_eq!(files.behind(&inside).as_ref(), Some(&module));
        let around = open(1, "/tmp/x", &[OWN_LINE, runner, customize]);
        assert_eq!(files.behind(&around).as_ref(), Some(&pth));
    }

    #[test]
    fn start_files_that_are_read_are_told_from_others() {
        for (path, is_one) in [
            ("/x/site-packages/a.pth", true),
            ("/etc/python3.13/sitecustomize.py", true),
            ("/x/__pycache__/usercustomize.cpython-313.pyc", true),
            ("/x/usercustomize/__init__.py", true),
            (
                "/x/usercustomize/__pycache__/__init__.cpython-313.pyc",
                true,
            ),
            ("/x/sitecustomize.cpython-313-x86_64-linux-gnu.so", true),
            ("/x/usercustomize/other.py", false),
            ("/x/usercustomize.txt", false),
            ("/x/usercustomize", false),
            ("/x/my_usercustomize.py", false),
            ("/x/a.pth.py", false),
            ("/x/__init__.py", false),
        ] {
            assert_eq!(read_by(&open(1, path, &[])).is_some(), is_one, "{path}");
        }
        let mut other = open(1, "/x/a.pth", &[]);
        other.flags = Some(0o101);
        assert_eq!(read_by(&other), None);
        other.flags = Some(0o2_000_000);
        assert_eq!(read_by(&other), Some("/x/a.pth"));
        other.result = -13;
        assert_eq!(read_by(&other), None);
    }
}
