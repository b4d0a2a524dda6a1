//! Whose certificates are believed: those of the authorities that the system names, no others. And
//! what they protect, no redirect gives up.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::server::{FILE, PAGE, Server, Trouble, answer, bench};

/// What the client in another process is told: the index, and where to write what came of it.
const INDEX: &str = "PYTI_TEST_TLS_INDEX";
const OUTCOME: &str = "PYTI_TEST_TLS_OUTCOME";

/// The client is this same test in another process: which authorities there are is said by the
/// environment.
#[tokio::test]
async fn an_authority_is_known_by_the_system_or_not_at_all() {
    if let Some(outcome) = std::env::var_os(OUTCOME) {
        let told = match bench(&std::env::var(INDEX).unwrap())
            .prepare("target")
            .await
        {
            Ok(prepared) => format!("fetched {}", prepared.target.file.filename),
            Err(error) => error.to_string(),
        };
        std::fs::write(outcome, told).unwrap();
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let [known, other] = ["known", "other"].map(|name| make_authority(home.path(), name));
    let server = Server::start(Some(certified_by("known", home.path())), |_, _, _| None);
    let index = format!("https://127.0.0.1:{}/simple/", server.port);
    let (file, others) = (known.join("ca.pem"), other.join("ca.pem"));

    let fetched = "fetched target-1.0.tar.gz";
    assert_eq!(outcome(&index, &[("SSL_CERT_FILE", &file)]), fetched);
    assert_eq!(outcome(&index, &[("SSL_CERT_DIR", &known)]), fetched);

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
    assert_eq!(told, "fetched target-1.0.tar.gz");
    assert_eq!(server.connections(), 4);
}

/// What comes of fetching from `index` where the environment names these certificates.
fn outcome(index: &str, variables: &[(&str, &Path)]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("outcome");
    let test = "certificates::an_authority_is_known_by_the_system_or_not_at_all";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env_remove("SSL_CERT_FILE")
        .env_remove("SSL_CERT_DIR")
        .envs(variables.iter().copied())
        .env(INDEX, index)
        .env(OUTCOME, &file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    std::fs::read_to_string(&file).unwrap()
}

/// A directory with a new authority's certificate, and its key beside that.
fn make_authority(home: &Path, name: &str) -> PathBuf {
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
fn certified_by(authority: &str, home: &Path) -> Arc<ServerConfig> {
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
