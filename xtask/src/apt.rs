//! The package manager of Debian and of what is made from it.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::sh::{Rights, as_root, on_path, output, rights, run, say};

/// Whether this system installs by apt.
pub fn here() -> bool {
    let texts = ["/etc/os-release", "/usr/lib/os-release"].map(std::fs::read_to_string);
    let text = texts.into_iter().find_map(Result::ok);
    on_path("apt-get") && text.is_some_and(|text| debian_like(&text))
}

/// Whether os-release(5) tells of Debian, of Ubuntu, or of a system made from one of them.
fn debian_like(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| {
            line.strip_prefix("ID=")
                .or_else(|| line.strip_prefix("ID_LIKE="))
        })
        .flat_map(|value| value.trim().trim_matches(['"', '\'']).split_whitespace())
        .any(|id| matches!(id, "debian" | "ubuntu"))
}

/// Whether a package of this name can be installed.
pub fn offers(package: &str) -> bool {
    output(
        Command::new("apt-cache")
            .args(["policy", package])
            // The words that are looked for are English.
            .env("LC_ALL", "C"),
    )
    .is_ok_and(|policy| has_candidate(&policy))
}

fn has_candidate(policy: &str) -> bool {
    policy
        .lines()
        .any(|line| line.contains("Candidate:") && !line.contains("(none)"))
}

/// Fetches the lists of packages.
pub fn update() -> Result<()> {
    run(apt_get(rights(), &["update"])?.stdout(Stdio::null()))
}

/// Installs packages.
pub fn install(packages: &[&str]) -> Result<()> {
    say(&format!("installing {}", packages.join(" ")));
    let mut install = install_command(rights(), packages)?;
    install.stdout(Stdio::null());
    // The package lists of a fresh machine are empty, or old.
    if !packages.iter().all(|package| offers(package)) {
        update()?;
    }
    run(&mut install).or_else(|_| {
        update()?;
        run(&mut install)
    })
}

fn install_command(rights: Rights, packages: &[&str]) -> Result<Command> {
    let install = ["install", "--yes", "--quiet", "--no-install-recommends"];
    apt_get(rights, &[&install[..], packages].concat())
}

fn apt_get(rights: Rights, arguments: &[&str]) -> Result<Command> {
    // By env, because sudo clears the environment.
    let quiet = ["DEBIAN_FRONTEND=noninteractive", "apt-get"];
    as_root(rights, "env", &[&quiet[..], arguments].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sh::line;

    #[test]
    fn debian_ubuntu_and_what_is_made_from_them_install_by_apt() {
        for text in [
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nID=debian\n",
            "NAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n",
            "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n",
            "ID=elementary\nID_LIKE='ubuntu'\n",
        ] {
            assert!(debian_like(text), "{text}");
        }
        for text in [
            "NAME=\"Fedora Linux\"\nID=fedora\nVARIANT_ID=debian\n",
            "NAME=\"openSUSE\"\nID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n",
            "ID=arch\nHOME_URL=\"https://debian/\"\n",
            "ID=debianoid\n",
            "",
        ] {
            assert!(!debian_like(text), "{text}");
        }
    }

    #[test]
    fn packages_are_installed_by_root_or_by_sudo() {
        let apt = "env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet \
                   --no-install-recommends gpgv mount";
        let command = |rights| install_command(rights, &["gpgv", "mount"]);
        assert_eq!(line(&command(Rights::Root).unwrap()), apt);
        assert_eq!(line(&command(Rights::Sudo).unwrap()), format!("sudo {apt}"));
        assert_eq!(
            command(Rights::None).unwrap_err().to_string(),
            format!(
                "failed to run `{apt}`, which takes root: there is no sudo; run it as root, then \
                 this again"
            )
        );
    }

    #[test]
    fn a_package_is_offered_where_it_has_a_candidate() {
        let policy = |candidate| format!("p:\n  Installed: (none)\n  Candidate: {candidate}\n");
        assert!(has_candidate(&policy("1:22.1-1")));
        assert!(!has_candidate(&policy("(none)")));
        assert!(!has_candidate(""), "a name that is not known");
    }
}
