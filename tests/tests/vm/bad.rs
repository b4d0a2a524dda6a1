//! Packages that are bad for one reason each: exactly the rules for that reason fire.

use pyti::order::INSTALL;
use pyti_tests::{Audit, audit, audit_package, package_for_install};
use serde_json::Value;

/// The stages that run the code of a setup.py.
const BOTH: [&str; 2] = ["metadata", INSTALL];

/// The package is flagged, and these rules fire and no other, each with its proof.
fn assert_flagged(audit: &Audit, verdict: &str, rules: &[&str]) {
    assert_eq!(audit.rules(), rules, "{}", audit.everything());
    assert_eq!(audit.verdict(), verdict, "{}", audit.everything());
    assert_eq!(audit.status, 1);
    for finding in audit.report["findings"].as_array().expect("no findings") {
        let evidence = finding["evidence"]
            .as_array()
            .expect("a finding without evidence");
        assert!(!evidence.is_empty(), "{finding:#}");
    }
}

/// These stages ran to their end and no other, and in each all of these rules fired.
fn assert_fired_in(audit: &Audit, stages: &[&str], rules: &[&str]) {
    let told = audit.report["stages"].as_array().expect("no stages");
    let ended: Vec<&Value> = told
        .iter()
        .filter(|stage| stage["status"]["state"] == "completed")
        .map(|stage| &stage["name"])
        .collect();
    assert_eq!(ended, stages, "{}", audit.everything());
    let findings = audit.report["findings"].as_array().expect("no findings");
    for stage in stages {
        for rule in rules {
            let shown = findings
                .iter()
                .any(|finding| finding["rule"] == *rule && finding["stage"] == *stage);
            assert!(shown, "no {rule} in {stage}: {}", audit.everything());
        }
    }
}

/// Installs the package, whose metadata is stated and asks for no stage of its own.
fn flagged(name: &str, verdict: &str, rules: &[&str]) -> Audit {
    let package = package_for_install(&format!("bad/{name}"));
    let audit = audit(&package.path().to_string_lossy(), &[]);
    assert_flagged(&audit, verdict, rules);
    assert_fired_in(&audit, &[INSTALL], rules);
    audit
}

macro_rules! flagged {
    ($(#[$attribute:meta])* $($test:ident: $name:literal $verdict:literal $rules:expr;)*) => {
        flagged! { @all [$(#[$attribute])*] $($test: $name $verdict $rules;)* }
    };
    (@all $attributes:tt $($test:ident: $name:literal $verdict:literal $rules:expr;)*) => {
        $(flagged! { @one $attributes $test $name $verdict $rules })*
    };
    (@one [$(#[$attribute:meta])*] $test:ident $name:literal $verdict:literal $rules:expr) => {
        #[test] $(#[$attribute])* fn $test() { flagged($name, $verdict, &$rules); }
    };
}

/// The evidence of what fired in this stage has an event of each kind with each text.
fn assert_proved(audit: &Audit, stage: &str, proof: &[(&str, &str)]) {
    let findings = audit.report["findings"].as_array().expect("no findings");
    let evidence: Vec<&Value> = findings
        .iter()
        .filter(|finding| finding["stage"] == stage)
        .filter_map(|finding| finding["evidence"].as_array())
        .flatten()
        .collect();
    for (kind, part) in proof {
        let shown = evidence.iter().any(|event| {
            let text = event["text"].as_str().unwrap_or_default();
            event["kind"] == *kind && text.contains(part)
        });
        assert!(shown, "no {kind} of {part} in {stage}: {evidence:#?}");
    }
}

/// Audits the package: the rules fire and are proved in both stages that run its setup.py.
fn flagged_and_proved(name: &str, verdict: &str, rules: &[&str], proof: &[(&str, &str)]) {
    let audit = audit_package(&format!("bad/{name}"), &[]);
    assert_flagged(&audit, verdict, rules);
    assert_fired_in(&audit, &BOTH, rules);
    for stage in BOTH {
        assert_proved(&audit, stage, proof);
    }
}

#[test]
fn vm_bad_reads_credentials_and_each_file_is_proved() {
    let proof = [
        ("open", "/home/dev/.ssh/id_rsa"),
        ("open", "/home/dev/.aws/credentials"),
    ];
    let rules = ["credential-file-read"];
    flagged_and_proved("reads-credentials", "malicious", &rules, &proof);
}

#[test]
fn vm_bad_installs_systemd_unit_and_enables_it() {
    let proof = [
        ("open", "/home/dev/.config/systemd/user/updater.service"),
        ("exec", "systemctl --user enable --now updater.service"),
    ];
    let rules = ["systemd-unit"];
    flagged_and_proved("installs-systemd-unit", "malicious", &rules, &proof);
}

#[test]
fn vm_bad_drops_script_that_it_keeps_open_and_one_that_runs_by_itself() {
    let proof = [
        ("write", "/tmp/.updater.py"),
        ("exec", "/tmp/.updater.py"),
        ("write", "/tmp/.cleaner"),
        ("exec", "/tmp/.cleaner"),
    ];
    let rules = ["dropped-script"];
    flagged_and_proved("drops-script", "suspicious", &rules, &proof);
}

#[test]
fn vm_bad_drops_elf_and_one_that_a_linker_closes() {
    let audit = flagged("drops-elf", "malicious", &["dropped-program"]);
    let proof = [
        ("write", "/tmp/.updater"),
        ("exec", "/tmp/.updater"),
        ("write", "/tmp/.linked"),
        ("exec", "/tmp/.linked"),
    ];
    assert_proved(&audit, INSTALL, &proof);
}

#[test]
fn vm_bad_tries_powershell_and_writes_programs_of_windows() {
    let proof = [
        // By how it begins.
        ("write", "/tmp/.update "),
        // By its name.
        ("write", "/tmp/update.bat"),
        ("exec", "powershell -WindowStyle Hidden"),
    ];
    let rules = ["windows-program", "windows-shell"];
    flagged_and_proved("tries-powershell", "suspicious", &rules, &proof);
}

/// The command alone would fire the rule: what it deleted is on record as well.
#[test]
fn vm_bad_wipes_home_file_by_file() {
    let audit = audit_package("bad/wipes-home", &[]);
    assert_flagged(&audit, "malicious", &["home-destruction"]);
    let proof = [("exec", "rm -rf /home/dev"), ("unlink", "/home/dev/")];
    assert_proved(&audit, "metadata", &proof);
    let events = audit.events("metadata");
    for (kind, path) in [
        ("unlink", "/home/dev/.ssh/id_rsa"),
        ("rmdir", "/home/dev/.ssh"),
        ("unlink", "/home/dev/Documents/notes.md"),
        ("rmdir", "/home/dev/Documents"),
    ] {
        let recorded = events
            .iter()
            .any(|event| event["kind"] == kind && event["path"] == path && event["result"] == 0);
        assert!(recorded, "no {kind} of {path}: {}", audit.everything());
    }
}

/// Each stage opens a path that no other one does, save that of the start-up file, which every
/// interpreter runs.
#[test]
fn vm_bad_bides_its_time_and_each_later_stage_has_its_own_proof() {
    let read = "credential-file-read";
    let deeds = [
        ("startup", read, "/home/dev/.ssh/id_rsa"),
        ("import", read, "/home/dev/.aws/credentials"),
        ("scripts", read, "/home/dev/.pypirc"),
        ("test", "credential-file-in-tests", "/home/dev/.kube/config"),
    ];
    let stages: Vec<&str> = deeds
        .iter()
        .flat_map(|(stage, ..)| ["--stage", *stage])
        .collect();
    let audit = audit_package("bad/later-stages", &stages);
    let rules = ["credential-file-in-tests", read, "pth-shipped"];
    assert_eq!(audit.rules(), rules, "{}", audit.everything());
    assert_eq!(audit.verdict(), "malicious", "{}", audit.everything());
    assert_eq!(audit.status, 1);

    let findings = audit.report["findings"].as_array().expect("no findings");
    let proved = |stage: &str, rule: &str, kind: &str, path: &str| {
        let mut found = findings
            .iter()
            .filter(|finding| finding["stage"] == stage && finding["rule"] == rule);
        found.any(|finding| {
            let mut evidence = finding["evidence"].as_array().into_iter().flatten();
            evidence.any(|event| {
                let text = event["text"].as_str().unwrap_or_default();
                event["kind"] == kind && text.contains(path)
            })
        })
    };
    let everything = || audit.everything();
    let pth = "/home/dev/.local/lib/python3.13/site-packages/later_stages.pth";
    assert!(
        proved("install", "pth-shipped", "write", pth),
        "{}",
        everything()
    );
    for (stage, rule, path) in deeds {
        for (other, told_by, _) in deeds {
            let is_its_own = other == stage || path.ends_with("/id_rsa");
            assert_eq!(
                proved(other, told_by, "open", path),
                is_its_own,
                "{path} in {other}: {}",
                everything()
            );
        }
        // Before them nothing happens.
        assert!(!proved("install", rule, "open", path), "{}", everything());
    }

    // The datum names the file whose code it was.
    let started = audit.datum("startup");
    assert_eq!(started["attributed"], true, "{started:#}");
    let files = started["start_files"].as_array().expect("no list");
    assert!(files.contains(&Value::from(pth)), "{started:#}");
    let opened = started["opened"].as_array().expect("no list");
    let deed = serde_json::json!({"what": "/home/dev/.ssh/id_rsa", "by": pth});
    assert!(opened.contains(&deed), "{started:#}");
}

flagged! {
    vm_bad_memfd_exec: "memfd-exec" "malicious" ["fileless-exec"];
    vm_bad_appends_bashrc: "appends-bashrc" "malicious" ["shell-startup-write"];
    vm_bad_installs_cron: "installs-cron" "malicious" ["cron-install"];
    vm_bad_connects_to_ip: "connects-to-ip" "suspicious" ["public-ip-connect"];
    vm_bad_curl_pipe_sh: "curl-pipe-sh" "malicious" ["download-to-shell", "name-lookup"];
    vm_bad_reverse_shell: "reverse-shell" "malicious" ["reverse-shell"];
    vm_bad_writes_pth: "writes-pth" "malicious" ["pth-write"];
    vm_bad_reads_process_memory: "reads-process-memory" "malicious" ["process-memory-read"];
    vm_bad_drops_library: "drops-library" "malicious" ["dropped-library"];
}

// Their events are of kinds that others prove; their rules are proved on recorded traces.
flagged! {
    #[ignore = "continuous integration has no time for all: cargo xtask test --images"]
    vm_bad_copies_elf: "copies-elf" "malicious" ["dropped-program"];
    vm_bad_asks_for_webhook: "asks-for-webhook" "malicious" ["exfiltration-service", "name-lookup"];
    vm_bad_reads_environments: "reads-environments" "malicious" ["process-environ-read"];
    vm_bad_reads_user_files: "reads-user-files" "malicious" ["user-files-read"];
    vm_bad_changes_project: "changes-project" "malicious" ["user-files-change"];
    vm_bad_uploads: "uploads" "malicious" ["name-lookup", "upload"];
    vm_bad_runs_encoded_code: "runs-encoded-code" "malicious" ["encoded-code"];
    vm_bad_reads_stored_secrets: "reads-stored-secrets" "malicious" ["stored-secret-read"];
    vm_bad_shadows_command: "shadows-command" "malicious" ["shadowed-command"];
    vm_bad_changes_settings: "changes-settings" "suspicious" ["settings-write"];
    vm_bad_leaks_by_dns: "leaks-by-dns" "malicious" ["dns-leak", "name-lookup"];
    vm_bad_connects_to_metadata: "connects-to-metadata" "malicious" ["cloud-metadata"];
    vm_bad_adds_authorized_key: "adds-authorized-key" "malicious" ["authorized-keys"];
    vm_bad_starts_miner: "starts-miner" "malicious" ["miner"];
}
