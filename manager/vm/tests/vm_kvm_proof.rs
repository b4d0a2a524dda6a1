//! KVM whose device opens and which does not work, as on some nested hosts, or not always, as on busy
//! ones: here it is a script between us and QEMU that hangs, fails or emulates where KVM is asked for, so
//! that every host can prove it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where something is missing"
)]

mod common;

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    sync::Mutex,
    time::{Duration, Instant},
};

use pyti_vm::{Accel, Home, Template, VmConfig, VmError};
use tempfile::TempDir;
use tokio::sync::Mutex as Turn;

/// One test at a time: a script that was just written cannot be run while another thread starts a program,
/// which holds the script open for writing until it has begun.
static TURN: Turn<()> = Turn::const_new(());

/// What a KVM that says nothing is given to become ready.
const LIMIT: Duration = Duration::from_secs(15);
/// What taking a template that is there may need, with a version asked and a hypervisor killed.
const SLACK: Duration = Duration::from_secs(15);

/// The script. A machine runs as a user of its own and without an environment; a clone may write no file.
/// A KVM that works takes what is saved by emulation: what it is told instead of `kvm` and `host` is what
/// `machine()` of src/qemu/command.rs says for emulation.
const SCRIPT: &str = r#"#!/bin/sh
works() {
    for argument in "$@"; do
        shift
        case "$argument" in
        kvm) argument=tcg,thread=multi ;;
        host) argument=max,-cx16,-erms ;;
        esac
        set -- "$@" "$argument"
    done
    exec qemu-system-x86_64 "$@"
}
. 'HERE/mode'
case "$*" in
--version) [ -z "$version" ] || exec echo "$version" ;;
*'-accel kvm'*' -incoming '*) kvm "$@" ;;
*'-accel kvm'*) echo kvm >> 'HERE/log'; kvm "$@" ;;
*) emulation ;;
esac
exec qemu-system-x86_64 "$@"
"#;

/// A hypervisor whose KVM does what it is told here.
struct Scripted {
    directory: TempDir,
    /// What was said on the way.
    said: Mutex<Vec<String>>,
}

impl Scripted {
    fn new() -> Self {
        let scripted = Self {
            directory: tempfile::tempdir().unwrap(),
            said: Mutex::default(),
        };
        let permit = |path: PathBuf, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        let here = scripted.directory.path();
        permit(here.to_owned(), 0o755);
        let script = SCRIPT.replace("HERE", &here.to_string_lossy());
        fs::write(scripted.file("qemu"), script).unwrap();
        permit(scripted.file("qemu"), 0o755);
        for (name, mode) in [("log", 0o666), ("kvm", 0o600)] {
            File::create(scripted.file(name)).unwrap();
            permit(scripted.file(name), mode);
        }
        scripted
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// From now on it calls itself `version`, or by its true one, and runs these commands where it is to
    /// use KVM or to emulate.
    fn does(&self, version: &str, kvm: &str, emulation: &str) {
        let mode =
            format!("version='{version}'\nkvm() {{ {kvm}; }}\nemulation() {{ {emulation}; }}\n");
        fs::write(self.file("mode"), mode).unwrap();
        fs::set_permissions(self.file("mode"), Permissions::from_mode(0o644)).unwrap();
    }

    /// How often it was asked to boot with KVM.
    fn tried(&self) -> usize {
        fs::read_to_string(self.file("log"))
            .unwrap()
            .lines()
            .count()
    }

    fn config(&self, accel: Accel) -> VmConfig {
        VmConfig {
            accel,
            kvm: self.file("kvm"),
            qemu: self.file("qemu").to_string_lossy().into_owned(),
            ..VmConfig::default()
        }
    }

    async fn obtain(&self, home: &Home, config: &VmConfig) -> Result<Template, VmError> {
        self.said.lock().unwrap().clear();
        let image = common::image(home);
        let say = |message: &str| self.said.lock().unwrap().push(message.to_owned());
        Template::obtain(home, &image, &common::agent(), config, &say).await
    }

    /// That it emulates is said once, with this reason.
    fn says_that_it_emulates(&self, reason: &str) {
        let said = self.said.lock().unwrap();
        let emulating = said.iter().filter(|line| line.ends_with(": emulating"));
        let emulating: Vec<_> = emulating.collect();
        assert!(
            matches!(&emulating[..], [line] if line.contains(reason)),
            "{said:?}"
        );
    }
}

/// A home with the template of emulation. The script's true version makes the same one: nothing is booted
/// twice.
async fn own_home() -> (TempDir, Home, Template) {
    let usual = Home::from_env().unwrap();
    let emulated = common::template(&usual, Accel::Tcg).await;
    let (directory, home) = common::own_home(&usual, &emulated);
    // What the usual home knows of the true KVM is not of interest here.
    let _ = fs::remove_file(home.root().join("kvm.json"));
    (directory, home, emulated)
}

const HANGS: &str = "exec sleep 600";
const FAILS: &str = "echo 'failed to set MSR 0x345' >&2; exit 1";
const WORKS: &str = r#"works "$@""#;

#[tokio::test(flavor = "multi_thread")]
async fn vm_kvm_that_does_not_work_is_found_out_once_and_emulation_taken() {
    let _turn = TURN.lock().await;
    let (_directory, home, emulated) = own_home().await;
    let qemu = Scripted::new();
    let auto = qemu.config(Accel::Auto);

    qemu.does("", HANGS, ":");
    let began = Instant::now();
    let template = qemu.obtain(&home, &auto).await.unwrap();
    let took = began.elapsed();
    assert!(took >= LIMIT && took < LIMIT + SLACK, "{took:?}");
    assert_eq!(template.record(), emulated.record());
    assert_eq!(qemu.tried(), 1);
    qemu.says_that_it_emulates("it was not ready in time");
    template.try_clone().await.unwrap();
    // Of the boot that was given up nothing is left.
    let left = fs::read_dir(home.root().join("stages")).unwrap();
    assert_eq!(left.count(), 0);

    let began = Instant::now();
    let again = qemu.obtain(&home, &auto).await.unwrap();
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
    assert_eq!(again.record(), emulated.record());
    assert_eq!(qemu.tried(), 1, "the outcome was not remembered");
    qemu.says_that_it_emulates("it was not ready in time");

    // Another version may do better: KVM is tried, and where it fails again emulation is, whose
    // template is another one, which is not waited for here.
    qemu.does("QEMU emulator version 99.0", FAILS, "exit 1");
    let error = qemu.obtain(&home, &auto).await.unwrap_err();
    assert!(
        matches!(error, VmError::Boot { accel: "tcg", .. }),
        "{error}"
    );
    assert_eq!(qemu.tried(), 2);
    qemu.says_that_it_emulates("failed to set MSR 0x345");
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_kvm_that_fails_for_a_larger_machine_is_not_given_up() {
    let _turn = TURN.lock().await;
    let (_directory, home, _) = own_home().await;
    let qemu = Scripted::new();
    let auto = qemu.config(Accel::Auto);
    let larger = VmConfig {
        memory_mib: 2 * auto.memory_mib,
        ..auto
    };
    // Emulation is tried too, and is not waited for here.
    qemu.does("", FAILS, "exit 1");
    for times in 1..=2 {
        let error = qemu.obtain(&home, &larger).await.unwrap_err();
        assert!(
            matches!(error, VmError::Boot { accel: "tcg", .. }),
            "{error}"
        );
        qemu.says_that_it_emulates("failed to set MSR 0x345");
        assert_eq!(qemu.tried(), times);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_kvm_that_was_asked_for_and_does_not_work_is_one_error() {
    let _turn = TURN.lock().await;
    let (_directory, home, emulated) = own_home().await;
    let qemu = Scripted::new();
    let asked_for = qemu.config(Accel::Kvm);

    qemu.does("", FAILS, ":");
    let error = qemu.obtain(&home, &asked_for).await.unwrap_err();
    let expected = "failed to use KVM: failed to set MSR 0x345; take `--accel tcg` to emulate";
    assert_eq!(error.to_string(), expected);
    assert_eq!(qemu.tried(), 1);

    // Without its device it is not even tried.
    fs::remove_file(qemu.file("kvm")).unwrap();
    let error = qemu.obtain(&home, &asked_for).await.unwrap_err();
    let expected = format!(
        "failed to use KVM: {} cannot be opened: No such file or directory (os error 2); take \
         `--accel tcg` to emulate",
        qemu.file("kvm").display()
    );
    assert_eq!(error.to_string(), expected);
    let template = qemu.obtain(&home, &qemu.config(Accel::Auto)).await.unwrap();
    assert_eq!(template.record(), emulated.record());
    qemu.says_that_it_emulates("cannot be opened");
    assert_eq!(qemu.tried(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_kvm_that_was_asked_for_and_works_is_used_from_then_on() {
    let _turn = TURN.lock().await;
    let (_directory, home, emulated) = own_home().await;
    let qemu = Scripted::new();
    let (auto, asked_for) = (qemu.config(Accel::Auto), qemu.config(Accel::Kvm));

    qemu.does("", FAILS, ":");
    qemu.obtain(&home, &auto).await.unwrap();
    qemu.says_that_it_emulates("failed to set MSR 0x345");
    assert_eq!(qemu.tried(), 1);

    // A template that is there already is no proof: it is made anew. Here it is the one of emulation.
    let place = kvm_template(&home);
    let saved = home.root().join("templates").join(&emulated.record().key);
    symlink(&saved, &place).unwrap();
    let error = qemu.obtain(&home, &asked_for).await.unwrap_err();
    assert!(matches!(error, VmError::Kvm(_)), "{error}");
    assert_eq!(qemu.tried(), 2);
    assert!(fs::symlink_metadata(&place).is_err());

    // Whatever is emulated by its name fails from here on. Nothing is booted: another program has made
    // the template by the time that it is looked for, and a clone of it must run.
    qemu.does("", WORKS, "exit 1");
    let meanwhile = |step: &str| {
        if step == "trying KVM" {
            symlink(&saved, &place).unwrap();
        }
    };
    let image = common::image(&home);
    let obtained = Template::obtain(&home, &image, &common::agent(), &asked_for, &meanwhile).await;
    obtained.unwrap();

    // It is neither tried again nor emulated.
    let template = qemu.obtain(&home, &auto).await.unwrap();
    assert_eq!(*qemu.said.lock().unwrap(), [""; 0]);
    template.try_clone().await.unwrap();
    assert_eq!(qemu.tried(), 2);
}

/// Where the template is kept that a boot with KVM would make: the lock of one that failed tells its key.
fn kvm_template(home: &Home) -> PathBuf {
    let locks = fs::read_dir(home.root().join("locks")).unwrap();
    let keys: Vec<String> = locks
        .map(|lock| lock.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_prefix("template-").map(str::to_owned))
        .collect();
    let [key] = &keys[..] else {
        panic!("{keys:?}");
    };
    home.root().join("templates").join(key)
}
