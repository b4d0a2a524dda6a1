//! What an installation left on the disk of its clone, a tar which the package may have had a hand in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyti::data_store::DataStore;
use pyti::stage::Installed;

fuzz_target!(|bytes: &[u8]| {
    let directory = tempfile::tempdir().expect("a directory");
    let store = DataStore::at(directory.path().to_owned());
    let state = store.put(bytes).expect("a stored state");
    let name = "a".parse().expect("a name");
    if let Ok(installed) = Installed::read(&store, state, &name) {
        let _ = installed.target();
    }
});
