//! What is made of the events of a start.

use pyti_trace::event::{Frame, ProcessKey};

use super::*;

const SITE: &str = "/home/dev/.local/lib/python3.13/site-packages/";

fn event(kind: Kind, path: &str) -> Event {
    Event {
        path: Some(path.to_owned()),
        ..Event::new(kind, ProcessKey::default(), 1)
    }
}

/// An open that failed with this error.
fn refused(asked: &str, errno: i64) -> Event {
    Event {
        asked: Some(asked.to_owned()),
        result: -errno,
        ..Event::new(Kind::Open, ProcessKey::default(), 1)
    }
}

fn whats(all: &BTreeSet<Deed<String>>) -> Vec<&str> {
    all.iter().map(|deed| &*deed.what).collect()
}

#[test]
fn what_a_name_is_given_to_is_told() {
    let renamed = Event {
        target: Some("/home/dev/.bashrc".to_owned()),
        ..event(Kind::Rename, "/tmp/x")
    };
    let allowed = Event {
        mode: Some(0o755),
        ..event(Kind::Chmod, "/tmp/y")
    };
    let told = started(&[renamed, allowed], SITE);
    assert_eq!(
        whats(&told.changed),
        ["chmod /tmp/y 755", "rename /tmp/x → /home/dev/.bashrc"]
    );
}

#[test]
fn what_hooks_into_the_start_is_told_from_the_start() {
    let exec = |words: &[&str]| Event {
        argv: Some(words.iter().map(ToString::to_string).collect()),
        ..Event::new(Kind::Exec, ProcessKey::default(), 1)
    };
    let address = |kind, addr: &str, port| Event {
        addr: Some(addr.to_owned()),
        port: Some(port),
        ..Event::new(kind, ProcessKey::default(), 1)
    };
    let pth = format!("{SITE}x.pth");
    let told = started(
        &[
            exec(&["python3", "-c", "pass"]),
            event(Kind::Open, "/usr/lib/python3.13/os.py"),
            event(Kind::Open, &pth),
            event(Kind::Open, "/tmp/x"),
            refused("/home/dev/none", 2),
            event(Kind::Write, "/tmp/x"),
            event(Kind::Unlink, "/etc/y"),
            exec(&["sh", "-c", "true"]),
            address(Kind::Connect, "192.0.2.1", 80),
            address(Kind::Send, "192.0.2.1", 80),
            address(Kind::Send, "127.0.0.53", 53),
            event(Kind::Connect, "/run/docker.sock"),
            event(Kind::Send, "@hidden"),
            Event::new(Kind::Send, ProcessKey::default(), 1),
        ],
        SITE,
    );
    assert_eq!(told.start_files, BTreeSet::from([pth.clone()]));
    assert_eq!(whats(&told.opened), [&*pth, "/tmp/x"]);
    assert_eq!(whats(&told.looked_for), ["ENOENT /home/dev/none"]);
    assert_eq!(whats(&told.changed), ["unlink /etc/y", "write /tmp/x"]);
    let executed: Vec<_> = told.executed.iter().map(|deed| &deed.what).collect();
    assert_eq!(executed, [&["sh", "-c", "true"]]);
    assert_eq!(
        whats(&told.connected),
        [
            "127.0.0.53 53",
            "192.0.2.1 80",
            "unix /run/docker.sock",
            "unix @hidden"
        ]
    );
    let mut datum = serde_json::to_value(&told).unwrap();
    let done = "1 start file read, 2 files opened, 1 open failed, 2 changes, 1 program executed, \
                4 addresses connected or sent to";
    let unknown = "; by which start file is not known, as this Python's stacks are not read";
    assert_eq!(Startup.summary(&datum), Some(format!("{done}{unknown}")));
    datum["attributed"] = true.into();
    assert_eq!(Startup.summary(&datum).as_deref(), Some(done));
}

#[test]
fn it_is_known_of_which_interpreter_stacks_are_read() {
    for (version, read) in [("3.13.5", true), ("3.11.2", false), ("2.7.18", false)] {
        let python = Interpreter::new("/usr/bin/python", version, "2.31").unwrap();
        assert_eq!(has_stacks(&python), read, "{version}");
    }
}

#[test]
fn of_what_is_too_much_to_list_the_rest_is_counted() {
    let files = 0..MOST + 2;
    let opens = files.map(|number| event(Kind::Open, &format!("/tmp/{number}")));
    let exec = Event {
        argv: Some(vec!["true".to_owned()]),
        ..Event::new(Kind::Exec, ProcessKey::default(), 1)
    };
    // The first one is the interpreter.
    let execs = std::iter::repeat_n(exec, MOST + 2);
    let told = Started {
        attributed: true,
        ..started(&opens.chain(execs).collect::<Vec<_>>(), SITE)
    };
    assert_eq!((told.opened.len(), told.executed.len()), (MOST, MOST));
    let cut = [("executed", 1), ("opened", 2)].map(|(list, count)| (list.to_owned(), count));
    assert_eq!(told.cut, BTreeMap::from(cut));
    assert_eq!(
        Startup
            .summary(&serde_json::to_value(&told).unwrap())
            .as_deref(),
        Some(
            "0 start files read, 1002 files opened, 0 opens failed, 0 changes, \
             1001 programs executed, 0 addresses connected or sent to; \
             3 of these are not listed"
        )
    );
}

#[test]
fn what_is_looked_for_in_vain_is_told_from_the_search_for_modules() {
    let cache = format!("{SITE}__pycache__/usercustomize.cpython-313.pyc");
    let told = started(
        &[
            refused("/usr/bin/pyvenv.cfg", 2),
            refused("/usr/lib/locale/locale-archive", 2),
            refused("/etc/localtime", 2),
            refused(&cache, 2),
            refused("/home/dev/.aws/credentials", 2),
            refused("/usr/../home/dev/.netrc", 2),
            refused(&format!("{SITE}../.pypirc"), 2),
            refused("/../usr/x", 2),
            refused("here", 2),
            refused("/etc/shadow", 13),
        ],
        SITE,
    );
    assert_eq!(
        whats(&told.looked_for),
        [
            "EACCES /etc/shadow",
            "ENOENT /../usr/x",
            "ENOENT /home/dev/.aws/credentials",
            "ENOENT /home/dev/.local/lib/python3.13/.pypirc",
            "ENOENT /home/dev/.netrc",
            "ENOENT here",
        ]
    );
    assert!(told.opened.is_empty(), "{told:?}");
}

#[test]
fn of_what_the_kernel_tells_only_what_everybody_reads_is_left_out() {
    let open = |asked: &str, path: &str| Event {
        asked: Some(asked.to_owned()),
        ..event(Kind::Open, path)
    };
    let told = started(
        &[
            open("/dev/null", "/dev/null"),
            open("/proc/self/maps", "/proc/7/maps"),
            open("/proc/self/environ", "/proc/7/environ"),
            open("/proc/self/../1/environ", "/proc/1/environ"),
            open("/proc/41/environ", "/proc/41/environ"),
            open("/proc/41/maps", "/proc/41/maps"),
            open("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.max"),
            open("/dev/input/event0", "/dev/input/event0"),
        ],
        SITE,
    );
    assert_eq!(
        whats(&told.opened),
        [
            "/dev/input/event0",
            "/proc/1/environ",
            "/proc/41/environ",
            "/proc/41/maps",
            "/proc/self/environ",
            "/sys/fs/cgroup/memory.max",
        ]
    );
}

#[test]
fn what_is_done_names_the_start_file_that_its_stack_names() {
    let customize = format!("{SITE}usercustomize.py");
    let python = Some(vec![Frame {
        file: customize.clone(),
        line: Some(1),
        function: "<module>".to_owned(),
    }]);
    let told = started(
        &[
            Event {
                python,
                ..refused("/home/dev/.aws/credentials", 2)
            },
            event(Kind::Open, "/tmp/x"),
        ],
        SITE,
    );
    let datum = serde_json::to_value(&told).unwrap();
    let wanted = serde_json::json!({
        "attributed": false,
        "start_files": [],
        "opened": [{"what": "/tmp/x"}],
        "looked_for": [{"what": "ENOENT /home/dev/.aws/credentials", "by": customize}],
        "changed": [],
        "executed": [],
        "connected": [],
    });
    assert_eq!(datum, wanted);
}
