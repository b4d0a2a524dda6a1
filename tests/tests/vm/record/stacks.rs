//! Sensitive events name the line of Python code that caused them, and who is behind them.

use std::fs;

use pyti_tests::{audit_package, package, run, text};
use serde_json::{Value, json};

/// The line of the fixture's file that ends in this remark, from 1.
fn line(file: &str, remark: &str) -> usize {
    let path = package("probe/stacks").join(file);
    let text = fs::read_to_string(path).expect("the fixture");
    let mut lines = text.lines();
    let found = lines.position(|line| line.ends_with(&format!("# {remark}")));
    found.unwrap_or_else(|| panic!("no {remark} in {file}")) + 1
}

/// The first frame of a stack that is the package's.
fn own<'e>(event: &'e Value, file: &str) -> Option<&'e Value> {
    let stack = event["python"].as_array()?;
    stack.iter().find(|frame| {
        let name = frame["file"].as_str().unwrap_or_default();
        name.ends_with(&format!("/{file}"))
    })
}

#[test]
fn vm_stacks_name_the_line_that_asked() {
    let audit = audit_package("probe/stacks", &[]);
    let events = audit.events("install");
    let find = |kind: &str, field: &str, value: &str| {
        let mut found = events
            .iter()
            .filter(|event| event["kind"] == kind && event[field] == value);
        let event = found.next();
        event.unwrap_or_else(|| panic!("no {kind} of {value}: {}", audit.everything()))
    };
    let setup = "setup.py";
    let module = "стащить.py";
    // The first event of a kind that this function of setup.py asked for.
    let by = |kind: &str, function: &str| {
        let mut found = events.iter().filter(|event| {
            event["kind"] == kind
                && own(event, setup).is_some_and(|frame| frame["function"] == function)
        });
        let event = found.next();
        event.unwrap_or_else(|| panic!("no {kind} by {function}: {}", audit.everything()))
    };
    for (event, file, remark) in [
        (
            find("open", "path", "/home/dev/.ssh/id_rsa"),
            setup,
            "by way of the standard library: steal",
        ),
        (
            find("open", "path", "/home/dev/.aws/credentials"),
            setup,
            "in a method: Thief.take",
        ),
        (
            find("connect", "addr", "192.0.2.9"),
            setup,
            "a connection: call_home",
        ),
        (
            find("open", "path", "/home/dev/.kube/config"),
            setup,
            "in another thread: in_a_thread",
        ),
        (
            find("open", "path", "/home/dev/.netrc"),
            setup,
            "in a forked child: in_a_child",
        ),
        (
            find("open", "path", "/home/dev/.npmrc"),
            setup,
            "after a long step: far_away",
        ),
        (
            find("open", "path", "/home/dev/.pypirc"),
            setup,
            "the innermost one: deep",
        ),
        (
            find("open", "path", "/home/dev/.gitconfig"),
            setup,
            "in a lambda: <lambda>",
        ),
        (
            find("open", "path", "/tmp/outside"),
            setup,
            "in this one again: in_another_interpreter",
        ),
        (
            find("open", "path", "/tmp/older"),
            setup,
            "while there is a newer one: in_the_older",
        ),
        (
            find("open", "path", "/tmp/before.0"),
            setup,
            "by its own state again: in_states",
        ),
        (
            find("open", "path", "/tmp/before.2"),
            setup,
            "by its own state again: in_states",
        ),
        (
            find("open", "path", "/home/dev/.docker/config.json"),
            module,
            "not ASCII: стащить",
        ),
        (
            find("write", "path", "/home/dev/.bashrc"),
            setup,
            "written when it is closed: persist",
        ),
        (
            find("open", "path", "/tmp/stacks.pipe"),
            setup,
            "made without being opened: make_pipe",
        ),
        (by("socket", "serve"), setup, "a socket: serve"),
        (by("bind", "serve"), setup, "its address: serve"),
        (
            by("accept", "serve"),
            setup,
            "a connection from there: serve",
        ),
        (
            by("creds", "in_a_namespace"),
            setup,
            "all capabilities: in_a_namespace",
        ),
        (
            by("tamper", "in_a_namespace"),
            setup,
            "the same again: in_a_namespace",
        ),
    ] {
        let frame = own(event, file).unwrap_or_else(|| panic!("{remark}: {event:#}"));
        let function = remark.rsplit(": ").next().unwrap_or_default();
        assert_eq!(frame["line"], line(file, remark), "{remark}: {event:#}");
        assert_eq!(frame["function"], function, "{event:#}");
    }
    // A thread runs what the interpreter does that it entered last, by the state that it took up last.
    for (path, line) in [
        ("/tmp/inside", 2),
        ("/tmp/newer", 1),
        ("/tmp/newer.again", 3),
        ("/tmp/state.0", 1),
        ("/tmp/state.2", 1),
    ] {
        let inside = &find("open", "path", path)["python"];
        let frame = json!({"file": "<string>", "line": line, "function": "<module>"});
        assert_eq!(*inside, json!([frame]), "{path}");
    }
    // What was known of code is not taken for what lies there now.
    for number in 0..8 {
        let stack = &find("open", "path", &format!("/tmp/made.{number}"))["python"];
        let file = format!("<made {number}>");
        let frame = json!({"file": file, "line": number + 1, "function": "<module>"});
        assert_eq!(stack[0], frame, "{stack:#}");
    }
    // Of programs: of what the child of a vfork executes, also by a shell.
    for (argument, remark) in [
        ("ran", "a program: run"),
        ("cat /etc/hostname > /dev/null", "by system(): by_shell"),
    ] {
        let is_it = |event: &&Value| {
            let argv = event["argv"].as_array();
            event["kind"] == "exec" && argv.is_some_and(|argv| argv.contains(&json!(argument)))
        };
        let event = events.iter().find(is_it).expect(argument);
        let frame = own(event, setup).unwrap_or_else(|| panic!("{remark}: {event:#}"));
        assert_eq!(frame["line"], line(setup, remark), "{event:#}");
    }
    // A stack that is too deep says so, and keeps what is nearest.
    let deep = find("open", "path", "/home/dev/.pypirc");
    let stack = deep["python"].as_array().expect("a stack");
    assert_eq!(stack.len(), 16, "{deep:#}");
    let outer = line(setup, "more frames than are kept: deep");
    assert_eq!(stack[15]["line"], outer, "{deep:#}");
    assert_eq!(deep["incomplete"], "PYTHON_INCOMPLETE", "{deep:#}");

    // The proof of a finding names it too.
    let findings = audit.report["findings"].as_array().expect("findings");
    let proofs = findings.iter().flat_map(|finding| {
        let evidence = finding["evidence"].as_array();
        evidence.into_iter().flatten()
    });
    let at = format!(
        "/setup.py:{} in steal()",
        line(setup, "by way of the standard library: steal")
    );
    let named = |evidence: &Value| {
        let place = evidence["python"].as_str().unwrap_or_default();
        place.ends_with(&at) && evidence["origin"] == "package"
    };
    assert!(proofs.into_iter().any(named), "{findings:#?}");

    // pip, the back end, the compiler and the package are told apart.
    let behind = &audit.report["origins"]["install"];
    for origin in ["installer", "build_requirement", "compiler", "package"] {
        let count = behind[origin].as_u64().unwrap_or(0);
        assert!(count > 20, "{origin}: {behind}");
    }
    let run_dir = audit.run();
    let output = run(&[
        "show",
        "--tree",
        "--stage",
        "install",
        &run_dir.to_string_lossy(),
    ]);
    let tree = text(&output.stdout);
    let behind = |program: &str| {
        let line = tree.lines().find(|line| line.contains(program));
        line.unwrap_or_else(|| panic!("no {program} in\n{tree}"))
            .to_owned()
    };
    assert!(behind("-m pip install").contains(" installer "), "{tree}");
    assert!(behind("-linux-gnu-gcc ").contains(" compiler "), "{tree}");
    // The compiler that the package starts itself is its own doing, and all that this one starts.
    assert!(behind("gcc -shared -fPIC").contains(" package "), "{tree}");
    assert!(behind("/usr/libexec/gcc").contains(" package "), "{tree}");
    let (_, built) = tree.split_once("-linux-gnu-gcc ").expect("a build");
    let line = built.lines().find(|line| line.contains("/usr/libexec/gcc"));
    let line = line.expect("a compiler within");
    assert!(line.contains(" compiler "), "{tree}");
    assert!(behind("/bin/true ran").contains(" package "), "{tree}");
}
