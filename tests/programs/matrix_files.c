/* Files: opened, written, named, changed. */
#include "matrix.h"

#include <linux/aio_abi.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/sendfile.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
/* Newer than some headers (include/uapi/linux/io_uring.h). */
enum { RING_FTRUNCATE = 55 };

/* Links to DIR: a path through it is not the one it is resolved to. */
#define LINKED DIR "here/"
#define DOTTED "/tmp/../tmp/matrix/"

/* The same file by other words. */
static const char *under(const char *directory, const char *path) {
    static char text[128];
    snprintf(text, sizeof text, "%s%s", directory, relative(path));
    return text;
}

/* ---- opened --------------------------------------------------------------------------------- */

static void opened(const char *action, const char *road, long fd, const char *path, const char *asked, int flags) {
    const char *create = flags & O_CREAT ? "\tcreated=1\tmode=420" : "";
    if (fd < 0)
        say(action, road, fd, ASKED "\tflags=%d", asked, flags);
    else
        say(action, road, 0, PATHS "\tflags=%d%s", path, asked, flags, create);
    if (fd >= 0)
        close(fd);
}

static void opens(const char *action, int flags) {
    struct open_how how = {.flags = flags, .mode = flags & O_CREAT ? 0644 : 0};
    const char *path, *asked;
    int dir = open(DIR, O_PATH);
#define OPEN_AS(road, other, call)                      \
    do {                                                \
        path = name(action, road);                      \
        asked = other;                                  \
        start(road);                                    \
        opened(action, road, call, path, asked, flags); \
    } while (0)
#define OPEN(road, call) OPEN_AS(road, path, call)
    OPEN("libc", got(open(path, flags, 0644)));
    OPEN("open", got(syscall(SYS_open, path, flags, 0644)));
    OPEN("openat2", got(syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how)));
    OPEN("int80", int80(5, lows(path), flags, 0644));
    OPEN("int80-openat", int80(295, AT_FDCWD, lows(path), flags, 0644));
    OPEN("int80-openat2", int80(437, AT_FDCWD, lows(path), low(&how, sizeof how), sizeof how));
    OPEN("io_uring", uring(SQE(IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = PTR(path), .len = 0644, .open_flags = flags)));
    OPEN("io_uring-openat2", uring(SQE(IORING_OP_OPENAT2, .fd = AT_FDCWD, .addr = PTR(path), .len = sizeof how, .off = PTR(&how))));
    OPEN_AS("relative", relative(path), got(open(asked, flags, 0644)));
    OPEN_AS("dirfd", relative(path), got(openat(dir, asked, flags, 0644)));
    OPEN_AS("dotted", under(DOTTED, path), got(open(asked, flags, 0644)));
    OPEN_AS("linked", under(LINKED, path), got(open(asked, flags, 0644)));
    close(dir);
}

static void *opens_of_thread(void *action) {
    (void)action;
    const char *path = name("open", "thread");
    start("thread");
    opened("open", "thread", got(open(path, O_CREAT | O_WRONLY, 0644)), path, path, O_CREAT | O_WRONLY);
    DO("open-absent", "thread", got(open(DIR "absent", O_RDONLY)), ASKED "\tflags=0", DIR "absent");
    return NULL;
}

static void opens_otherwise(void) {
    const char *path = name("open", "creat");
    start("creat");
    opened("open", "creat", got(creat(path, 0644)), path, path, O_CREAT | O_WRONLY | O_TRUNC);
    start("int80-creat");
    path = name("open", "int80-creat");
    opened("open", "int80-creat", int80(8, lows(path), 0644), path, path, O_CREAT | O_WRONLY | O_TRUNC);
    start("again");
    long again = got(open(path, O_RDWR));
    say("open", "again", made(again), PATHS "\tflags=2\tcreated=0", path, path);
    close(again);
    (void)!symlink(relative(path), DIR "open.link");
    start("symlink");
    again = got(open(DIR "open.link", O_RDONLY));
    say("open", "symlink", made(again), PATHS "\tflags=0\tcreated=0", path, DIR "open.link");
    close(again);
    DO("open", "O_PATH", made(got(open(path, O_PATH))), PATHS "\tflags=%d", path, path, O_PATH);
    struct { struct file_handle head; char bytes[MAX_HANDLE_SZ]; } handle = {.head.handle_bytes = MAX_HANDLE_SZ};
    int mount_id;
    path = touch(name("open", "open_by_handle_at"));
    name_to_handle_at(AT_FDCWD, path, &handle.head, &mount_id, 0);
    DO("open-denied", "open_by_handle_at", made(got(open_by_handle_at(AT_FDCWD, &handle.head, O_RDONLY))), "path=%s", path);
    DO("open-denied", "libc", made(got(open("/etc/shadow", O_RDONLY))), ASKED, "/etc/shadow");
    DO("open-denied", "int80", made(int80(5, lows("/etc/shadow"), O_RDONLY)), ASKED, "/etc/shadow");
    DO("open-denied", "io_uring", made(uring(SQE(IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = PTR("/etc/shadow")))), ASKED, "/etc/shadow");
    DO("open", "mq_open", made(got(syscall(SYS_mq_open, "matrix", O_CREAT | O_RDWR, 0600, NULL))), "path=/matrix\tflags=%d", O_CREAT | O_RDWR);
    DO("open", "int80-mq_open", made(int80(277, lows("matrix32"), O_CREAT | O_RDWR, 0600, 0)), "path=/matrix32\tflags=%d", O_CREAT | O_RDWR);
}

/* ---- written -------------------------------------------------------------------------------- */

/* io_submit with one request, without its library. */
static long aio(int fd, int operation, const void *buffer, size_t size) {
    aio_context_t context = 0;
    struct iocb request = {.aio_fildes = fd, .aio_lio_opcode = operation, .aio_buf = PTR(buffer), .aio_nbytes = size};
    struct iocb *requests[] = {&request};
    struct io_event done = {0};
    if (syscall(SYS_io_setup, 1, &context) || syscall(SYS_io_submit, context, 1, requests) != 1)
        return -errno;
    syscall(SYS_io_getevents, context, 1, 1, &done, NULL);
    syscall(SYS_io_destroy, context);
    return done.res;
}

/* The same by calls of 32 bits. */
static long aio_32(int fd, int operation, long buffer, size_t size) {
    uint32_t none = 0, *context = (uint32_t *)low(&none, sizeof none);
    struct iocb request = {.aio_fildes = fd, .aio_lio_opcode = operation, .aio_buf = buffer, .aio_nbytes = size};
    uint32_t requests[] = {low(&request, sizeof request)};
    struct io_event nothing = {0}, *done = (struct io_event *)low(&nothing, sizeof nothing);
    if (int80(245, 1, (long)context) || int80(248, *context, 1, low(requests, sizeof requests)) != 1)
        return -EIO;
    int80(247, *context, 1, 1, (long)done, 0);
    int80(246, *context);
    return done->res;
}

static void *writes_of_thread(void *unused) {
    WRITE("thread", got(write(fd, text, 9)));
    return unused;
}

static void writes(void) {
    struct iovec vec = {(void *)text, 9};
    struct iovec pieces[] = {{NULL, 0}, {(void *)text, 1}, {(void *)text + 1, 8}};
    uint32_t vec32[2] = {low(text, 9), 9};
    uint32_t pieces32[] = {0, 0, low(text, 1), 1, low(text + 1, 8), 8};
    WRITE("write", got(write(fd, text, 9)));
    WRITE("pwrite64", got(pwrite(fd, text, 9, 0)));
    WRITE("writev", got(writev(fd, &vec, 1)));
    WRITE("writev-pieces", got(writev(fd, pieces, 3)));
    WRITE("write-pieces", ({ long done = got(write(fd, text, 1)); done + got(write(fd, text + 1, 8)); }));
    WRITE("pwritev2", got(pwritev2(fd, &vec, 1, 0, 0)));
    WRITE("int80", int80(4, fd, low(text, 9), 9));
    WRITE("int80-pwrite64", int80(181, fd, low(text, 9), 9, 0, 0));
    WRITE("int80-writev", int80(146, fd, low(vec32, 8), 1));
    WRITE("int80-pwritev", int80(334, fd, low(vec32, 8), 1, 0, 0));
    WRITE("int80-pwritev2", int80(379, fd, low(vec32, 8), 1, 0, 0, 0));
    WRITE("io_uring", uring(SQE(IORING_OP_WRITE, .fd = fd, .addr = PTR(text), .len = 9)));
    WRITE("io_uring-writev", uring(SQE(IORING_OP_WRITEV, .fd = fd, .addr = PTR(&vec), .len = 1)));
    /* From pages that are registered, under whose address other bytes lie by now. */
    WRITE("io_uring-fixed", ({
        char *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct iovec fixed = {memcpy(place, text, 9), 9};
        syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS, &fixed, 1);
        mmap(place, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        uring(SQE(IORING_OP_WRITE_FIXED, .fd = fd, .addr = PTR(place), .len = 9)); }));
    /* By credentials that the ring was lent, to a file on a mount of the kernel's own: no sign of the kernel's
     * own doing. */
    int lent = syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_PERSONALITY, NULL, 0);
    prctl(PR_SET_KEEPCAPS, 1);
    int anonymous = memfd_create("lent", 0);
    start("io_uring-lent");
    long done = uring(SQE(IORING_OP_WRITE, .fd = anonymous, .addr = PTR(text), .len = 9, .personality = lent));
    close(anonymous);
    say("write", "io_uring-lent", done, "bytes=%ld\tdata=%s", done, hex(text, 9));
    /* Around the page cache, which takes whole pages. */
    char *page = aligned_alloc(4096, 4096);
    memcpy(memset(page, 0, 4096), text, 9);
    WRITE_AT(name("write", "io_uring-direct"), "io_uring-direct", page, 64, ({
        fcntl(fd, F_SETFL, O_DIRECT);
        uring(SQE(IORING_OP_WRITE, .fd = fd, .addr = PTR(page), .len = 4096)); }));
    free(page);
    WRITE("aio", aio(fd, IOCB_CMD_PWRITE, text, 9));
    WRITE("aio-pieces", aio(fd, IOCB_CMD_PWRITEV, pieces, 3));
    WRITE("int80-aio", aio_32(fd, IOCB_CMD_PWRITE, low(text, 9), 9));
    WRITE("int80-aio-pieces", aio_32(fd, IOCB_CMD_PWRITEV, low(pieces32, sizeof pieces32), 3));
    WRITE("head-last", ({ long done = got(pwrite(fd, "the body", 9, 9)); done + got(pwrite(fd, text, 9, 0)); }));
    WRITE("head-again", ({ long done = got(write(fd, "something", 9)); done + got(pwritev(fd, pieces, 3, 0)); }));
    WRITE("head-aio", ({ long done = got(write(fd, "something", 9)); done + aio(fd, IOCB_CMD_PWRITE, text, 9); }));
    WRITE("dup-then-write", ({ int other = dup(fd); long done = got(write(other, text, 9)); close(other); done; }));
    WRITE_AT(DIR "write.relative", "relative", text, 9, (close(fd), fd = open("write.relative", O_CREAT | O_WRONLY, 0644), got(write(fd, text, 9))));
    in_thread(writes_of_thread);
    /* A program: longer than the sample. */
    char body[4096];
    int program = open("/bin/true", O_RDONLY);
    size_t size = read(program, body, sizeof body);
    close(program);
    WRITE_AT(name("write", "executable"), "executable", body, 64, got(write(fd, body, size)));
    WRITE_AT(name("write", "io_uring-executable"), "io_uring-executable", body, 64, uring(SQE(IORING_OP_WRITE, .fd = fd, .addr = PTR(body), .len = size)));
}

/* What is copied inside the kernel. */
static void copies(void) {
    struct iovec vec = {(void *)text, 9};
    int pipes[2], packets[2];
    int from = open(touch(DIR "source"), O_RDWR);
    (void)!write(from, text, 9);
    (void)!pipe(pipes);
    (void)!pipe2(packets, O_DIRECT);
#define AGAIN lseek(from, 0, SEEK_SET)
    WRITE("sendfile", (AGAIN, got(sendfile(fd, from, NULL, 9))));
    WRITE("sendfile-again", (AGAIN, got(sendfile(fd, from, NULL, 4)) + got(sendfile(fd, from, NULL, 5))));
    WRITE("int80-sendfile", (AGAIN, int80(187, fd, from, 0, 9)));
    WRITE("int80-sendfile64", (AGAIN, int80(239, fd, from, 0, 9)));
    WRITE("copy_file_range", (AGAIN, got(copy_file_range(from, NULL, fd, NULL, 9, 0))));
    WRITE("int80-copy_file_range", (AGAIN, int80(377, from, 0, fd, 0, 9, 0)));
    /* Within an overlay file system, which writes to another file, and to it. */
    int there = open("/home/dev/source", O_CREAT | O_RDWR, 0644);
    (void)!write(there, text, 9);
    WRITE_AT("/home/dev/copied", "copy-overlay", text, 9, (lseek(there, 0, SEEK_SET), got(copy_file_range(there, NULL, fd, NULL, 9, 0))));
    WRITE_AT("/home/dev/sent", "sendfile-overlay", text, 9, (AGAIN, got(sendfile(fd, from, NULL, 9))));
    /* Then another file, of the layer below, is copied up: the kernel does that by the same road. */
    WRITE_AT("/home/dev/kept", "sendfile-then-copy-up", text, 9, ({
        AGAIN;
        long sent = got(sendfile(fd, from, NULL, 9));
        close(open("/home/dev/.profile", O_WRONLY));
        sent; }));
    WRITE("splice", ((void)!write(pipes[1], text, 9), got(splice(pipes[0], NULL, fd, NULL, 9, 0))));
    WRITE("int80-splice", ((void)!write(pipes[1], text, 9), int80(313, pipes[0], 0, fd, 0, 9, 0)));
    WRITE("vmsplice", ((void)!vmsplice(pipes[1], &vec, 1, 0), got(splice(pipes[0], NULL, fd, NULL, 9, 0))));
    WRITE("splice-pieces", ((void)!write(packets[1], text, 1), (void)!write(packets[1], text + 1, 8), got(splice(packets[0], NULL, fd, NULL, 9, 0))));
    WRITE("io_uring-splice", ((void)!write(pipes[1], text, 9), uring(SQE(IORING_OP_SPLICE, .fd = fd, .off = -1, .len = 9, .splice_fd_in = pipes[0], .splice_off_in = -1))));
}

/* Where nothing is let in, or only the length changes, or the kernel hears nothing of it. */
static void writes_otherwise(void) {
    struct rlimit old, none;
    getrlimit(RLIMIT_FSIZE, &old);
    none = (struct rlimit){0, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    /* A head that is offered and refused is not in the file. */
    WRITE("splice-refused", ({
        long done = got(write(fd, text, 9));
        int offered[2];
        loff_t start = 0;
        (void)!pipe(offered);
        (void)!write(offered[1], "harmless!", 9);
        setrlimit(RLIMIT_FSIZE, &none);
        if (splice(offered[0], NULL, fd, &start, 9, 0) >= 0)
            done = -EEXIST;
        setrlimit(RLIMIT_FSIZE, &old);
        close(offered[0]);
        close(offered[1]);
        done; }));
    const char *path = touch(name("write-refused", "write"));
    int fd = open(path, O_WRONLY);
    start("write");
    setrlimit(RLIMIT_FSIZE, &none);
    long refused = got(write(fd, text, 9));
    setrlimit(RLIMIT_FSIZE, &old);
    close(fd);
    say("write-refused", "write", refused, "path=%s", path);
    path = name("write", "fallocate");
    fd = open(path, O_CREAT | O_RDWR, 0644);
    start("fallocate");
    long done = got(fallocate(fd, 0, 0, 9));
    close(fd);
    say("write", "fallocate", done, "path=%s", path);
#define MAPPED(road, before, call)                                                        \
    do {                                                                                  \
        path = name("write", road);                                                       \
        fd = open(path, O_CREAT | O_RDWR, 0644);                                          \
        (void)!ftruncate(fd, 4096);                                                       \
        char *map = before;                                                               \
        start(road);                                                                      \
        long done = call;                                                                 \
        memcpy(map, text, 9);                                                             \
        close(fd);                                                                        \
        say("write", road, done, "path=%s\tbytes=9\tdata=%s", path, hex(text, 9)); \
    } while (0)
#define MAP(prot) mmap(NULL, 4096, prot, MAP_SHARED, fd, 0)
    MAPPED("mmap", NULL, (map = MAP(PROT_READ | PROT_WRITE)) == MAP_FAILED ? -errno : 0);
    MAPPED("mprotect", MAP(PROT_READ), got(mprotect(map, 4096, PROT_READ | PROT_WRITE)));
}

/* ---- without a name ------------------------------------------------------------------------- */

/* The kernel calls it by its number, below the directory that was asked for. */
#define UNNAMED DIR "#%lu"
#define WRITTEN_UNNAMED "path=" UNNAMED " (deleted)\tinode=%lu\tbytes=%ld\tdata=%s", info.st_ino, info.st_ino, done, hex(text, 9)

static void unnamed(void) {
    struct stat info = {0};
    start("O_TMPFILE");
    int fd = open(DIR, O_TMPFILE | O_RDWR, 0600);
    long result = made(got(fd));
    fstat(fd, &info);
    say("open", "O_TMPFILE", result, "path=" UNNAMED " (deleted)\t" ASKED "\tflags=%d\tcreated=1\tmode=384", info.st_ino, DIR, O_TMPFILE | O_RDWR);
    start("O_TMPFILE");
    long done = got(write(fd, text, 9));
    close(fd);
    say("write", "O_TMPFILE", done, WRITTEN_UNNAMED);
}

/* It is given a name by a link. What is open is still the file without one. */
static void named_later(const char *road, int by_descriptor) {
    struct stat info = {0};
    char asked[32] = "";
    const char *other = name("link-to", road);
    int fd = open(DIR, O_TMPFILE | O_RDWR, 0600), at = by_descriptor ? fd : AT_FDCWD;
    fstat(fd, &info);
    if (!by_descriptor)
        snprintf(asked, sizeof asked, "/proc/self/fd/%d", fd);
    DO("link", road, got(linkat(at, asked, AT_FDCWD, other, by_descriptor ? AT_EMPTY_PATH : AT_SYMLINK_FOLLOW)), "path=" UNNAMED "\t" ASKED "\ttarget=%s", info.st_ino, asked, other);
    start(road);
    long done = got(write(fd, text, 9));
    close(fd);
    say("write", road, done, WRITTEN_UNNAMED);
}

/* ---- named ---------------------------------------------------------------------------------- */

static void names(void) {
    const char *path, *other, *asked;
#define TWO(action, road, exists, words, call, ...)   \
    do {                                              \
        path = name(action, road);                    \
        other = name(action "-to", road);             \
        asked = words;                                \
        if (exists) touch(path);                      \
        start(road);                                  \
        long done = call;                             \
        say(action, road, done, __VA_ARGS__);         \
    } while (0)
#define BOTH PATHS "\ttarget=%s", path, asked, other
#define RENAME(road, flags, words, call) TWO("rename", road, 1, words, call, PATHS "\ttarget=%s\tflags=%d", path, asked, other, flags)
    RENAME("rename", 0, path, got(rename(path, other)));
    RENAME("renameat2", 1, path, got(syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, other, 1)));
    RENAME("exchange", 2, path, (touch(other), got(syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, other, 2))));
    RENAME("int80", 0, path, int80(38, lows(path), lows(other)));
    RENAME("int80-renameat2", 1, path, int80(353, AT_FDCWD, lows(path), AT_FDCWD, lows(other), 1));
    RENAME("io_uring", 0, path, uring(SQE(IORING_OP_RENAMEAT, .fd = AT_FDCWD, .len = AT_FDCWD, .addr = PTR(path), .off = PTR(other))));
    RENAME("relative", 0, relative(path), got(rename(asked, relative(other))));
    RENAME("linked", 0, under(LINKED, path), got(rename(asked, relative(other))));
    TWO("rename-absent", "rename", 0, path, got(rename(path, other)), ASKED, asked);
    DO("rename-denied", "rename", got(rename("/etc/passwd", "/etc/matrix")), PATHS "\ttarget=/etc/matrix", "/etc/passwd", "/etc/passwd");
    TWO("link", "link", 1, path, got(link(path, other)), BOTH);
    TWO("link", "linkat", 1, path, got(syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, other, 0)), BOTH);
    TWO("link", "int80", 1, path, int80(9, lows(path), lows(other)), BOTH);
    TWO("link", "int80-linkat", 1, path, int80(303, AT_FDCWD, lows(path), AT_FDCWD, lows(other), 0), BOTH);
    TWO("link", "io_uring", 1, path, uring(SQE(IORING_OP_LINKAT, .fd = AT_FDCWD, .len = AT_FDCWD, .addr = PTR(path), .off = PTR(other))), BOTH);
    TWO("link", "linked", 1, under(LINKED, path), got(link(asked, relative(other))), BOTH);
    TWO("link-absent", "link", 0, path, got(link(path, other)), ASKED, asked);
    DO("link-denied", "link", got(link("/etc/shadow", "/etc/matrix")), ASKED, "/etc/shadow");
#define ONE_AS(action, road, before, words, call, ...) \
    do {                                               \
        path = name(action, road);                     \
        asked = words;                                 \
        before;                                        \
        start(road);                                   \
        long done = call;                              \
        say(action, road, done, __VA_ARGS__);          \
    } while (0)
#define ONE(action, road, before, call, ...) ONE_AS(action, road, before, path, call, __VA_ARGS__)
#define SAME PATHS, path, asked
    ONE("open", "mknod", , got(mknod(path, S_IFREG | 0644, 0)), PATHS "\tcreated=1\tmode=%d", path, asked, 0644);
    ONE("open", "mkfifo", , got(mkfifo(path, 0600)), PATHS "\tcreated=1\tmode=%d", path, asked, 0600);
    ONE("open", "int80-mknod", , int80(14, lows(path), S_IFREG | 0644, 0), PATHS "\tcreated=1\tmode=%d", path, asked, 0644);
    ONE_AS("open", "mknod-linked", , under(LINKED, path), got(mknod(asked, S_IFREG | 0644, 0)), SAME);
    ONE("open-exists", "mknod", touch(path), got(mknod(path, S_IFREG | 0644, 0)), ASKED, asked);
#define TEXT PATHS "\ttarget=text", path, asked
    ONE("symlink", "symlink", , got(symlink("text", path)), TEXT);
    ONE("symlink", "int80", , int80(83, lows("text"), lows(path)), TEXT);
    ONE("symlink", "int80-symlinkat", , int80(304, lows("text"), AT_FDCWD, lows(path)), TEXT);
    ONE("symlink", "io_uring", , uring(SQE(IORING_OP_SYMLINKAT, .fd = AT_FDCWD, .addr = PTR("text"), .off = PTR(path))), TEXT);
    ONE_AS("symlink", "relative", , relative(path), got(symlink("text", asked)), TEXT);
    ONE("symlink-exists", "symlink", touch(path), got(symlink("text", path)), ASKED "\ttarget=text", asked);
    DO("symlink-denied", "symlink", got(symlink("text", "/etc/matrix")), PATHS "\ttarget=text", "/etc/matrix", "/etc/matrix");
    ONE("unlink", "unlink", touch(path), got(unlink(path)), SAME);
    ONE("unlink", "unlinkat", touch(path), got(unlinkat(AT_FDCWD, path, 0)), SAME);
    ONE("unlink", "int80", touch(path), int80(10, lows(path)), SAME);
    ONE("unlink", "int80-unlinkat", touch(path), int80(301, AT_FDCWD, lows(path), 0), SAME);
    ONE("unlink", "io_uring", touch(path), uring(SQE(IORING_OP_UNLINKAT, .fd = AT_FDCWD, .addr = PTR(path))), SAME);
    ONE_AS("unlink", "dirfd", touch(path), relative(path), ({ int dir = open(DIR, O_PATH); long done = got(unlinkat(dir, asked, 0)); close(dir); done; }), SAME);
    ONE_AS("unlink", "dotted", touch(path), under(DOTTED, path), got(unlink(asked)), SAME);
    ONE_AS("unlink", "linked", touch(path), under(LINKED, path), got(unlink(asked)), SAME);
    ONE("unlink-absent", "unlink", , got(unlink(path)), ASKED, asked);
    DO("unlink-denied", "unlink", got(unlink("/etc/passwd")), PATHS, "/etc/passwd", "/etc/passwd");
}

static void directories(void) {
    const char *path, *asked;
#define MADE PATHS "\tmode=%d", path, asked, 0700
    ONE("mkdir", "mkdir", , got(mkdir(path, 0700)), MADE);
    ONE("mkdir", "int80", , int80(39, lows(path), 0700), MADE);
    ONE("mkdir", "int80-mkdirat", , int80(296, AT_FDCWD, lows(path), 0700), MADE);
    ONE("mkdir", "io_uring", , uring(SQE(IORING_OP_MKDIRAT, .fd = AT_FDCWD, .addr = PTR(path), .len = 0700)), MADE);
    ONE_AS("mkdir", "relative", , relative(path), got(mkdir(asked, 0700)), MADE);
    ONE("mkdir-exists", "mkdir", mkdir(path, 0700), got(mkdir(path, 0700)), ASKED, asked);
    DO("mkdir-denied", "mkdir", got(mkdir("/etc/matrix", 0700)), PATHS, "/etc/matrix", "/etc/matrix");
    ONE("rmdir", "rmdir", mkdir(path, 0700), got(rmdir(path)), SAME);
    ONE("rmdir", "unlinkat", mkdir(path, 0700), got(unlinkat(AT_FDCWD, path, AT_REMOVEDIR)), SAME);
    ONE("rmdir", "int80", mkdir(path, 0700), int80(40, lows(path)), SAME);
    ONE("rmdir", "int80-unlinkat", mkdir(path, 0700), int80(301, AT_FDCWD, lows(path), AT_REMOVEDIR), SAME);
    ONE("rmdir", "io_uring", mkdir(path, 0700), uring(SQE(IORING_OP_UNLINKAT, .fd = AT_FDCWD, .addr = PTR(path), .unlink_flags = AT_REMOVEDIR)), SAME);
    ONE_AS("rmdir", "linked", mkdir(path, 0700), under(LINKED, path), got(rmdir(asked)), SAME);
    ONE("rmdir-absent", "rmdir", , got(rmdir(path)), ASKED, asked);
}

static void *names_of_thread(void *unused) {
    const char *path = touch(name("rename", "thread")), *other = name("rename-to", "thread");
    DO("rename", "thread", got(rename(path, other)), PATHS "\ttarget=%s", path, path, other);
    DO("chmod", "thread", got(chmod(other, 0600)), "path=%s\tmode=%d", other, 0600);
    DO("unlink", "thread", got(unlink(other)), PATHS, other, other);
    DO("mkdir", "thread", got(mkdir(path, 0700)), PATHS, path, path);
    return unused;
}

/* ---- changed -------------------------------------------------------------------------------- */

static void changes(void) {
    const char *path, *asked;
    unsigned long long uid = getuid(), gid = getgid(), kept = 0xffffffff;
#define BY_FD(call) ({ int fd = open(path, O_RDWR); long done = call; close(fd); done; })
#define MODE_BY_FD "path=%s\tmode=%d", path, 0600
#define MODE PATHS "\tmode=%d", path, asked, 0600
    ONE("chmod", "chmod", touch(path), got(chmod(path, 0600)), MODE);
    ONE("chmod", "fchmod", touch(path), BY_FD(got(fchmod(fd, 0600))), MODE_BY_FD);
    ONE("chmod", "fchmodat2", touch(path), got(syscall(SYS_fchmodat2, AT_FDCWD, path, 0600, 0)), MODE);
    ONE("chmod", "int80", touch(path), int80(15, lows(path), 0600), MODE);
    ONE("chmod", "int80-fchmod", touch(path), BY_FD(int80(94, fd, 0600)), MODE_BY_FD);
    ONE("chmod", "int80-fchmodat", touch(path), int80(306, AT_FDCWD, lows(path), 0600), MODE);
    ONE("chmod", "int80-fchmodat2", touch(path), int80(452, AT_FDCWD, lows(path), 0600, 0), MODE);
    ONE("chmod", "wide-number", touch(path), wide(SYS_chmod, PTR(path), 0600), MODE);
    ONE("chmod", "set-user-id", touch(path), got(chmod(path, 04755)), PATHS "\tmode=%d", path, asked, 04755);
    ONE_AS("chmod", "linked", touch(path), under(LINKED, path), got(chmod(asked, 0600)), MODE);
    ONE("chmod-absent", "chmod", , got(chmod(path, 0600)), ASKED, asked);
    ONE("chmod-absent", "fchmodat2", , got(syscall(SYS_fchmodat2, AT_FDCWD, path, 0600, 0)), ASKED, asked);
    ONE("chmod-absent", "int80", , int80(15, lows(path), 0600), ASKED, asked);
    ONE("chmod-absent", "wide-number", , wide(SYS_chmod, PTR(path), 0600), ASKED, asked);
    DO("chmod-denied", "chmod", got(chmod("/etc/passwd", 0600)), PATHS "\tmode=%d", "/etc/passwd", "/etc/passwd", 0600);
#define OWNER_BY_FD(group) "path=%s\tflags=%llu", path, uid << 32 | (group)
#define OWNER(group) PATHS "\tflags=%llu", path, asked, uid << 32 | (group)
    ONE("chown", "chown", touch(path), got(chown(path, uid, gid)), OWNER(gid));
    ONE("chown", "lchown", touch(path), got(lchown(path, uid, gid)), OWNER(gid));
    ONE("chown", "fchown", touch(path), BY_FD(got(fchown(fd, uid, -1))), OWNER_BY_FD(kept));
    ONE("chown", "int80", touch(path), int80(212, lows(path), uid, -1), OWNER(kept));
    ONE("chown", "int80-lchown", touch(path), int80(198, lows(path), uid, gid), OWNER(gid));
    ONE("chown", "int80-fchown", touch(path), BY_FD(int80(207, fd, uid, gid)), OWNER_BY_FD(gid));
    ONE("chown", "int80-fchownat", touch(path), int80(298, AT_FDCWD, lows(path), uid, gid, 0), OWNER(gid));
    ONE("chown", "int80-16-bit", touch(path), int80(182, lows(path), uid, gid), OWNER(gid));
    ONE_AS("chown", "linked", touch(path), under(LINKED, path), got(chown(asked, uid, gid)), OWNER(gid));
    ONE("chown-absent", "chown", , got(chown(path, uid, gid)), ASKED, asked);
    ONE("chown-absent", "int80-16-bit", , int80(182, lows(path), uid, gid), ASKED, asked);
    ONE("chown-absent", "wide-number", , wide(SYS_chown, PTR(path), uid, gid), ASKED, asked);
    DO("chown-denied", "chown", got(chown("/etc/passwd", 0, 0)), PATHS "\tflags=0", "/etc/passwd", "/etc/passwd");
#define LENGTH_BY_FD "path=%s\tbytes=5", path
#define LENGTH PATHS "\tbytes=5", path, asked
    ONE("truncate", "truncate", touch(path), got(truncate(path, 5)), LENGTH);
    ONE("truncate", "ftruncate", touch(path), BY_FD(got(ftruncate(fd, 5))), LENGTH_BY_FD);
    ONE("truncate", "io_uring", touch(path), BY_FD(uring(SQE(RING_FTRUNCATE, .fd = fd, .off = 5))), LENGTH_BY_FD);
    ONE("truncate", "int80", touch(path), int80(92, lows(path), 5), LENGTH);
    ONE("truncate", "int80-truncate64", touch(path), int80(193, lows(path), 5, 0), LENGTH);
    ONE("truncate", "int80-ftruncate", touch(path), BY_FD(int80(93, fd, 5)), LENGTH_BY_FD);
    ONE("truncate", "int80-ftruncate64", touch(path), BY_FD(int80(194, fd, 5, 0)), LENGTH_BY_FD);
    ONE_AS("truncate", "linked", touch(path), under(LINKED, path), got(truncate(asked, 5)), LENGTH);
    ONE("truncate-absent", "truncate", , got(truncate(path, 0)), ASKED, asked);
    ONE("truncate-absent", "int80-truncate64", , int80(193, lows(path), 5, 0), ASKED, asked);
    ONE("truncate-absent", "wide-number", , wide(SYS_truncate, PTR(path), 0), ASKED, asked);
    DO("truncate-denied", "truncate", got(truncate("/etc/passwd", 5)), PATHS "\tbytes=5", "/etc/passwd", "/etc/passwd");
}

int main(void) {
    int stopped = prepare();
    if (stopped)
        return stopped;
    (void)!symlink(".", DIR "here");
    opens("open", O_CREAT | O_WRONLY);
    opens("open-absent", O_RDONLY);
    in_thread(opens_of_thread);
    opens_otherwise();
    writes();
    copies();
    writes_otherwise();
    unnamed();
    named_later("O_TMPFILE-proc", 0);
    named_later("O_TMPFILE-descriptor", 1);
    names();
    directories();
    in_thread(names_of_thread);
    changes();
    return 0;
}
