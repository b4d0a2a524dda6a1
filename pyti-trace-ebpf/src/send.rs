//! What is sent, and to whom: datagrams, sends that name a destination, and the first ones of a
//! connection.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::helpers::generated::{bpf_copy_from_user, bpf_probe_read_user};
use aya_ebpf::macros::{fexit, lsm, map};
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::{FExitContext, LsmContext};
use pyti_trace_ebpf::{has, incomplete, kind, tag};

use crate::kernel::{Ptr, inner, load, offset, peek, peek_ptr};
use crate::lost::count_missing;
use crate::network::{
    AF_INET, AF_INET6, AF_PACKET, AF_UNIX, End, MAX_SOCKADDR, UNMARKED, address, describe,
    socket_inode, walk_to_relative,
};
use crate::page::address_of;
use crate::recorder::Recorder;
use crate::repeat::{UIO_MAXIOV, repeat};
use crate::track::{ids, tracked};

const AF_NETLINK: u16 = 16;
const SOCK_STREAM: u16 = 1;
/// Bytes of a connection whose sends are recorded: the first one may be a decoy.
const FIRST_BYTES: u64 = 64;
/// Bytes kept of what is sent: a DNS query with its longest name fits.
const MAX_SAMPLE: u32 = 320;
/// Has all bits of the places before that.
const MAX_SAMPLE_MASK: usize = 511;
/// `iov_iter.iter_type` (include/linux/uio.h).
const ITER_UBUF: u8 = 0;
const ITER_IOVEC: u8 = 1;
const ITER_BVEC: u8 = 2;

/// How much of a connection was recorded.
#[repr(C)]
#[derive(Clone, Copy)]
struct Sent {
    /// The socket's inode, which tells it from others at the same address.
    inode: u64,
    bytes: u64,
}

/// Connections whose first bytes were recorded, by socket. Forgetting one only records more sends.
#[map]
static SENT: LruHashMap<u64, Sent> = LruHashMap::with_max_entries(4096, 0);

/// Bytes recorded of a connection.
#[inline(always)]
fn sent(socket: u64, inode: u64) -> u64 {
    let Some(sent) = SENT.get_ptr(socket) else {
        return 0;
    };
    // SAFETY: a value of the map; another thread may only change it to another inode's.
    let sent = unsafe { *sent };
    if sent.inode == inode { sent.bytes } else { 0 }
}

/// A socket connects anew: what it sent before says nothing of what it sends now.
#[inline(always)]
pub fn forget(socket: Ptr) {
    let _ = SENT.remove(socket as u64);
}

/// Records datagrams, sends that name a destination, and the first ones of a connection.
#[lsm(hook = "socket_sendmsg")]
pub fn send_resolve(ctx: LsmContext) -> i32 {
    let (tgid, _) = ids();
    if tracked(tgid).is_none() {
        return 0;
    }
    let socket: Ptr = ctx.arg(0);
    let message: Ptr = ctx.arg(1);
    let name = load::<usize>(message, offset!(msg_name)) as Ptr;
    let connected = name.is_null() && load::<u16>(socket, offset!(socket_type)) == SOCK_STREAM;
    if connected && sent(socket as u64, socket_inode(socket)) >= FIRST_BYTES {
        return 0;
    }
    let sk = peek_ptr(socket, offset!(socket_sk));
    let family: u16 = peek(sk, offset!(sock_common) + offset!(skc_family));
    let result_is_told = matches!(family, AF_UNIX | AF_INET | AF_INET6 | AF_PACKET);
    // What is said to the kernel reaches nobody else.
    if family == AF_NETLINK {
        return 0;
    }
    let begun = if result_is_told {
        Recorder::hold(kind::SEND)
    } else {
        Recorder::begin(kind::SEND)
    };
    let Some(mut recorder) = begun else {
        // Of what names its destination the end begins another record, or counts it as lost.
        if result_is_told && name.is_null() {
            count_missing(kind::SEND);
        }
        return 0;
    };
    if connected {
        recorder.set_subject(socket as u64);
    }
    describe(&mut recorder, socket);
    if name.is_null() {
        address(&mut recorder, sk, End::Peer);
    } else {
        destination(&mut recorder, message, name);
    }
    sample(&mut recorder, inner(message, offset!(msg_iter)), ctx.arg(2));
    if !result_is_told {
        recorder.mark(incomplete::RESULT_UNKNOWN);
        recorder.python();
        recorder.emit(kind::SEND, 0);
    }
    0
}

/// Appends the address that a message names.
#[inline(always)]
fn destination(recorder: &mut Recorder, message: Ptr, name: Ptr) {
    let len: u32 = load(message, offset!(msg_namelen));
    recorder.kernel::<MAX_SOCKADDR>(tag::SOCKADDR, UNMARKED, name, len);
    walk_to_relative(recorder, name, len);
}

/// Brings what [`send_resolve`] samples into memory, which may lie in a file that nobody has read yet:
/// there only a program that may sleep gets at it. It is attached later, and so runs earlier.
#[lsm(hook = "socket_sendmsg", sleepable)]
pub fn send_touch(ctx: LsmContext) -> i32 {
    if tracked(ids().0).is_none() {
        return 0;
    }
    let iter = inner(ctx.arg(1), offset!(msg_iter));
    let skip: u64 = peek(iter, offset!(iter_offset));
    let pointer = peek_ptr(iter, offset!(iter_ubuf)) as u64;
    let left = ctx.arg::<i32>(2).max(0) as u64;
    match peek::<u8>(iter, offset!(iter_type)) {
        ITER_UBUF => touch(pointer.wrapping_add(skip), left),
        ITER_IOVEC => {
            let mut touch = Touch {
                next: pointer,
                skip,
                left: if left > u64::from(MAX_SAMPLE) {
                    u64::from(MAX_SAMPLE)
                } else {
                    left
                },
            };
            repeat(UIO_MAXIOV, touch_next, &mut touch);
        }
        _ => {}
    }
    0
}

/// A walk through the buffers of a message, which brings them into memory.
#[repr(C)]
struct Touch {
    /// Address of the next `struct iovec`, which the kernel has copied.
    next: u64,
    /// Bytes of it that are not sent.
    skip: u64,
    /// Bytes that are still to be sampled.
    left: u64,
}

unsafe extern "C" fn touch_next(_: u32, walk: *mut Touch) -> i64 {
    // SAFETY: `send_touch` gives it its own.
    let walk = unsafe { &mut *walk };
    // struct iovec is user-space ABI: base, length.
    let [base, len]: [u64; 2] = peek(walk.next as usize as Ptr, 0);
    let len = len.saturating_sub(walk.skip);
    let len = if len > walk.left { walk.left } else { len };
    touch(base.wrapping_add(walk.skip), len);
    walk.skip = 0;
    walk.left -= len;
    walk.next = walk.next.wrapping_add(size_of::<[u64; 2]>() as u64);
    i64::from(walk.left == 0)
}

/// Brings the first bytes at an address into memory: a sample lies in two pages at most.
#[inline(always)]
fn touch(from: u64, len: u64) {
    if len == 0 {
        return;
    }
    let len = if len > u64::from(MAX_SAMPLE) {
        u64::from(MAX_SAMPLE)
    } else {
        len
    };
    for at in [from, from.wrapping_add(len - 1)] {
        let mut byte = 0_u8;
        // SAFETY: the helper checks the source.
        unsafe { bpf_copy_from_user((&raw mut byte).cast(), 1, at as usize as Ptr) };
    }
}

/// The first bytes of a message.
#[inline(always)]
fn sample(recorder: &mut Recorder, iter: Ptr, size: i32) {
    let skip: u64 = peek(iter, offset!(iter_offset));
    let pointer = peek_ptr(iter, offset!(iter_ubuf));
    match peek::<u8>(iter, offset!(iter_type)) {
        ITER_UBUF => {
            let base = pointer.cast::<u8>().wrapping_add(skip as usize).cast();
            let len = size.max(0) as u64;
            recorder.user::<MAX_SAMPLE>(tag::DATA, incomplete::DATA_INCOMPLETE, base, len);
        }
        ITER_IOVEC => sample_vector(recorder, pointer, skip, size.max(0) as u64),
        ITER_BVEC => sample_page(recorder, pointer, skip),
        _ => recorder.mark(incomplete::DATA_INCOMPLETE),
    }
}

/// A walk through the buffers of a message.
#[repr(C)]
struct Gather {
    /// Where their bytes are put together.
    to: *mut Gathered,
    /// Address of the next `struct iovec`, which the kernel has copied.
    next: u64,
    /// Bytes of it that are not sent.
    skip: u64,
    /// Bytes that are still to be sent.
    left: u64,
}

/// Bytes of several buffers. In a map, whose numbers the verifier does not follow: one on the stack it
/// would follow through every turn.
#[repr(C)]
struct Gathered {
    len: u64,
    /// Not 0: something could not be read.
    failed: u64,
    /// As much as the mask lets through, and one buffer more.
    bytes: [u8; MAX_SAMPLE_MASK + 1 + MAX_SAMPLE as usize],
}

/// The first bytes of a message that lies in several buffers, of which the first may be empty.
#[inline(always)]
fn sample_vector(recorder: &mut Recorder, vector: Ptr, skip: u64, size: u64) {
    let to = recorder.scratch().cast::<Gathered>();
    // SAFETY: the scratch is longer, and nobody else's; the verifier checks both.
    unsafe {
        write_volatile(&raw mut (*to).len, 0);
        write_volatile(&raw mut (*to).failed, 0);
    }
    let mut gather = Gather {
        to,
        next: vector as u64,
        skip,
        left: size,
    };
    repeat(UIO_MAXIOV, gather_next, &mut gather);
    // SAFETY: as above.
    let (bytes, len, failed) = unsafe {
        (
            (&raw const (*to).bytes).cast(),
            read_volatile(&raw const (*to).len),
            read_volatile(&raw const (*to).failed),
        )
    };
    recorder.kernel::<MAX_SAMPLE>(tag::DATA, incomplete::DATA_INCOMPLETE, bytes, len as u32);
    if failed != 0 {
        recorder.mark(incomplete::DATA_INCOMPLETE);
    }
}

unsafe extern "C" fn gather_next(_: u32, gather: *mut Gather) -> i64 {
    // SAFETY: `sample_vector` gives it its own.
    let gather = unsafe { &mut *gather };
    // struct iovec is user-space ABI: base, length.
    let [base, len]: [u64; 2] = peek(gather.next as usize as Ptr, 0);
    let len = len.saturating_sub(gather.skip);
    let len = if len > gather.left { gather.left } else { len };
    let from = base.wrapping_add(gather.skip) as usize as Ptr;
    let whole = len < u64::from(MAX_SAMPLE);
    let cut = if whole { len as u32 } else { MAX_SAMPLE };
    // SAFETY: a value of the map; the verifier checks the room, the helper the source.
    unsafe {
        let to = gather.to;
        let at = read_volatile(&raw const (*to).len);
        if at >= u64::from(MAX_SAMPLE) {
            return 1;
        }
        // The same number: so the verifier sees it too.
        let at = at as usize & MAX_SAMPLE_MASK;
        let place = (&raw mut (*to).bytes).cast::<u8>().add(at);
        if bpf_probe_read_user(place.cast(), cut, from) != 0 {
            write_volatile(&raw mut (*to).failed, 1);
            return 1;
        }
        write_volatile(&raw mut (*to).len, at as u64 + u64::from(cut));
    }
    gather.skip = 0;
    gather.left -= len;
    gather.next = gather.next.wrapping_add(size_of::<[u64; 2]>() as u64);
    i64::from(!whole || gather.left == 0)
}

/// The first bytes of a message that lies in pages, as sendfile's do: of the first `struct bio_vec`
/// (include/linux/bvec.h).
#[inline(always)]
fn sample_page(recorder: &mut Recorder, vector: Ptr, skip: u64) {
    let [page, place]: [u64; 2] = peek(vector, 0);
    let (len, offset) = (place & 0xffff_ffff, place >> 32);
    let from = address_of(page).wrapping_add(offset).wrapping_add(skip);
    let from = from as usize as Ptr;
    let len = len.saturating_sub(skip) as u32;
    recorder.kernel::<MAX_SAMPLE>(tag::DATA, incomplete::DATA_INCOMPLETE, from, len);
}

/// A send ends, whichever hook begins its record.
#[inline(always)]
fn send(ctx: &FExitContext) -> i32 {
    let begun = Recorder::resume(kind::SEND);
    if let Some(recorder) = begun.or_else(|| begin_unasked(ctx)) {
        ended(recorder, ctx);
    }
    0
}

/// Begins the record of a send that names its destination, where [`send_resolve`] did not. The kernel asks no
/// LSM about a message of sendmmsg that goes where the one before went (`____sys_sendmsg` in net/socket.c).
#[inline(always)]
fn begin_unasked(ctx: &FExitContext) -> Option<Recorder> {
    let message: Ptr = ctx.arg(1);
    let name = load::<usize>(message, offset!(msg_name)) as Ptr;
    if name.is_null() {
        return None;
    }
    let mut recorder = Recorder::begin(kind::SEND)?;
    describe(&mut recorder, ctx.arg(0));
    destination(&mut recorder, message, name);
    let iter = inner(message, offset!(msg_iter));
    sample_behind(&mut recorder, iter, ctx.arg(2));
    Some(recorder)
}

/// The first bytes of a message that the kernel has read by now. Where one buffer begins is still to be seen;
/// of several ones it is not.
#[inline(always)]
fn sample_behind(recorder: &mut Recorder, iter: Ptr, size: u64) {
    if peek::<u8>(iter, offset!(iter_type)) == ITER_UBUF {
        let base = peek_ptr(iter, offset!(iter_ubuf));
        recorder.user::<MAX_SAMPLE>(tag::DATA, incomplete::DATA_INCOMPLETE, base, size);
    } else {
        recorder.mark(incomplete::DATA_INCOMPLETE);
    }
}

/// Emits the record of a send.
#[inline(always)]
fn ended(mut recorder: Recorder, ctx: &FExitContext) {
    // One of another socket waits for an end that this kernel does not tell.
    let inode = recorder.record().inode;
    if inode != socket_inode(ctx.arg(0)) {
        return;
    }
    let result: i32 = ctx.arg(3);
    if result >= 0 {
        recorder.record().bytes = result as u64;
        recorder.record().has |= has::BYTES;
    }
    let socket = recorder.subject();
    if socket != 0 && result > 0 {
        let bytes = sent(socket, inode) + result as u64;
        let _ = SENT.insert(socket, Sent { inode, bytes }, 0);
    }
    // Of a connection, who made it is told by the event of that: a stack for each send is a tenth of
    // what a program costs that does nothing else.
    if socket == 0 {
        recorder.python();
    }
    recorder.emit(kind::SEND, i64::from(result));
}

/// IPv4.
#[fexit(function = "inet_sendmsg")]
pub fn send_inet(ctx: FExitContext) -> i32 {
    send(&ctx)
}

/// IPv6.
#[fexit(function = "inet6_sendmsg")]
pub fn send_inet6(ctx: FExitContext) -> i32 {
    send(&ctx)
}

/// Unix stream.
#[fexit(function = "unix_stream_sendmsg")]
pub fn send_unix(ctx: FExitContext) -> i32 {
    send(&ctx)
}

/// Unix datagram.
#[fexit(function = "unix_dgram_sendmsg")]
pub fn send_unix_dgram(ctx: FExitContext) -> i32 {
    send(&ctx)
}

/// Sequenced packets of unix sockets, of which those that are sent have come by [`send_unix_dgram`]: what it
/// does not find here is on record.
#[fexit(function = "unix_seqpacket_sendmsg")]
pub fn send_unix_seqpacket(ctx: FExitContext) -> i32 {
    if let Some(recorder) = Recorder::resume(kind::SEND) {
        ended(recorder, &ctx);
    }
    0
}

/// Packets, which a raw socket sends past the protocols.
#[fexit(function = "packet_sendmsg")]
pub fn send_packet(ctx: FExitContext) -> i32 {
    send(&ctx)
}

/// Packets of the kind that was there before (`SOCK_PACKET`).
#[fexit(function = "packet_sendmsg_spkt")]
pub fn send_packet_old(ctx: FExitContext) -> i32 {
    send(&ctx)
}
