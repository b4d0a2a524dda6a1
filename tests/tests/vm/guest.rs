//! What a package finds in the guest: what malware expects of a developer's machine, no network, no way
//! to become root, and nothing that names what watches it.

use pyti::order::order;
use pyti_tests::guest;

/// Runs a shell script in a clone, as the user that packages run as, and gives what it printed.
async fn said(script: &str) -> String {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let mut spec = order("looks", argv, &guest::LIMITS).expect("no order");
    spec.slots.clear();
    let ran = guest::run(&spec).await;
    ran.expect("the script did not end by itself").said
}

/// The rest of each line that begins with this word.
fn lines<'a>(said: &'a str, word: &str) -> Vec<&'a str> {
    let pairs = said.lines().filter_map(|line| line.split_once(' '));
    pairs
        .filter(|(first, _)| *first == word)
        .map(|(_, rest)| rest)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_guest_holds_what_malware_expects() {
    const PROGRAMS: [&str; 13] = [
        "python3",
        "pip",
        "gcc",
        "g++",
        "curl",
        "wget",
        "cron",
        "crontab",
        "git",
        "openssl",
        "nc",
        "systemctl",
        "perl",
    ];
    let look_for = format!(
        r#"for name in {}; do echo "$name $(command -v "$name")"; done"#,
        PROGRAMS.join(" ")
    );
    let python = r#"python3 -c '
import importlib.util, sys
print("python %d.%d" % sys.version_info[:2])
for name in ("pip", "setuptools", "wheel"):
    if importlib.util.find_spec(name):
        print("module", name)
'"#;
    // Both languages, with the headers of the interpreter and those of its own architecture.
    let compile = r#"for how in "gcc -x c" "g++ -x c++"; do
echo '#include <Python.h>' | $how -fsyntax-only $(python3-config --includes) - && echo "compiled $how"
done
exit 0"#;
    let said = said(&[look_for.as_str(), python, compile].join("\n")).await;
    for name in PROGRAMS {
        let found = lines(&said, name).concat();
        assert!(found.starts_with('/'), "no {name}: {said}");
    }
    assert_eq!(lines(&said, "python"), ["3.13"], "{said}");
    let modules = ["pip", "setuptools", "wheel"];
    assert_eq!(lines(&said, "module"), modules, "{said}");
    let compiled = ["gcc -x c", "g++ -x c++"];
    assert_eq!(lines(&said, "compiled"), compiled, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn vm_guest_has_no_network_and_no_way_to_become_root() {
    let said = said(
        r#"echo "kernel $(uname -r)"
sed -n 's/^ *\([^ :]*\):.*/interface \1/p' /proc/net/dev
for link in /sys/class/net/*; do echo "link ${link##*/}"; done
for device in /sys/bus/virtio/devices/*; do echo "virtio $(cat "$device/device")"; done
for device in /sys/bus/pci/devices/*; do [ -e "$device" ] && echo "pci ${device##*/}"; done
echo "user $(id -u)"
printf '\n' | timeout 20 su -c 'echo became root' root
echo "su $?"
printf '\n' | timeout 20 sudo -S echo became root
exit 0"#,
    )
    .await;
    let kernel = lines(&said, "kernel");
    assert!(kernel.iter().any(|it| it.starts_with("6.12.")), "{said}");
    assert_eq!(lines(&said, "interface"), ["lo"], "{said}");
    assert_eq!(lines(&said, "link"), ["lo"], "{said}");
    // Of all hardware that Linux drives by virtio: two disks and the console, which holds the port (their
    // numbers are in include/uapi/linux/virtio_ids.h).
    let mut virtio = lines(&said, "virtio");
    virtio.sort_unstable();
    assert_eq!(virtio, ["0x0002", "0x0002", "0x0003"], "{said}");
    assert!(lines(&said, "pci").is_empty(), "{said}");
    assert_eq!(lines(&said, "user"), ["1000"], "{said}");
    // It was tried, without a password, and refused.
    assert_eq!(lines(&said, "su"), ["1"], "{said}");
    assert!(lines(&said, "became").is_empty(), "{said}");
}

/// That it is a virtual machine the guest does not hide (`docs/evasions.md`); whose it is, it does.
#[tokio::test(flavor = "multi_thread")]
async fn vm_guest_does_not_name_what_watches() {
    // The patterns are written so that the search does not find its own arguments, nor pytime.h.
    let said = said(
        r#"cat /proc/version /proc/cmdline /proc/mounts
tr '\0' '\n' < /proc/self/environ
for process in /proc/[0-9]*; do cat "$process/comm"; tr '\0' ' ' < "$process/cmdline"; echo; done
find / -xdev \( -iname '*p[y]ti' -o -iname '*p[y]ti[-_.]*' \) 2>/dev/null
echo looked everywhere"#,
    )
    .await;
    for read in ["lsm=", " / overlay ", "HOME=/home/dev", "looked everywhere"] {
        assert!(said.contains(read), "no {read}: {said}");
    }
    assert!(!said.to_lowercase().contains("pyti"), "{said}");
}
