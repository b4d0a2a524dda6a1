//! How a package tests itself, told by the files of its source distribution.

mod files;
mod framework;
mod invocation;
mod requirements;

use pyti_index::CoreMetadata;
use serde::{Deserialize, Serialize};

pub(super) use files::Files;
pub use framework::Framework;
use framework::choose;
use requirements::requirements;

/// The datum `test-plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestPlan {
    /// What runs the tests.
    pub framework: Framework,
    /// Why it was chosen.
    pub reason: String,
    /// Arguments of the interpreter, in the source's directory; the program itself first where
    /// [`Framework::Command`] is run.
    pub arguments: Vec<String>,
    /// Sets of requirements (PEP 508), the best first: the later ones where it cannot be resolved.
    pub requirements: Vec<Vec<String>>,
}

/// How the tests among these files are run.
///
/// # Errors
/// There are none.
pub(in crate::stage) fn plan(files: &Files, metadata: &CoreMetadata) -> Result<TestPlan, String> {
    let (framework, reason, arguments) = choose(files)?;
    let own: Vec<String> = match framework {
        Framework::Pytest | Framework::Nose | Framework::Doctest => vec!["pytest"],
        Framework::Trial => vec!["pytest", "twisted"],
        Framework::Unittest | Framework::Django => vec!["unittest-xml-reporting"],
        Framework::Nose2 => vec!["nose2"],
        Framework::Command => vec![],
    }
    .into_iter()
    .map(str::to_owned)
    .collect();
    let wanted = requirements(files, metadata);
    let all: Vec<String> = own.iter().chain(&wanted).cloned().collect();
    Ok(TestPlan {
        framework,
        reason,
        arguments,
        requirements: if wanted.is_empty() {
            vec![own]
        } else {
            vec![all, own]
        },
    })
}

/// The plan of a command that the user gave.
pub(super) fn of_command(command: &[String], files: &Files, metadata: &CoreMetadata) -> TestPlan {
    TestPlan {
        framework: Framework::Command,
        reason: "the user said so".into(),
        arguments: command.to_vec(),
        requirements: vec![requirements(files, metadata), vec![]],
    }
}
