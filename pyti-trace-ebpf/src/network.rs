//! Sockets: made, connected, bound, listening, accepting, sending.
//!
//! The hooks are the protocols' own functions: whatever system call or ring asked, they run, with
//! the address in kernel memory and the result at hand.

use aya_ebpf::macros::{fexit, lsm, map};
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::{FExitContext, LsmContext};
use pyti_trace_ebpf::{has, incomplete, kind, tag};

use crate::file::set_inode;
use crate::kernel::{Ptr, inner, load, offset, peek, peek_ptr};
use crate::page::address_of;
use crate::recorder::Recorder;
use crate::track::{ids, tracked, watching};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_NETLINK: u16 = 16;
const AF_PACKET: u16 = 17;
const SOCK_STREAM: u16 = 1;
/// A packet socket as it was asked for once (include/linux/net.h).
const SOCK_PACKET: u16 = 10;
pub const S_IFMT: u16 = 0o170_000;
pub const S_IFSOCK: u16 = 0o140_000;
/// Longest `sockaddr` (include/uapi/linux/socket.h).
const MAX_SOCKADDR: u32 = 128;
/// An address that could not be read is none.
const UNMARKED: u32 = 0;
/// Bytes of a connection whose sends are recorded: the first one may be a decoy.
const FIRST_BYTES: u64 = 64;
/// Bytes kept of what is sent: a DNS query with its longest name fits.
const MAX_SAMPLE: u32 = 320;
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

/// A socket is asked for by a program, not by the kernel.
#[fexit(function = "__sock_create")]
pub fn socket_create(ctx: FExitContext) -> i32 {
    if ctx.arg::<i32>(5) != 0 {
        return 0;
    }
    if let Some(mut recorder) = Recorder::begin(kind::SOCKET) {
        let family: u16 = ctx.arg(1);
        let socktype = ctx.arg::<u16>(2) & 0xf;
        let packet = family == AF_INET && socktype == SOCK_PACKET;
        let record = recorder.record();
        record.family = if packet { AF_PACKET } else { family };
        record.socktype = socktype;
        record.flags = u64::from(ctx.arg::<u32>(3));
        record.has |= has::FAMILY | has::SOCKTYPE | has::FLAGS;
        recorder.python();
        recorder.emit(kind::SOCKET, i64::from(ctx.arg::<i32>(6)));
    }
    0
}

/// Family, type and inode of a socket.
#[inline(always)]
fn describe(recorder: &mut Recorder, socket: Ptr) {
    let sk = peek_ptr(socket, offset!(socket_sk));
    let record = recorder.record();
    record.family = peek(sk, offset!(sock_common) + offset!(skc_family));
    record.socktype = peek(socket, offset!(socket_type));
    record.inode = socket_inode(socket);
    record.has |= has::FAMILY | has::SOCKTYPE | has::INODE;
}

#[inline(always)]
fn socket_inode(socket: Ptr) -> u64 {
    let file = peek_ptr(socket, offset!(socket_file));
    peek(peek_ptr(file, offset!(file_inode)), offset!(inode_ino))
}

#[derive(Clone, Copy)]
enum End {
    Local,
    Peer,
}

/// Appends the address of one end of an internet socket as a `sockaddr`.
#[inline(always)]
fn address(recorder: &mut Recorder, sk: Ptr, end: End) {
    let common = offset!(sock_common);
    let family: u16 = peek(sk, common + offset!(skc_family));
    let port: u16 = match end {
        End::Local => peek::<u16>(sk, common + offset!(skc_num)).to_be(),
        End::Peer => peek(sk, common + offset!(skc_dport)),
    };
    let mut raw = [0u32; 7];
    raw[0] = u32::from(family) | u32::from(port) << 16;
    if family == AF_INET {
        raw[1] = match end {
            End::Local => peek(sk, common + offset!(skc_rcv_saddr)),
            End::Peer => peek(sk, common + offset!(skc_daddr)),
        };
        recorder.kernel::<16>(tag::SOCKADDR, UNMARKED, raw.as_ptr().cast(), 16);
    } else if family == AF_INET6 {
        let whole: [u32; 4] = match end {
            End::Local => peek(sk, common + offset!(skc_v6_rcv_saddr)),
            End::Peer => peek(sk, common + offset!(skc_v6_daddr)),
        };
        raw[2] = whole[0];
        raw[3] = whole[1];
        raw[4] = whole[2];
        raw[5] = whole[3];
        recorder.kernel::<28>(tag::SOCKADDR, UNMARKED, raw.as_ptr().cast(), 28);
    }
}

/// What a file is, and whom it talks to where it is a socket.
#[inline(always)]
pub fn describe_file(recorder: &mut Recorder, file: Ptr) {
    let inode: Ptr = load(file, offset!(file_inode));
    let mode: u16 = load(inode, offset!(inode_mode));
    recorder.record().mode = u32::from(mode);
    recorder.record().has |= has::MODE;
    if mode & S_IFMT == S_IFSOCK {
        let socket = load::<usize>(file, offset!(file_private)) as Ptr;
        describe(recorder, socket);
        address(recorder, peek_ptr(socket, offset!(socket_sk)), End::Peer);
    } else {
        set_inode(recorder, inode);
    }
}

#[inline(always)]
fn with_address(kind: u16, socket: Ptr, addr: Ptr, len: u32, result: i32) -> i32 {
    if let Some(mut recorder) = Recorder::begin(kind) {
        describe(&mut recorder, socket);
        recorder.kernel::<MAX_SOCKADDR>(tag::SOCKADDR, UNMARKED, addr, len);
        recorder.python();
        recorder.emit(kind, i64::from(result));
    }
    0
}

#[inline(always)]
fn connect(ctx: &FExitContext, result: i32) -> i32 {
    if !watching() {
        return 0;
    }
    let socket: Ptr = ctx.arg(0);
    let _ = SENT.remove(socket as u64);
    with_address(kind::CONNECT, socket, ctx.arg(1), ctx.arg(2), result)
}

/// TCP, both address families, also by a send that connects (`MSG_FASTOPEN`).
#[fexit(function = "__inet_stream_connect")]
pub fn connect_stream(ctx: FExitContext) -> i32 {
    connect(&ctx, ctx.arg(5))
}

/// UDP and raw, both address families.
#[fexit(function = "inet_dgram_connect")]
pub fn connect_dgram(ctx: FExitContext) -> i32 {
    connect(&ctx, ctx.arg(4))
}

/// Unix stream and seqpacket.
#[fexit(function = "unix_stream_connect")]
pub fn connect_unix(ctx: FExitContext) -> i32 {
    connect(&ctx, ctx.arg(4))
}

/// Unix datagram.
#[fexit(function = "unix_dgram_connect")]
pub fn connect_unix_dgram(ctx: FExitContext) -> i32 {
    connect(&ctx, ctx.arg(4))
}

#[inline(always)]
fn bind(ctx: &FExitContext) -> i32 {
    with_address(kind::BIND, ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg(3))
}

/// IPv4.
#[fexit(function = "inet_bind")]
pub fn bind_inet(ctx: FExitContext) -> i32 {
    bind(&ctx)
}

/// IPv6.
#[fexit(function = "inet6_bind")]
pub fn bind_inet6(ctx: FExitContext) -> i32 {
    bind(&ctx)
}

/// Unix.
#[fexit(function = "unix_bind")]
pub fn bind_unix(ctx: FExitContext) -> i32 {
    bind(&ctx)
}

/// MPTCP, both address families.
#[fexit(function = "mptcp_bind")]
pub fn bind_mptcp(ctx: FExitContext) -> i32 {
    bind(&ctx)
}

/// TCP. The local address is what it was bound to.
#[fexit(function = "inet_listen")]
pub fn listen_inet(ctx: FExitContext) -> i32 {
    listen(&ctx)
}

/// Unix; its path stands in the bind before.
#[fexit(function = "unix_listen")]
pub fn listen_unix(ctx: FExitContext) -> i32 {
    listen(&ctx)
}

/// MPTCP.
#[fexit(function = "mptcp_listen")]
pub fn listen_mptcp(ctx: FExitContext) -> i32 {
    listen(&ctx)
}

#[inline(always)]
fn listen(ctx: &FExitContext) -> i32 {
    if let Some(mut recorder) = Recorder::begin(kind::LISTEN) {
        let socket: Ptr = ctx.arg(0);
        describe(&mut recorder, socket);
        address(
            &mut recorder,
            peek_ptr(socket, offset!(socket_sk)),
            End::Local,
        );
        recorder.python();
        recorder.emit(kind::LISTEN, i64::from(ctx.arg::<i32>(2)));
    }
    0
}

/// TCP. The address is the peer's.
#[fexit(function = "inet_accept")]
pub fn accept(ctx: FExitContext) -> i32 {
    accepted(&ctx)
}

/// MPTCP.
#[fexit(function = "mptcp_stream_accept")]
pub fn accept_mptcp(ctx: FExitContext) -> i32 {
    accepted(&ctx)
}

/// Unix; the peer has no address as a rule.
#[fexit(function = "unix_accept")]
pub fn accept_unix(ctx: FExitContext) -> i32 {
    accepted(&ctx)
}

#[inline(always)]
fn accepted(ctx: &FExitContext) -> i32 {
    if let Some(mut recorder) = Recorder::begin(kind::ACCEPT) {
        let socket: Ptr = ctx.arg(1);
        describe(&mut recorder, socket);
        // The new socket has a family only where somebody connected; the listening one has the same.
        let listening = peek_ptr(ctx.arg(0), offset!(socket_sk));
        recorder.record().family = peek(listening, offset!(sock_common) + offset!(skc_family));
        address(
            &mut recorder,
            peek_ptr(socket, offset!(socket_sk)),
            End::Peer,
        );
        recorder.python();
        recorder.emit(kind::ACCEPT, i64::from(ctx.arg::<i32>(3)));
    }
    0
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
        Recorder::hold_or_lose(kind::SEND)
    } else {
        Recorder::begin(kind::SEND)
    };
    let Some(mut recorder) = begun else {
        return 0;
    };
    if connected {
        recorder.set_subject(socket as u64);
    }
    describe(&mut recorder, socket);
    if name.is_null() {
        address(&mut recorder, sk, End::Peer);
    } else {
        let len: u32 = load(message, offset!(msg_namelen));
        recorder.kernel::<MAX_SOCKADDR>(tag::SOCKADDR, UNMARKED, name, len);
    }
    sample(&mut recorder, inner(message, offset!(msg_iter)), ctx.arg(2));
    if !result_is_told {
        recorder.mark(incomplete::RESULT_UNKNOWN);
        recorder.python();
        recorder.emit(kind::SEND, 0);
    }
    0
}

/// The first bytes of a message, from its first buffer.
#[inline(always)]
fn sample(recorder: &mut Recorder, iter: Ptr, size: i32) {
    let skip: u64 = peek(iter, offset!(iter_offset));
    let pointer = peek_ptr(iter, offset!(iter_ubuf));
    let (base, len) = match peek::<u8>(iter, offset!(iter_type)) {
        ITER_UBUF => (pointer as u64, size.max(0) as u64 + skip),
        // struct iovec is user-space ABI: base, length.
        ITER_IOVEC => (peek::<u64>(pointer, 0), peek::<u64>(pointer, 8)),
        ITER_BVEC => return sample_page(recorder, pointer, skip),
        _ => {
            recorder.mark(incomplete::DATA_INCOMPLETE);
            return;
        }
    };
    let len = len.saturating_sub(skip);
    let base = base.wrapping_add(skip) as usize as Ptr;
    recorder.user::<MAX_SAMPLE>(tag::DATA, incomplete::DATA_INCOMPLETE, base, len);
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

#[inline(always)]
fn send(ctx: &FExitContext) -> i32 {
    if let Some(mut recorder) = Recorder::resume(kind::SEND) {
        // One of another socket waits for an end that this kernel does not tell.
        let inode = recorder.record().inode;
        if inode != socket_inode(ctx.arg(0)) {
            return 0;
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
        recorder.python();
        recorder.emit(kind::SEND, i64::from(result));
    }
    0
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
