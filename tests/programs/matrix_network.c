/* Sockets: made, connected, bound, listening, accepting, sending. */
#include "matrix.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/net.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

/* Newer than some headers (include/uapi/linux/io_uring.h, include/linux/socket.h). */
enum { RING_BIND = 56, RING_LISTEN };
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static struct sockaddr_in v4(const char *address, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, address, &a.sin_addr);
    return a;
}
static struct sockaddr_in6 v6(const char *address, int port) {
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    inet_pton(AF_INET6, address, &a.sin6_addr);
    return a;
}
/* A path, or an abstract name after an @. */
static socklen_t local(struct sockaddr_un *a, const char *path) {
    memset(a, 0, sizeof *a);
    a->sun_family = AF_UNIX;
    strcpy(a->sun_path + (*path == '@'), path + (*path == '@'));
    return offsetof(struct sockaddr_un, sun_path) + strlen(path) + (*path != '@');
}
#define AT(a) (struct sockaddr *)&a, sizeof a
#define LOW(a) low(&a, sizeof a), sizeof a

/* socketcall, of 32 bits; its arguments lie in memory. */
static long socketcall(int call, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, uint32_t f) {
    uint32_t words[6] = {a, b, c, d, e, f};
    return int80(102, call, low(words, sizeof words));
}

/* struct msghdr of 32 bits, for one buffer. */
static long message32(const void *address, int size, const char *text) {
    uint32_t vec[2] = {lows(text), strlen(text)};
    uint32_t words[7] = {address ? low(address, size) : 0, size, low(vec, sizeof vec), 1};
    return low(words, sizeof words);
}

/* Two struct mmsghdr of 32 bits, alike. */
static long messages32(const void *address, int size, const char *text) {
    uint32_t vec[2] = {lows(text), strlen(text)};
    uint32_t words[2][8] = {{low(address, size), size, low(vec, sizeof vec), 1}};
    memcpy(words[1], words[0], sizeof words[0]);
    return low(words, sizeof words);
}

/* ---- made, connected ------------------------------------------------------------------------ */

#define SOCKET(road, family, type, call) DO("socket", road, made(call), "family=%d\tsocktype=%d", family, type)

static void sockets(void) {
    SOCKET("socket", AF_INET, SOCK_STREAM, got(socket(AF_INET, SOCK_STREAM, 0)));
    SOCKET("flags", AF_INET6, SOCK_DGRAM, got(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)));
    SOCKET("unix", AF_UNIX, SOCK_STREAM, got(socket(AF_UNIX, SOCK_STREAM, 0)));
    SOCKET("raw", AF_INET, SOCK_RAW, got(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)));
    SOCKET("packet", AF_PACKET, SOCK_RAW, got(socket(AF_PACKET, SOCK_RAW, 0)));
    SOCKET("netlink", AF_NETLINK, SOCK_DGRAM, got(socket(AF_NETLINK, SOCK_DGRAM, 0)));
    SOCKET("int80", AF_INET, SOCK_DGRAM, int80(359, AF_INET, SOCK_DGRAM, 0));
    SOCKET("int80-socketcall", AF_INET, SOCK_DGRAM, socketcall(SYS_SOCKET, AF_INET, SOCK_DGRAM, 0, 0, 0, 0));
    SOCKET("io_uring", AF_INET, SOCK_DGRAM, uring(SQE(IORING_OP_SOCKET, .fd = AF_INET, .off = SOCK_DGRAM)));
}

#define CONNECT(road, family, type, protocol, address, port, call)              \
    do {                                                                        \
        int s = socket(family, type, protocol);                                 \
        DO("connect", road, call, "addr=%s:%d\tfamily=%d", address, port, family); \
        close(s);                                                               \
    } while (0)

static void *connect_of_thread(void *unused) {
    struct sockaddr_in a = v4("192.0.2.9", 1013);
    CONNECT("thread", AF_INET, SOCK_STREAM, 0, "192.0.2.9", 1013, got(connect(s, AT(a))));
    SOCKET("thread", AF_UNIX, SOCK_DGRAM, got(socket(AF_UNIX, SOCK_DGRAM, 0)));
    return unused;
}

static void connects(void) {
    struct sockaddr_in a;
    struct sockaddr_in6 b;
#define TO4(road, type, address, port, call) (a = v4(address, port), (void)0); CONNECT(road, AF_INET, type, 0, address, port, call)
#define TO6(road, type, address, port, call) (b = v6(address, port), (void)0); CONNECT(road, AF_INET6, type, 0, address, port, call)
    TO4("tcp4", SOCK_STREAM, "192.0.2.1", 1001, got(connect(s, AT(a))));
    TO4("tcp4-loopback", SOCK_STREAM, "127.0.0.1", 1002, got(connect(s, AT(a))));
    TO6("tcp6", SOCK_STREAM, "2001:db8::1", 1003, got(connect(s, AT(b))));
    /* On record as what it is. */
    b = v6("::ffff:192.0.2.2", 1004);
    CONNECT("mapped-ipv4", AF_INET6, SOCK_STREAM, 0, "192.0.2.2", 1004, got(connect(s, AT(b))));
    TO4("udp4", SOCK_DGRAM, "192.0.2.3", 1005, got(connect(s, AT(a))));
    TO6("udp6", SOCK_DGRAM, "2001:db8::2", 1006, got(connect(s, AT(b))));
    TO4("nonblocking", SOCK_STREAM | SOCK_NONBLOCK, "127.0.0.1", 1007, got(connect(s, AT(a))));
    TO4("int80", SOCK_STREAM, "192.0.2.4", 1008, int80(362, s, LOW(a)));
    TO4("int80-socketcall", SOCK_STREAM, "192.0.2.5", 1009, socketcall(SYS_CONNECT, s, LOW(a), 0, 0, 0));
    TO4("io_uring", SOCK_STREAM, "192.0.2.6", 1010, uring(SQE(IORING_OP_CONNECT, .fd = s, .addr = PTR(&a), .off = sizeof a)));
    TO4("fastopen", SOCK_STREAM, "192.0.2.7", 1011, got(sendto(s, "early", 5, MSG_FASTOPEN, AT(a))));
    a = v4("192.0.2.8", 1012);
    CONNECT("mptcp", AF_INET, SOCK_STREAM, IPPROTO_MPTCP, "192.0.2.8", 1012, got(connect(s, AT(a))));
    in_thread(connect_of_thread);
    struct sockaddr_un u;
    socklen_t len;
#define LOCAL(road, type, path, words)                                                \
    do {                                                                              \
        int s = socket(AF_UNIX, type, 0);                                             \
        len = local(&u, words);                                                       \
        DO("connect", road, got(connect(s, (struct sockaddr *)&u, len)), "path=%s\tfamily=1", path); \
        close(s);                                                                     \
    } while (0)
    LOCAL("unix", SOCK_STREAM, DIR "no-socket", DIR "no-socket");
    LOCAL("unix-dgram", SOCK_DGRAM, DIR "no-dgram", DIR "no-dgram");
    LOCAL("unix-abstract", SOCK_STREAM, "@matrix-nobody", "@matrix-nobody");
    LOCAL("unix-relative", SOCK_STREAM, DIR "no-socket", "no-socket");
}

/* ---- served --------------------------------------------------------------------------------- */

/* The address that a socket has itself: its peer's peer. */
static const char *end_of(int fd) {
    static char text[80];
    struct sockaddr_in6 b = {0};
    socklen_t size = sizeof b;
    getsockname(fd, (struct sockaddr *)&b, &size);
    struct sockaddr_in *a = (struct sockaddr_in *)&b;
    char address[64] = "";
    if (b.sin6_family == AF_INET)
        inet_ntop(AF_INET, &a->sin_addr, address, sizeof address);
    else if (IN6_IS_ADDR_V4MAPPED(&b.sin6_addr))
        inet_ntop(AF_INET, b.sin6_addr.s6_addr + 12, address, sizeof address);
    else
        inet_ntop(AF_INET6, &b.sin6_addr, address, sizeof address);
    snprintf(text, sizeof text, "%s:%d", address, ntohs(b.sin6_port));
    return text;
}

static const char sent[] = "sent";
#define SENT "bytes=4\tdata=73656e74"
#define SERVER(road, family, protocol, address, port, a)                                                 \
    do {                                                                                                 \
        int s = socket(family, SOCK_STREAM, protocol);                                                   \
        DO("bind", road, got(bind(s, AT(a))), "addr=%s:%d", address, port);                              \
        DO("listen", road, got(listen(s, 5)), "addr=%s:%d", address, port);                              \
        int c = socket(family, SOCK_STREAM, protocol);                                                   \
        DO("connect", road "-made", got(connect(c, AT(a))), "addr=%s:%d", address, port);                \
        int taken;                                                                                       \
        DO("accept", road, made(taken = got(accept4(s, NULL, NULL, SOCK_CLOEXEC))), "addr=%s", end_of(c)); \
        DO("send", road, got(send(c, sent, 4, 0)), "addr=%s:%d\t" SENT, address, port);                  \
        DO("send", road "-back", got(send(taken, sent, 4, 0)), "addr=%s\t" SENT, end_of(c));             \
        close(taken);                                                                                    \
        close(c);                                                                                        \
        close(s);                                                                                        \
    } while (0)

static void servers(void) {
    struct sockaddr_in a = v4("127.0.0.1", 2001);
    struct sockaddr_in6 b = v6("::1", 2002);
    SERVER("tcp4", AF_INET, 0, "127.0.0.1", 2001, a);
    SERVER("tcp6", AF_INET6, 0, "::1", 2002, b);
    b = v6("::ffff:127.0.0.1", 2010);
    SERVER("mapped-ipv4", AF_INET6, 0, "127.0.0.1", 2010, b);
    a = v4("127.0.0.1", 2007);
    SERVER("mptcp", AF_INET, IPPROTO_MPTCP, "127.0.0.1", 2007, a);
    b = v6("::1", 2008);
    SERVER("mptcp6", AF_INET6, IPPROTO_MPTCP, "::1", 2008, b);
    DO("bind-denied", "tcp4", ({ a = v4("127.0.0.1", 80); got(bind(socket(AF_INET, SOCK_STREAM, 0), AT(a))); }), "addr=127.0.0.1:80");
    DO("bind", "udp4", ({ a = v4("127.0.0.1", 2011); got(bind(socket(AF_INET, SOCK_DGRAM, 0), AT(a))); }), "addr=127.0.0.1:2011");
    int ringed = socket(AF_INET, SOCK_STREAM, 0);
    a = v4("127.0.0.1", 2009);
    DO("bind", "io_uring", uring(SQE(RING_BIND, .fd = ringed, .addr = PTR(&a), .addr2 = sizeof a)), "addr=127.0.0.1:2009");
    DO("listen", "io_uring", uring(SQE(RING_LISTEN, .fd = ringed, .len = 5)), "addr=127.0.0.1:2009");
    int called = socket(AF_INET, SOCK_STREAM, 0);
    a = v4("127.0.0.1", 2012);
    DO("bind", "int80-socketcall", socketcall(SYS_BIND, called, LOW(a), 0, 0, 0), "addr=127.0.0.1:2012");
    DO("listen", "int80-socketcall", socketcall(SYS_LISTEN, called, 5, 0, 0, 0, 0), "addr=127.0.0.1:2012");
}

/* Connects to an address that is listened at. */
static int client_of(struct sockaddr_in a) {
    int client = socket(AF_INET, SOCK_STREAM, 0);
    (void)!connect(client, AT(a));
    return client;
}

/* Where it is sent to stands in `a`. */
#define SEND(road, call)                                               \
    do {                                                               \
        int c = client_of(a);                                          \
        DO("send", road, call, "addr=127.0.0.1:2003\t" SENT);          \
        close(c);                                                      \
    } while (0)

static void wake(int number) { (void)number; }

/* Nobody connects, and a signal comes: more than one, lest the first be too early. */
static long wait_in_vain(int listening) {
    struct sigaction action = {.sa_handler = wake};
    struct itimerval often = {{0, 20000}, {0, 20000}}, never = {0};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    long done = got(accept4(listening, NULL, NULL, 0));
    setitimer(ITIMER_REAL, &never, NULL);
    return done;
}

static struct sockaddr_in a;
static void *send_of_thread(void *unused) {
    SEND("thread", got(send(c, sent, 4, 0)));
    return unused;
}

static void streams(void) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    a = v4("127.0.0.1", 2003);
    DO("bind", "int80", int80(361, s, LOW(a)), "addr=127.0.0.1:2003");
    DO("listen", "int80", int80(363, s, 50), "addr=127.0.0.1:2003");
#define ACCEPT(road, call)                                            \
    do {                                                              \
        int c = client_of(a);                                         \
        DO("accept", road, made(call), "addr=%s", end_of(c));         \
        close(c);                                                     \
    } while (0)
    ACCEPT("io_uring", uring(SQE(IORING_OP_ACCEPT, .fd = s)));
    ACCEPT("int80", int80(364, s, 0, 0, 0));
    ACCEPT("int80-socketcall", socketcall(SYS_ACCEPT, s, 0, 0, 0, 0, 0));
    DO("accept-interrupted", "tcp4", made(wait_in_vain(s)), "family=%d", AF_INET);
    fcntl(s, F_SETFL, O_NONBLOCK);
    DO("accept-nobody", "tcp4", made(got(accept4(s, NULL, NULL, 0))), "family=%d", AF_INET);

    struct iovec vec = {(void *)sent, 4}, pieces[] = {{NULL, 0}, {(void *)sent, 1}, {(void *)sent + 1, 3}};
    struct msghdr message = {.msg_iov = &vec, .msg_iovlen = 1};
    struct mmsghdr many = {.msg_hdr = message};
    uint32_t vec32[2] = {lows(sent), 4};
    SEND("send", got(send(c, sent, 4, 0)));
    SEND("write", got(write(c, sent, 4)));
    SEND("writev", got(writev(c, &vec, 1)));
    SEND("writev-pieces", got(writev(c, pieces, 3)));
    SEND("sendmsg", got(sendmsg(c, &message, 0)));
    SEND("sendmmsg", got(sendmmsg(c, &many, 1, 0)) == 1 ? 4 : -errno);
    SEND("int80-write", int80(4, c, lows(sent), 4));
    SEND("int80-writev", int80(146, c, low(vec32, sizeof vec32), 1));
    SEND("int80-sendto", int80(369, c, lows(sent), 4, 0, 0, 0));
    SEND("int80-sendmsg", int80(370, c, message32(NULL, 0, sent), 0));
    SEND("int80-socketcall", socketcall(SYS_SEND, c, lows(sent), 4, 0, 0, 0));
    SEND("io_uring", uring(SQE(IORING_OP_SEND, .fd = c, .addr = PTR(sent), .len = 4)));
    SEND("io_uring-sendmsg", uring(SQE(IORING_OP_SENDMSG, .fd = c, .addr = PTR(&message), .len = 1)));
    SEND("io_uring-send_zc", uring(SQE(IORING_OP_SEND_ZC, .fd = c, .addr = PTR(sent), .len = 4)));
    SEND("io_uring-write", uring(SQE(IORING_OP_WRITE, .fd = c, .addr = PTR(sent), .len = 4)));
    in_thread(send_of_thread);
    /* Of which nothing is on record but that it was empty: it is not the first send. */
    int empty = client_of(a);
    (void)!send(empty, "", 0, 0);
    DO("send", "after-empty", got(send(empty, sent, 4, 0)), "addr=127.0.0.1:2003\t" SENT);
    int from = open(DIR "source-sent", O_CREAT | O_RDWR, 0644), pipes[2];
    (void)!write(from, sent, 4);
    (void)!pipe(pipes);
    SEND("sendfile", (lseek(from, 0, SEEK_SET), got(sendfile(c, from, NULL, 4))));
    SEND("int80-sendfile", (lseek(from, 0, SEEK_SET), int80(187, c, from, 0, 4)));
    SEND("splice", ((void)!write(pipes[1], sent, 4), got(splice(pipes[0], NULL, c, NULL, 4, 0))));
    int early = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    DO("send", "fastopen", got(sendto(early, sent, 4, MSG_FASTOPEN, AT(a))), "addr=127.0.0.1:2003\t" SENT);
    int late = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(late, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof one);
    (void)!connect(late, AT(a));
    DO("send", "fastopen-connect", got(send(late, sent, 4, 0)), "addr=127.0.0.1:2003\t" SENT);
}

/* ---- datagrams ------------------------------------------------------------------------------ */

static void datagrams(void) {
    int udp = socket(AF_INET, SOCK_DGRAM, 0), udp6 = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 b = v6("::1", 2006);
    struct iovec vec = {(void *)sent, 4};
    struct msghdr message = {.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &vec, .msg_iovlen = 1};
    struct mmsghdr many = {.msg_hdr = message}, two[] = {many, many};
#define DATAGRAM(road, port, call) a = v4("127.0.0.1", port); DO("send", road, call, "addr=127.0.0.1:%d\t" SENT, port)
    DATAGRAM("udp-sendto", 2004, got(sendto(udp, sent, 4, 0, AT(a))));
    DATAGRAM("udp-sendmsg", 2013, got(sendmsg(udp, &message, 0)));
    DATAGRAM("udp-sendmmsg", 2005, got(sendmmsg(udp, &many, 1, 0)) == 1 ? 4 : -errno);
    /* Of the second message to one address the kernel does not ask whether it may be sent. */
#define SENT_TWO(address, port) "events=2\taddr=" address ":" port "\t" SENT
    a = v4("127.0.0.1", 2024);
    DO("send", "udp-sendmmsg-two", got(sendmmsg(udp, two, 2, 0)) == 2 ? 4 : -errno, SENT_TWO("127.0.0.1", "2024"));
    DO("send", "udp-int80-sendmmsg-two", int80(345, udp, messages32(&a, sizeof a, sent), 2, 0) == 2 ? 4 : -EIO, SENT_TWO("127.0.0.1", "2024"));
    struct iovec halves[] = {{(void *)sent, 1}, {(void *)sent + 1, 3}};
    two[1].msg_hdr.msg_iov = halves;
    two[1].msg_hdr.msg_iovlen = 2;
    DO("send", "udp-sendmmsg-two-pieces", got(sendmmsg(udp, two, 2, 0)) == 2 ? 4 : -errno, SENT_TWO("127.0.0.1", "2024"));
    two[0].msg_hdr.msg_name = two[1].msg_hdr.msg_name = &b;
    two[0].msg_hdr.msg_namelen = two[1].msg_hdr.msg_namelen = sizeof b;
    two[1].msg_hdr.msg_iov = &vec;
    two[1].msg_hdr.msg_iovlen = 1;
    DO("send", "udp6-sendmmsg-two", got(sendmmsg(udp6, two, 2, 0)) == 2 ? 4 : -errno, SENT_TWO("::1", "2006"));
    DATAGRAM("udp-int80", 2014, int80(369, udp, lows(sent), 4, 0, LOW(a)));
    DATAGRAM("udp-socketcall", 2015, socketcall(SYS_SENDTO, udp, lows(sent), 4, 0, LOW(a)));
    DATAGRAM("udp-sendmsg32", 2016, int80(370, udp, message32(&a, sizeof a, sent), 0));
    DATAGRAM("io_uring-udp", 2017, uring(SQE(IORING_OP_SEND, .fd = udp, .addr = PTR(sent), .len = 4, .addr2 = PTR(&a), .addr_len = sizeof a)));
    DATAGRAM("io_uring-udpmsg", 2018, uring(SQE(IORING_OP_SENDMSG, .fd = udp, .addr = PTR(&message), .len = 1)));
    DATAGRAM("udp-connected", 2019, ((void)!connect(udp, AT(a)), got(send(udp, sent, 4, 0))));
    DO("send", "udp6-sendto", got(sendto(udp6, sent, 4, 0, AT(b))), "addr=::1:2006\t" SENT);
    b = v6("::ffff:127.0.0.1", 2020);
    DO("send", "mapped-sendto", got(sendto(udp6, sent, 4, 0, AT(b))), "addr=127.0.0.1:2020\t" SENT);
    /* Longer than what is kept of it. */
    char text[400];
    memset(text, 'x', sizeof text);
    int other = socket(AF_INET, SOCK_DGRAM, 0);
    a = v4("127.0.0.1", 2021);
    DO("send", "udp-long", got(sendto(other, text, sizeof text, 0, AT(a))), "addr=127.0.0.1:2021\tbytes=400\tdata=%s", hex(text, 320));
    /* Of a file that nobody has read: only the kernel, as it copies them, brings the bytes into memory. */
    int file = open(DIR "unread", O_CREAT | O_RDWR, 0644);
    (void)!write(file, sent, 4);
    a = v4("127.0.0.1", 2023);
    DO("send", "udp-unread", got(sendto(other, mmap(NULL, 4, PROT_READ, MAP_PRIVATE, file, 0), 4, 0, AT(a))), "addr=127.0.0.1:2023\t" SENT);
    char *unread = mmap(NULL, 4, PROT_READ, MAP_PRIVATE, file, 0);
    struct iovec parts[] = {{unread, 1}, {mmap(NULL, 4, PROT_READ, MAP_PRIVATE, file, 0) + 1, 3}};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    DO("send", "udp-unread-pieces", got(sendmsg(other, &message, 0)), "addr=127.0.0.1:2023\t" SENT);
    close(file);
    /* To everybody, for which there is no way or no permission. */
    a = v4("255.255.255.255", 2022);
    DO("send-refused", "udp-sendto", got(sendto(other, sent, 4, 0, AT(a))), "addr=255.255.255.255:2022\tdata=73656e74");
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    struct nlmsghdr nothing = {.nlmsg_len = sizeof nothing, .nlmsg_type = NLMSG_NOOP};
    int netlink = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    DO("send", "netlink", got(sendto(netlink, &nothing, sizeof nothing, 0, AT(kernel))), "bytes=16");
}

/* ---- local ---------------------------------------------------------------------------------- */

/* What of an address is relative is resolved as any path. */
#define LOCAL_SERVER(road, type, path, words)                                                                  \
    do {                                                                                                       \
        struct sockaddr_un u;                                                                                  \
        socklen_t len = local(&u, words);                                                                      \
        int s = socket(AF_UNIX, type, 0), c = socket(AF_UNIX, type, 0), taken;                                 \
        DO("bind", road, got(bind(s, (struct sockaddr *)&u, len)), "path=%s", path);                           \
        DO("listen", road, got(listen(s, 5)), "path=%s\tfamily=1", path);                                      \
        DO("connect", road "-made", got(connect(c, (struct sockaddr *)&u, len)), "path=%s", path);             \
        DO("accept", road, made(taken = got(accept4(s, NULL, NULL, SOCK_CLOEXEC))), "family=1\tsocktype=%d", type); \
        DO("send", road, got(send(c, sent, 4, 0)), "family=1\tpath=%s\t" SENT, path);                          \
        DO("send", road "-back", got(send(taken, sent, 4, 0)), "family=1\t" SENT);                             \
        close(taken);                                                                                          \
        close(c);                                                                                              \
        close(s);                                                                                              \
    } while (0)

static void locals(void) {
    LOCAL_SERVER("unix", SOCK_STREAM, DIR "stream.sock", DIR "stream.sock");
    LOCAL_SERVER("unix-abstract", SOCK_STREAM, "@matrix-bound", "@matrix-bound");
    LOCAL_SERVER("unix-seqpacket", SOCK_SEQPACKET, DIR "packet.sock", DIR "packet.sock");
    LOCAL_SERVER("unix-relative", SOCK_STREAM, DIR "relative.sock", "relative.sock");
    const char *paths[] = {DIR "dgram.sock", "@matrix-dgram", NULL};
    const char *roads[] = {"unix-dgram", "unix-dgram-abstract"};
    int from = socket(AF_UNIX, SOCK_DGRAM, 0), pair[2];
    for (int i = 0; paths[i]; i++) {
        struct sockaddr_un u;
        socklen_t len = local(&u, paths[i]);
        int s = socket(AF_UNIX, SOCK_DGRAM, 0);
        DO("bind", roads[i], got(bind(s, (struct sockaddr *)&u, len)), "path=%s", paths[i]);
        DO("send", roads[i], got(sendto(from, sent, 4, 0, (struct sockaddr *)&u, len)), "family=1\tpath=%s\t" SENT, paths[i]);
    }
    struct sockaddr_un u;
    struct iovec vec = {(void *)sent, 4};
    struct msghdr message = {.msg_name = &u, .msg_namelen = local(&u, paths[0]), .msg_iov = &vec, .msg_iovlen = 1};
    struct mmsghdr two[] = {{.msg_hdr = message}, {.msg_hdr = message}};
    DO("send", "unix-dgram-sendmmsg-two", got(sendmmsg(from, two, 2, 0)) == 2 ? 4 : -errno, "events=2\tfamily=1\tpath=%s\t" SENT, paths[0]);
    DO("send-refused", "unix-seqpacket", got(send(socket(AF_UNIX, SOCK_SEQPACKET, 0), sent, 4, 0)), "family=1\tdata=73656e74");
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    DO("send", "unix-pair", got(write(pair[0], sent, 4)), "family=1\t" SENT);
    DO("send", "unix-int80", int80(369, pair[1], lows(sent), 4, 0, 0, 0), "family=1\t" SENT);
    DO("send", "io_uring-unix", ({ socketpair(AF_UNIX, SOCK_STREAM, 0, pair); uring(SQE(IORING_OP_SEND, .fd = pair[0], .addr = PTR(sent), .len = 4)); }), "family=1\t" SENT);
}

int main(void) {
    int stopped = prepare();
    if (stopped)
        return stopped;
    signal(SIGPIPE, SIG_IGN);
    sockets();
    connects();
    servers();
    streams();
    datagrams();
    locals();
    return 0;
}
