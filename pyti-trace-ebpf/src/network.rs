//! Sockets: made, connected, bound, listening, accepting. What is sent stands in `send`.
//!
//! The hooks are the protocols' own functions: whatever system call or ring asked, they run, with
//! the address in kernel memory and the result at hand.

use aya_ebpf::macros::fexit;
use aya_ebpf::programs::FExitContext;
use pyti_trace_ebpf::{has, kind, tag};

use crate::file::set_inode;
use crate::kernel::{Ptr, load, offset, peek, peek_ptr};
use crate::path::walk_cwd;
use crate::recorder::Recorder;
use crate::send::forget;
use crate::track::watching;

pub const AF_UNIX: u16 = 1;
pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
pub const AF_PACKET: u16 = 17;
/// A packet socket as it was asked for once (include/linux/net.h).
const SOCK_PACKET: u16 = 10;
pub const S_IFMT: u16 = 0o170_000;
pub const S_IFSOCK: u16 = 0o140_000;
/// Longest `sockaddr` (include/uapi/linux/socket.h).
pub const MAX_SOCKADDR: u32 = 128;
/// An address that could not be read is none.
pub const UNMARKED: u32 = 0;

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
pub fn describe(recorder: &mut Recorder, socket: Ptr) {
    let sk = peek_ptr(socket, offset!(socket_sk));
    let record = recorder.record();
    record.family = peek(sk, offset!(sock_common) + offset!(skc_family));
    record.socktype = peek(socket, offset!(socket_type));
    record.inode = socket_inode(socket);
    record.has |= has::FAMILY | has::SOCKTYPE | has::INODE;
}

#[inline(always)]
pub fn socket_inode(socket: Ptr) -> u64 {
    let file = peek_ptr(socket, offset!(socket_file));
    peek(peek_ptr(file, offset!(file_inode)), offset!(inode_ino))
}

#[derive(Clone, Copy)]
pub enum End {
    Local,
    Peer,
}

/// Appends the address of one end of an internet socket as a `sockaddr`.
#[inline(always)]
pub fn address(recorder: &mut Recorder, sk: Ptr, end: End) {
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

/// Whose addresses a hook has.
#[derive(Clone, Copy, PartialEq)]
enum Protocol {
    Internet,
    Unix,
}

#[inline(always)]
fn with_address(kind: u16, of: Protocol, ctx: &FExitContext, result: i32) -> i32 {
    if let Some(mut recorder) = Recorder::begin(kind) {
        describe(&mut recorder, ctx.arg(0));
        let (addr, len) = (ctx.arg(1), ctx.arg(2));
        recorder.kernel::<MAX_SOCKADDR>(tag::SOCKADDR, UNMARKED, addr, len);
        if of == Protocol::Unix {
            walk_to_relative(&mut recorder, addr, len);
        }
        recorder.python();
        recorder.emit(kind, i64::from(result));
    }
    0
}

/// Of a unix address that begins at the working directory, appends that one.
#[inline(always)]
pub fn walk_to_relative(recorder: &mut Recorder, addr: Ptr, len: u32) {
    let [low, high, first]: [u8; 3] = peek(addr, 0);
    if u16::from_le_bytes([low, high]) == AF_UNIX && len > 2 && first != 0 && first != b'/' {
        walk_cwd(recorder);
    }
}

#[inline(always)]
fn connect(of: Protocol, ctx: &FExitContext, result: i32) -> i32 {
    if !watching() {
        return 0;
    }
    forget(ctx.arg(0));
    with_address(kind::CONNECT, of, ctx, result)
}

/// TCP, both address families, also by a send that connects (`MSG_FASTOPEN`).
#[fexit(function = "__inet_stream_connect")]
pub fn connect_stream(ctx: FExitContext) -> i32 {
    connect(Protocol::Internet, &ctx, ctx.arg(5))
}

/// UDP and raw, both address families.
#[fexit(function = "inet_dgram_connect")]
pub fn connect_dgram(ctx: FExitContext) -> i32 {
    connect(Protocol::Internet, &ctx, ctx.arg(4))
}

/// Unix stream and seqpacket.
#[fexit(function = "unix_stream_connect")]
pub fn connect_unix(ctx: FExitContext) -> i32 {
    connect(Protocol::Unix, &ctx, ctx.arg(4))
}

/// Unix datagram.
#[fexit(function = "unix_dgram_connect")]
pub fn connect_unix_dgram(ctx: FExitContext) -> i32 {
    connect(Protocol::Unix, &ctx, ctx.arg(4))
}

#[inline(always)]
fn bind(of: Protocol, ctx: &FExitContext) -> i32 {
    with_address(kind::BIND, of, ctx, ctx.arg(3))
}

/// IPv4.
#[fexit(function = "inet_bind")]
pub fn bind_inet(ctx: FExitContext) -> i32 {
    bind(Protocol::Internet, &ctx)
}

/// IPv6.
#[fexit(function = "inet6_bind")]
pub fn bind_inet6(ctx: FExitContext) -> i32 {
    bind(Protocol::Internet, &ctx)
}

/// Unix.
#[fexit(function = "unix_bind")]
pub fn bind_unix(ctx: FExitContext) -> i32 {
    bind(Protocol::Unix, &ctx)
}

/// MPTCP, both address families.
#[fexit(function = "mptcp_bind")]
pub fn bind_mptcp(ctx: FExitContext) -> i32 {
    bind(Protocol::Internet, &ctx)
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
