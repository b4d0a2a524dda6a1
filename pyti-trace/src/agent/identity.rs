//! What a clone must not share with its template: randomness, the time, its name.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use nix::unistd::sethostname;

use super::error::{AgentError, Doing as _};
use crate::wire::StageSpec;

/// `_IOW('R', 3, int[2])`, linux/random.h.
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
/// `_IO('R', 7)`, linux/random.h.
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;
/// Bytes of entropy taken at most; more would not make it more random.
const ENTROPY_MAX: usize = 256;
/// Bytes of entropy wanted at least.
const ENTROPY_MIN: usize = 32;

/// `struct rand_pool_info` of linux/random.h with room for its buffer.
#[repr(C)]
struct PoolInfo {
    entropy_bits: libc::c_int,
    bytes: libc::c_int,
    buffer: [u8; ENTROPY_MAX],
}

/// Gives the clone its own randomness, clock and name.
pub(super) fn take(spec: &StageSpec) -> Result<(), AgentError> {
    reseed(&entropy(&spec.entropy)?)?;
    let now = TimeSpec::from_duration(Duration::from_nanos(spec.unix_time_ns));
    clock_settime(ClockId::CLOCK_REALTIME, now).doing(|| "set the clock".into())?;
    sethostname(&spec.hostname).doing(|| format!("set the host name {:?}", spec.hostname))
}

fn entropy(text: &str) -> Result<Vec<u8>, AgentError> {
    let digits = text.as_bytes().chunks_exact(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    let bytes: Option<Vec<u8>> = digits.take(ENTROPY_MAX).collect();
    bytes
        .filter(|bytes| bytes.len() >= ENTROPY_MIN)
        .ok_or_else(|| {
            AgentError::Order(format!(
                "the host sent less than {ENTROPY_MIN} bytes of entropy"
            ))
        })
}

/// Writing to /dev/urandom would mix the bytes in without using them before the next reseed.
fn reseed(bytes: &[u8]) -> Result<(), AgentError> {
    let mut pool = PoolInfo {
        entropy_bits: (bytes.len() * 8) as libc::c_int,
        bytes: bytes.len() as libc::c_int,
        buffer: [0; ENTROPY_MAX],
    };
    pool.buffer[..bytes.len()].copy_from_slice(bytes);
    let random = File::open("/dev/urandom").doing(|| "open /dev/urandom".into())?;
    // SAFETY: the pool outlives the call, and its `bytes` lie within its buffer.
    let added = unsafe { libc::ioctl(random.as_raw_fd(), RNDADDENTROPY as _, &raw const pool) };
    Errno::result(added).doing(|| "add entropy".into())?;
    // SAFETY: takes no argument.
    let seeded = unsafe { libc::ioctl(random.as_raw_fd(), RNDRESEEDCRNG as _) };
    Errno::result(seeded).doing(|| "reseed the random number generator".into())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::entropy;

    #[test]
    fn entropy_is_hexadecimal_and_long_enough() {
        assert_eq!(
            entropy(&"0aFf".repeat(16)).ok(),
            Some([0x0a, 0xff].repeat(16))
        );
        assert!(entropy(&"0a".repeat(31)).is_err());
        assert!(entropy(&"zz".repeat(32)).is_err());
        assert!(entropy(&"é".repeat(32)).is_err());
    }
}
