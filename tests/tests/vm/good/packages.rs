//! Honest packages: nothing fires.

use pyti_analyzer::Tree;
use pyti_analyzer::tree::Process;
use pyti_tests::{Audit, audit_package, run, text};
use pyti_trace::event::{Event, Kind, ProcessKey};

/// Installs the package; the verdict is unremarkable and exactly these notices are there.
fn quiet(name: &str, args: &[&str], notices: &[&str]) -> Audit {
    let audit = audit_package(&format!("good/{name}"), args);
    assert_eq!(audit.verdict(), "unremarkable", "{}", audit.everything());
    assert_eq!(audit.status, 0);
    assert_eq!(audit.rules(), notices, "{}", audit.everything());
    let stages = audit.report["stages"].as_array().expect("no stages");
    let install = stages
        .iter()
        .find(|s| s["name"] == "install")
        .expect("no install stage");
    assert_eq!(
        install["status"]["state"],
        "completed",
        "{}",
        audit.everything()
    );
    // What it used was measured: no Python runs in less memory.
    let used = |what: &str| install[what].as_u64().unwrap_or_default();
    assert!(used("wall_ns") > 0, "{install:#}");
    assert!(used("user_us") + used("system_us") > 0, "{install:#}");
    assert!(used("memory_peak") > 8 << 20, "{install:#}");
    audit
}

macro_rules! quiet {
    ($($test:ident: $name:literal $notices:expr;)*) => {
        $(#[test] fn $test() { quiet($name, &[], &$notices); })*
    };
}

quiet! {
    vm_good_pure_pyproject: "pure-pyproject" [];
    vm_good_with_dependencies: "with-dependencies" [];
    vm_good_hatchling_backend: "hatchling-backend" [];
    vm_good_configure_probe: "configure-probe" [];
    vm_good_fetches_by_name: "fetches-by-name" ["name-lookup"];
}

#[test]
fn vm_good_setup_py_only_and_the_log_tells_each_task_with_its_time() {
    // Standard output has the report and nothing else: it was read as JSON from end to end.
    let audit = quiet("setup-py-only", &["--progress", "log"], &[]);
    let lines: Vec<Vec<&str>> = audit
        .stderr
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let is_time = |word: &str| word.parse::<f64>().is_ok();
    for task in ["fetch", "template", "metadata", "install"] {
        let starts = lines.iter().any(|words| match words[..] {
            [at, name, "starts"] => name == task && is_time(at),
            _ => false,
        });
        let ends = lines.iter().any(|words| match words[..] {
            [at, name, "done", "after", took, "s"] => name == task && is_time(at) && is_time(took),
            _ => false,
        });
        assert!(starts && ends, "{task}: {}", audit.stderr);
    }
}

/// Who forked whom, and what each executed then: by the events, and by the tree that is made of them.
struct Family {
    events: Vec<Event>,
    tree: Tree,
}

impl Family {
    fn of(audit: &Audit, stage: &str) -> Self {
        let run_dir = audit.run();
        let path = run_dir.to_string_lossy();
        let output = run(&[
            "show", "--events", "--format", "json", "--stage", stage, &path,
        ]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let events: Vec<Event> = text(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line is no event"))
            .collect();
        let tree = Tree::new(&events);
        Self { events, tree }
    }

    /// The processes that executed a program whose path ends like this, with these arguments among its
    /// own.
    fn running(&self, program: &str, arguments: &[&str]) -> Vec<ProcessKey> {
        let is_it = |process: &&Process| {
            process.images.iter().any(|image| {
                let exe = image.exe.as_deref().unwrap_or_default();
                let argv = image.argv.as_deref().unwrap_or_default();
                let has = |wanted: &&str| argv.iter().any(|word| word.ends_with(wanted));
                exe.ends_with(program) && arguments.iter().all(has)
            })
        };
        let running = self.tree.iter().filter(is_it);
        let running: Vec<ProcessKey> = running.map(|process| process.key).collect();
        assert!(!running.is_empty(), "nobody runs {program} {arguments:?}");
        running
    }

    /// The one that forked a process, if it executed its program in the process that it forked.
    fn parent(&self, child: ProcessKey) -> ProcessKey {
        let forked = |event: &&Event| event.kind == Kind::Fork && event.other == Some(child);
        let fork = self.events.iter().find(forked).expect("no fork");
        let process = self.tree.get(child).expect("no process");
        assert_eq!(process.parent, Some(fork.process), "{process:?}");
        let own = self.events.iter().filter(|event| event.process == child);
        assert!(
            own.clone().all(|event| event.parent == fork.process),
            "{process:?} has several parents"
        );
        assert!(own.clone().all(|event| event.tree == fork.tree));
        fork.process
    }
}

#[test]
fn vm_good_c_extension_descends_from_pip_by_its_back_end_and_compiler() {
    let audit = quiet("c-extension", &[], &[]);
    let family = Family::of(&audit, "install");
    let pip = family.running("/python3.13", &["-m", "pip", "install"]);
    // What pip has build a project that names no back end: setup.py, as setuptools' own would call it.
    let back_ends = family.running("/python3.13", &["bdist_wheel"]);
    let drivers = family.running("-linux-gnu-gcc-14", &[]);
    for back_end in &back_ends {
        assert!(pip.contains(&family.parent(*back_end)), "{back_end:?}");
    }
    // One to compile, one to link.
    assert!(drivers.len() >= 2, "{drivers:?}");
    for driver in &drivers {
        assert!(back_ends.contains(&family.parent(*driver)), "{driver:?}");
    }
    let [compiler, assembler, linker] = [
        ("/cc1", &["c_extension.c"][..]),
        ("-linux-gnu-as", &[]),
        ("/collect2", &[]),
    ]
    .map(|(program, arguments)| {
        let running = family.running(program, arguments);
        let parents: Vec<ProcessKey> = running.iter().map(|one| family.parent(*one)).collect();
        assert!(
            parents.iter().all(|parent| drivers.contains(parent)),
            "{program}: {parents:?}"
        );
        (running, parents)
    });
    // The same driver has the file compiled and assembled, and another one links.
    assert_eq!(compiler.1, assembler.1);
    assert!(!linker.1.contains(&compiler.1[0]), "{linker:?}");
    for ld in family.running("-linux-gnu-ld.bfd", &[]) {
        assert!(linker.0.contains(&family.parent(ld)), "{ld:?}");
    }
    // Which program it was, its file says.
    let of_drivers = |event: &&Event| {
        event.kind == Kind::Exec && event.result >= 0 && drivers.contains(&event.process)
    };
    let mut files = family.events.iter().filter(of_drivers);
    let first = files.next().map(|event| (event.dev, event.inode));
    assert!(matches!(first, Some((Some(_), Some(_)))), "{first:?}");
    assert!(files.all(|event| Some((event.dev, event.inode)) == first));
}
