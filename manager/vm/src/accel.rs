//! Hardware acceleration: wanted, proven, remembered.

use std::{
    fmt, fs,
    fs::OpenOptions,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{Home, VmError, cpu, home};

/// What the caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accel {
    /// KVM where it is proven to work, emulation elsewhere.
    #[default]
    Auto,
    /// KVM or an error; it is tried also where it did not work before.
    Kvm,
    /// Emulation.
    Tcg,
    /// Emulation whose guest's clock counts instructions: for measurements, which then hold on a noisy
    /// host too. Slower, since one thread emulates all processors.
    Counted,
}

impl FromStr for Accel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "kvm" => Ok(Self::Kvm),
            "tcg" => Ok(Self::Tcg),
            other => Err(format!("{other:?} is none of auto, kvm, tcg")),
        }
    }
}

/// What a machine runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    /// The kernel's virtualisation.
    Kvm,
    /// QEMU's emulation.
    Tcg,
    /// QEMU's emulation on one thread, where an instruction takes [`INSTRUCTION_NS`].
    Counted,
}

/// What an instruction takes on a counted machine's clock, nanoseconds: a power of two, of the order
/// of what emulation takes.
pub(crate) const INSTRUCTION_NS: u32 = 16;

impl Engine {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
            Self::Counted => "tcg, counted instructions",
        }
    }

    /// How long a boot to the agent's Ready may take.
    pub(crate) fn boot_limit(self) -> Duration {
        match self {
            // A broken KVM often hangs without a word: waiting is all there is to prove.
            Self::Kvm => Duration::from_secs(15),
            Self::Tcg | Self::Counted => Duration::from_secs(180),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The outcome of the last proof on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    /// Boot, processor and hypervisor that it holds for.
    host: String,
    /// Why KVM does not work; `None` where it does.
    pub(crate) broken: Option<String>,
}

impl Proof {
    fn path(home: &Home) -> PathBuf {
        home.root().join("kvm.json")
    }

    fn host(machine_version: &str) -> String {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        format!("{} | {} | {machine_version}", boot.trim(), cpu::model())
    }

    /// The proof that was made since this host booted, if any.
    pub(crate) fn recall(home: &Home, machine_version: &str) -> Option<Self> {
        let proof: Self = serde_json::from_slice(&fs::read(Self::path(home)).ok()?).ok()?;
        (proof.host == Self::host(machine_version)).then_some(proof)
    }

    /// Remembers a proof.
    pub(crate) fn remember(
        home: &Home,
        machine_version: &str,
        broken: Option<String>,
    ) -> Result<(), VmError> {
        let proof = Self {
            host: Self::host(machine_version),
            broken,
        };
        let json = serde_json::to_vec_pretty(&proof).map_err(|error| VmError::Damaged {
            what: "kvm.json".into(),
            reason: error.to_string(),
        })?;
        let stage = home.stage()?;
        let fresh = stage.path().join("kvm.json");
        home::write(&fresh, &json)?;
        fs::rename(fresh, Self::path(home)).map_err(VmError::io("put kvm.json in its place"))
    }
}

/// Where the kernel has its virtualisation.
pub(crate) const KVM: &str = "/dev/kvm";

/// Whether the device can be opened at all. That it opens proves nothing.
pub(crate) fn kvm_opens(device: &Path) -> Result<(), String> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(device)
        .map(drop)
        .map_err(|error| format!("{} cannot be opened: {error}", device.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(home: &Home, version: &str) -> Option<Option<String>> {
        Proof::recall(home, version).map(|proof| proof.broken)
    }

    #[test]
    fn a_proof_holds_for_the_hypervisor_that_it_was_made_with() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path()).unwrap();
        assert_eq!(broken(&home, "QEMU 7.2"), None);
        let reason = Some("no word".to_owned());
        Proof::remember(&home, "QEMU 7.2", reason.clone()).unwrap();
        assert_eq!(broken(&home, "QEMU 7.2"), Some(reason));
        assert_eq!(broken(&home, "QEMU 10.0"), None);
        Proof::remember(&home, "QEMU 10.0", None).unwrap();
        assert_eq!(broken(&home, "QEMU 10.0"), Some(None));
        assert_eq!(broken(&home, "QEMU 7.2"), None, "the last proof counts");
    }

    #[test]
    fn a_proof_of_another_boot_or_a_damaged_one_counts_for_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path()).unwrap();
        Proof::remember(&home, "QEMU 7.2", None).unwrap();
        let kept = fs::read(Proof::path(&home)).unwrap();
        let mut proof: Proof = serde_json::from_slice(&kept).unwrap();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        assert!(proof.host.starts_with(boot.trim()), "{proof:?}");
        proof.host = proof.host.replace(boot.trim(), "another");
        fs::write(Proof::path(&home), serde_json::to_vec(&proof).unwrap()).unwrap();
        assert_eq!(broken(&home, "QEMU 7.2"), None);
        fs::write(Proof::path(&home), &kept[..kept.len() / 2]).unwrap();
        assert_eq!(broken(&home, "QEMU 7.2"), None);
    }

    #[test]
    fn a_device_that_is_not_there_is_named() {
        let told = kvm_opens(Path::new("/nonexistent/kvm")).unwrap_err();
        assert!(
            told.starts_with("/nonexistent/kvm cannot be opened: "),
            "{told}"
        );
    }
}
