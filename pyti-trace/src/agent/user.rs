//! The ordinary user that stages run as.

use nix::unistd::{Gid, Uid, setegid, seteuid};

use super::error::{AgentError, Doing as _};

/// User id of `dev` in every image.
pub(super) const UID: u32 = 1000;
/// Group id of `dev` in every image.
pub(super) const GID: u32 = 1000;

/// Does something with the user's rights, so that whatever a path leads to, no more than the user's
/// own files can be touched, and what is made belongs to the user.
pub(super) fn acting<T>(work: impl FnOnce() -> T) -> Result<T, AgentError> {
    setegid(Gid::from_raw(GID)).doing(|| "take the user's group".into())?;
    let done = seteuid(Uid::from_raw(UID))
        .doing(|| "take the user's rights".into())
        .map(|()| work());
    seteuid(Uid::from_raw(0)).doing(|| "take root's rights back".into())?;
    setegid(Gid::from_raw(0)).doing(|| "take root's group back".into())?;
    done
}
