//! Everything an audit needs before a VM starts: the target's file and all that it requires,
//! fetched, checked and resolved, with none of the package's code run on the host.
//!
//! The way in is [`prepare`]: a [`Target`] and [`Options`] become a [`Prepared`] wheelhouse. Its two
//! halves are [`fetch`] and [`resolve`].

pub mod archive;
mod authorities;
mod built;
mod cache;
pub mod config;
pub mod entry_points;
mod error;
pub mod filename;
#[doc(hidden)]
pub mod fuzzing;
pub mod hook;
mod http;
mod index;
mod loopback;
mod marker;
pub mod metadata;
pub mod name;
mod netrc;
mod network;
mod notes;
mod pack;
mod page;
mod pip_conf;
mod prepare;
pub mod progress;
mod proxy;
mod pyproject;
mod redact;
mod redirect;
mod requirement;
mod resolve;
mod retry;
mod select;
mod settings;
mod setup_requires;
mod sweep;
pub mod target;
mod text;
mod two_to_three;
mod unread;
mod uv;
mod wheelhouse;

pub use built::{BuiltWheel, keep_wheel};
pub use config::IndexConfig;
pub use entry_points::EntryPoints;
pub use error::{ErrorKind, IndexError};
pub use filename::{DistFilename, DistKind, PythonPlatform};
pub use hook::{HookError, HookRequest, MetadataHook};
pub use http::certificates;
pub use metadata::CoreMetadata;
pub use name::PackageName;
pub use pep440_rs::Version;
pub use prepare::{
    Beside, Closure, Cutoff, Fetched, Options, Source, closure, examine, fetch, fetch_uv,
    hook_request, metadata, prepare, resolve,
};
pub use progress::{Progress, Quiet, Step};
pub use requirement::check as check_requirement;
pub use setup_requires::{WrittenOut, keyword_requirements, keyword_text};
pub use sweep::{Scratch, sweep};
pub use target::Target;
pub use two_to_three::asks_for_2to3;
pub use uv::{UV_VERSION, host_python};
pub use wheelhouse::{Prepared, TargetFile, WheelhouseFile, append_tar};
