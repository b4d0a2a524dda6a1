//! Every action of the probes' table, through every road to it that is known here.

use std::path::Path;

use pyti_tests::matrix;

const DOCUMENT: &str = include_str!("../../../../docs/probes.md");

/// With `PYTI_UPDATE_MATRIX` set the table in the documentation is written.
#[tokio::test(flavor = "multi_thread")]
async fn vm_matrix_is_on_record() {
    let cells = matrix::run().await.expect("the matrix did not run");
    let table = matrix::table(&cells);
    if std::env::var_os("PYTI_UPDATE_MATRIX").is_some() {
        let (before, _) = DOCUMENT.split_once("| action |").expect("no table");
        let tests = std::env::var_os("CARGO_MANIFEST_DIR").expect("run by cargo");
        let file = Path::new(&tests).join("../docs/probes.md");
        std::fs::write(file, format!("{before}{table}")).expect("failed to write the file");
    }
    let unexpected = matrix::unexpected(&cells);
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    assert!(
        DOCUMENT.ends_with(&table) || std::env::var_os("PYTI_UPDATE_MATRIX").is_some(),
        "docs/probes.md has another table; now\n{table}"
    );
}
