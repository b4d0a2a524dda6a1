//! Whose certificates are believed: those of the authorities that pip's settings name, else the system,
//! and no others. And what they protect, no redirect gives up.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

use super::child::{self, FETCHED, outcome};
use super::proxy::Proxy;
use super::server::{FILE, PAGE, Server, Trouble, answer};

/// The client is this same test in another process.
#[tokio::test]
async fn an_authority_is_known_by_the_system_or_not_at_all() {
    if child::is_done().await {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let [known, other] = ["known", "other"].map(|name| make_authority(home.path(), name));
    let server = Server::start(Some(certified_by("known", home.path())), |_, _, _| None);
    let index = format!("https://127.0.0.1:{}/simple/", server.port);
    let (file, others) = (known.join("ca.pem"), other.join("ca.pem"));

    assert_eq!(outcome(&index, &[("SSL_CERT_FILE", &file)]), FETCHED);
    assert_eq!(outcome(&index, &[("SSL_CERT_DIR", &known)]), FETCHED);

    let refused = format!(
        "failed to trust https://127.0.0.1:{}{PAGE}: this system does not know the authority that \
         signed its certificate; add that one's to the system's certificates, or name a file with it \
         in SSL_CERT_FILE",
        server.port
    );
    let before = server.connections();
    assert_eq!(outcome(&index, &[("SSL_CERT_FILE", &others)]), refused);
    assert_eq!(server.connections(), before + 1, "asking again is no use");
    assert_eq!(outcome(&index, &[]), refused);

    let elsewhere = index.replace("127.0.0.1", "localhost");
    let told = outcome(&elsewhere, &[("SSL_CERT_FILE", &file)]);
    let begin = format!(
        "failed to trust https://localhost:{}{PAGE}: its certificate is refused: ",
        server.port
    );
    assert!(
        told.starts_with(&begin) && told.contains("127.0.0.1"),
        "{told}"
    );

    let missing = home.path().join("missing.pem");
    assert_eq!(
        outcome(&index, &[("SSL_CERT_FILE", &missing)]),
        "failed to use SSL_CERT_FILE: no certificate of an authority can be read there; correct or \
         unset it"
    );
}

/// The authorities `known`, which signed the server's certificate, and `other`, which did not: a
/// directory and a file in it each.
struct Authorities {
    server: Server,
    index: String,
    known: [PathBuf; 2],
    other: [PathBuf; 2],
    home: TempDir,
}

fn authorities() -> Authorities {
    let home = tempfile::tempdir().unwrap();
    let [known, other] = ["known", "other"].map(|name| {
        let directory = make_authority(home.path(), name);
        let file = directory.join("ca.pem");
        [directory, file]
    });
    let server = Server::start(Some(certified_by("known", home.path())), |_, _, _| None);
    let index = format!("https://127.0.0.1:{}/simple/", server.port);
    Authorities {
        server,
        index,
        known,
        other,
        home,
    }
}

/// A file of pip's with this option.
fn pip_conf(home: &Path, option: &str) -> PathBuf {
    let file = home.join("pip.conf");
    std::fs::write(&file, format!("[global]\n{option}\n")).unwrap();
    file
}

#[test]
fn an_authority_that_pip_is_told_of_is_known() {
    let all = authorities();
    let [directory, file] = &all.known;
    let [_, other] = &all.other;
    for (name, known) in [
        ("PIP_CERT", file),
        ("PIP_CERT", directory),
        ("REQUESTS_CA_BUNDLE", file),
        ("CURL_CA_BUNDLE", directory),
    ] {
        let told = outcome(&all.index, &[(name, known), ("SSL_CERT_FILE", other)]);
        assert_eq!(told, FETCHED, "{name}");
    }
    let configured = pip_conf(all.home.path(), &format!("cert = {}", file.display()));
    let told = outcome(
        &all.index,
        &[("PIP_CONFIG_FILE", &configured), ("SSL_CERT_FILE", other)],
    );
    assert_eq!(told, FETCHED);
}

#[test]
fn of_several_that_are_named_the_one_counts_that_counts_for_pip() {
    let all = authorities();
    let ([_, known], [_, other]) = (&all.known, &all.other);
    let configured = pip_conf(all.home.path(), &format!("cert = {}", other.display()));
    for (first, second) in [
        ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        ("REQUESTS_CA_BUNDLE", "PIP_CERT"),
        ("CURL_CA_BUNDLE", "PIP_CERT"),
        ("CURL_CA_BUNDLE", "SSL_CERT_FILE"),
        ("PIP_CERT", "SSL_CERT_FILE"),
    ] {
        let told = outcome(
            &all.index,
            &[
                (first, known),
                (second, other),
                ("PIP_CONFIG_FILE", &configured),
            ],
        );
        assert_eq!(told, FETCHED, "{first} before {second}");
    }
}

#[test]
fn beside_pip_s_own_proxy_its_own_authorities_alone_count() {
    let all = authorities();
    let ([_, known], [_, other]) = (&all.known, &all.other);
    let proxy = Proxy::start(all.server.port);
    let address = format!("127.0.0.1:{}", proxy.port);
    for name in ["PIP_CERT", "SSL_CERT_FILE"] {
        let told = outcome(
            &all.index,
            &[
                ("PIP_PROXY", &address),
                (name, known),
                ("REQUESTS_CA_BUNDLE", other),
                ("CURL_CA_BUNDLE", other),
            ],
        );
        assert_eq!(told, FETCHED, "{name}");
    }
    assert_eq!(proxy.asked().len(), 4);

    // The usual variables name a proxy for pip too, but not one of its own.
    let told = outcome(
        &all.index,
        &[
            ("HTTPS_PROXY", &address),
            ("REQUESTS_CA_BUNDLE", known),
            ("PIP_CERT", other),
        ],
    );
    assert_eq!(told, FETCHED);
    assert_eq!(proxy.asked().len(), 6);
}

#[test]
fn those_that_pip_is_told_of_stand_instead_of_the_system_s() {
    let all = authorities();
    let ([_, known], [_, other]) = (&all.known, &all.other);
    let configured = pip_conf(all.home.path(), &format!("cert = {}", other.display()));
    let option = format!("cert in {}", configured.display());
    for (name, value, place) in [
        ("PIP_CERT", other, "PIP_CERT"),
        ("REQUESTS_CA_BUNDLE", other, "REQUESTS_CA_BUNDLE"),
        ("PIP_CONFIG_FILE", &configured, option.as_str()),
    ] {
        let before = all.server.connections();
        assert_eq!(
            outcome(&all.index, &[(name, value), ("SSL_CERT_FILE", known)]),
            format!(
                "failed to trust {}target/: the authority that signed its certificate is not among \
                 those of {place}, which stand instead of this system's; add that one's certificate to \
                 them",
                all.index
            )
        );
        let tries = all.server.connections() - before;
        assert_eq!(tries, 1, "asking again is no use");
    }
}

#[test]
fn certificates_that_cannot_be_read_are_named_with_who_named_them() {
    let home = tempfile::tempdir().unwrap();
    let missing = home.path().join("missing.pem");
    let text = home.path().join("text.pem");
    std::fs::write(&text, "no certificate\n").unwrap();
    let empty = home.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let configured = pip_conf(home.path(), "cert = ~/missing.pem");
    let option = format!("cert in {}", configured.display());
    let no_file = "No such file or directory (os error 2)";
    let no_pem = "there is none in PEM form";
    for (name, value, place, path, reason) in [
        ("PIP_CERT", &missing, "PIP_CERT", &missing, no_file),
        ("PIP_CERT", &text, "PIP_CERT", &text, no_pem),
        ("CURL_CA_BUNDLE", &empty, "CURL_CA_BUNDLE", &empty, no_pem),
        (
            "PIP_CONFIG_FILE",
            &configured,
            option.as_str(),
            &missing,
            no_file,
        ),
    ] {
        let at_home = home.path();
        assert_eq!(
            outcome("https://127.0.0.1:9/", &[(name, value), ("HOME", &at_home)]),
            format!(
                "failed to use {place}: no certificate of an authority can be read in {}: {reason}; \
                 correct or unset it",
                path.display()
            )
        );
    }
}

#[test]
fn a_host_without_a_certificate_is_not_believed_whoever_says_so() {
    let all = authorities();
    let [_, other] = &all.other;
    for name in ["PIP_TRUSTED_HOST", "UV_INSECURE_HOST"] {
        let told = outcome(
            &all.index,
            &[(name, &"127.0.0.1"), ("SSL_CERT_FILE", other)],
        );
        let begin = format!("failed to trust {}target/: ", all.index);
        let end = format!("; {name} names this host, but without a certificate nobody is believed");
        assert!(told.starts_with(&begin) && told.ends_with(&end), "{told}");
    }
    assert_eq!(all.server.requests().concat(), "");
}

/// Where nobody who is asked would answer.
const ELSEWHERE: &str = "http://127.0.0.1:9/elsewhere/";

fn elsewhere() -> Vec<u8> {
    let location = format!("Location: {ELSEWHERE}\r\n");
    answer("302 Found", &location, b"")
}

#[test]
fn https_leads_to_https_only() {
    let home = tempfile::tempdir().unwrap();
    let file = make_authority(home.path(), "known").join("ca.pem");
    let certified = certified_by("known", home.path());
    let start = |trouble: Trouble| {
        let server = Server::start(Some(Arc::clone(&certified)), trouble);
        let index = format!("https://127.0.0.1:{}/simple/", server.port);
        (outcome(&index, &[("SSL_CERT_FILE", &file)]), server)
    };

    let troubles: [(&str, Trouble); 2] = [
        (PAGE, |path, _, _| (path == PAGE).then(elsewhere)),
        (FILE, |path, _, _| (path == FILE).then(elsewhere)),
    ];
    for (path, trouble) in troubles {
        let (told, server) = start(trouble);
        let expected = format!(
            "failed to trust https://127.0.0.1:{}{path}: it leads to {ELSEWHERE}, and without https \
             anyone on the way may answer; check the index address",
            server.port
        );
        assert_eq!(told, expected);
        assert!(server.pauses(path).is_empty(), "asking again is no use");
    }

    let (told, server) = start(|path, before, _| {
        let itself = format!("Location: {path}\r\n");
        (before == 0).then(|| answer("302 Found", &itself, b""))
    });
    assert_eq!(told, FETCHED);
    assert_eq!(server.connections(), 4);
}

/// A directory with a new authority's certificate, and its key beside that.
pub fn make_authority(home: &Path, name: &str) -> PathBuf {
    let directory = home.join(name);
    std::fs::create_dir(&directory).unwrap();
    let line = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name} \
         -keyout {name}.key -out {name}/ca.pem"
    );
    openssl(home, &line);
    directory
}

/// A server whose certificate for 127.0.0.1 this authority has signed.
pub fn certified_by(authority: &str, home: &Path) -> Arc<ServerConfig> {
    openssl(
        home,
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=index \
         -keyout index.key -out index.csr",
    );
    std::fs::write(home.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    let line = format!(
        "x509 -req -in index.csr -CA {authority}/ca.pem -CAkey {authority}.key -set_serial 1 -days 2 \
         -extfile names -out index.pem"
    );
    openssl(home, &line);
    let chain = vec![CertificateDer::from_pem_file(home.join("index.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(home.join("index.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
