//! The home of the user that packages run as, and a few files of the machine: a developer's laptop
//! that looks lived in. Every secret here is a decoy and says so; rules watch who reads them.

use std::io;

use crate::VmError;

const DEV: u64 = 1000;
/// When it was all last touched, seconds since the epoch: an ordinary working day.
const TOUCHED: u64 = 1_752_480_000;

/// Path below `/`, mode, content. A path that ends in `/` is a directory.
const FILES: &[(&str, u32, &str)] = &[
    ("home/dev/", 0o755, ""),
    (
        "home/dev/.bashrc",
        0o644,
        include_str!("../../images/home/bashrc"),
    ),
    (
        "home/dev/.profile",
        0o644,
        "if [ -f \"$HOME/.bashrc\" ]; then . \"$HOME/.bashrc\"; fi\nPATH=\"$HOME/.local/bin:$PATH\"\n",
    ),
    (
        "home/dev/.bash_history",
        0o600,
        "ls\ngit status\ngit pull --rebase\npython3 -m venv .venv\n. .venv/bin/activate\npip install -e .\n\
         pytest -q\naws s3 ls\nssh build.example.net\nvim src/ledger/report.py\ngit commit -am 'round totals'\ngit push\n",
    ),
    (
        "home/dev/.gitconfig",
        0o644,
        "[user]\n\tname = Dana Devlin\n\temail = dana@example.net\n[pull]\n\trebase = true\n[credential]\n\thelper = store\n",
    ),
    (
        "home/dev/.git-credentials",
        0o600,
        "https://dana:pyti-decoy-token@git.example.net\n",
    ),
    ("home/dev/.ssh/", 0o700, ""),
    (
        "home/dev/.ssh/id_rsa",
        0o600,
        "-----BEGIN OPENSSH PRIVATE KEY-----\ncHl0aS1kZWNveTogdGhpcyBpcyBub3QgYSBrZXksIGl0IG9wZW5zIG5vdGhpbmcg\n\
         -----END OPENSSH PRIVATE KEY-----\n",
    ),
    (
        "home/dev/.ssh/id_rsa.pub",
        0o644,
        "ssh-rsa cHl0aS1kZWNveQ== dana@laptop\n",
    ),
    (
        "home/dev/.ssh/config",
        0o600,
        "Host build\n  HostName build.example.net\n  User dana\n",
    ),
    (
        "home/dev/.ssh/known_hosts",
        0o600,
        "build.example.net ssh-ed25519 cHl0aS1kZWNveS1ob3N0\n",
    ),
    ("home/dev/.aws/", 0o700, ""),
    (
        "home/dev/.aws/credentials",
        0o600,
        "[default]\naws_access_key_id = PYTIDECOYNOTAKEY\naws_secret_access_key = pyti-decoy-not-a-secret\n",
    ),
    (
        "home/dev/.aws/config",
        0o600,
        "[default]\nregion = eu-central-1\n",
    ),
    (
        "home/dev/.netrc",
        0o600,
        "machine git.example.net\n  login dana\n  password pyti-decoy-password\n",
    ),
    (
        "home/dev/.pypirc",
        0o600,
        "[distutils]\nindex-servers = pypi\n\n[pypi]\nusername = __token__\npassword = pyti-decoy-not-a-token\n",
    ),
    (
        "home/dev/.npmrc",
        0o600,
        "//registry.example.net/:_authToken=pyti-decoy-not-a-token\n",
    ),
    ("home/dev/.docker/", 0o700, ""),
    (
        "home/dev/.docker/config.json",
        0o600,
        "{\"auths\":{\"registry.example.net\":{\"auth\":\"cHl0aTpkZWNveQ==\"}}}\n",
    ),
    ("home/dev/.kube/", 0o700, ""),
    (
        "home/dev/.kube/config",
        0o600,
        "apiVersion: v1\nkind: Config\nclusters: []\nusers:\n- name: decoy\n  user:\n    token: pyti-decoy-not-a-token\n",
    ),
    ("home/dev/.config/", 0o755, ""),
    ("home/dev/.config/pip/", 0o755, ""),
    (
        "home/dev/.config/pip/pip.conf",
        0o644,
        "[global]\ndisable-pip-version-check = true\n",
    ),
    ("home/dev/.config/systemd/", 0o755, ""),
    ("home/dev/.config/systemd/user/", 0o755, ""),
    ("home/dev/.cache/", 0o700, ""),
    ("home/dev/.local/", 0o755, ""),
    ("home/dev/.local/bin/", 0o755, ""),
    ("home/dev/Documents/", 0o755, ""),
    (
        "home/dev/Documents/budget-2025.csv",
        0o644,
        "month,rent,food,travel\n2025-05,940,412,77\n2025-06,940,398,310\n",
    ),
    (
        "home/dev/Documents/notes.md",
        0o644,
        "# Monday\n\n- ask about the rounding in the ledger report\n- renew the build host\n",
    ),
    ("home/dev/Downloads/", 0o755, ""),
    ("home/dev/projects/", 0o755, ""),
    ("home/dev/projects/ledger/", 0o755, ""),
    (
        "home/dev/projects/ledger/README.md",
        0o644,
        "# ledger\n\nSmall double-entry reports.\n",
    ),
    (
        "home/dev/projects/ledger/pyproject.toml",
        0o644,
        "[project]\nname = \"ledger\"\nversion = \"0.4.1\"\n\n[build-system]\nrequires = [\"setuptools\"]\n\
         build-backend = \"setuptools.build_meta\"\n",
    ),
    (
        "home/dev/projects/ledger/.env",
        0o600,
        "DATABASE_URL=postgres://dana:pyti-decoy@db.example.net/ledger\n",
    ),
    ("home/dev/projects/ledger/src/", 0o755, ""),
    ("home/dev/projects/ledger/src/ledger/", 0o755, ""),
    ("home/dev/projects/ledger/src/ledger/__init__.py", 0o644, ""),
    (
        "home/dev/projects/ledger/src/ledger/report.py",
        0o644,
        "from decimal import Decimal\n\n\ndef total(rows):\n    return sum((Decimal(row[\"amount\"]) for row in rows), Decimal())\n",
    ),
    // mmdebstrap copies these two from the host; a guest has no business with them.
    ("etc/hostname", 0o644, "laptop\n"),
    // As systemd-resolved writes it. Nobody listens there, but what is asked for leaves the process, and
    // so is on record; to an address beyond the machine nothing would be sent.
    (
        "etc/resolv.conf",
        0o644,
        "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n",
    ),
    (
        "etc/hosts",
        0o644,
        "127.0.0.1 localhost\n127.0.1.1 laptop\n::1 localhost ip6-localhost\n",
    ),
];

/// All of it as a tar, the same bytes each time.
pub(super) fn archive() -> Result<Vec<u8>, VmError> {
    build().map_err(VmError::io("pack the user's home"))
}

fn build() -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, mode, content) in FILES {
        let mut header = tar::Header::new_ustar();
        let directory = path.ends_with('/');
        header.set_entry_type(if directory {
            tar::EntryType::Directory
        } else {
            tar::EntryType::Regular
        });
        let owner = if path.starts_with("home/dev/") {
            DEV
        } else {
            0
        };
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mode(*mode);
        header.set_mtime(TOUCHED);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_bytes())?;
    }
    tar.into_inner()
}
