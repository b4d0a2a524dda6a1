/* Does every action that the probes record through every road that the kernel offers for it, each on
 * names of its own, and says what it did: a line per cell on standard output,
 *
 *     ACTION ROAD PID RESULT KEY
 *
 * RESULT is what the system call returned, or a negative errno. KEY is a path or an address; "-" where
 * the action has none. The doing thread is named after the road (PR_SET_NAME). What an ordinary user
 * may not do is tried all the same: the attempt counts. It connects to addresses of documentation, so
 * it does nothing where there is a network.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <linux/mount.h>
#include <linux/io_uring.h>
#include <linux/net.h>
#include <linux/openat2.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

#define DIR "/tmp/matrix/"
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
/* Newer than some headers (include/uapi/linux/io_uring.h, include/linux/socket.h). */
enum { RING_FTRUNCATE = 55, RING_BIND, RING_LISTEN };
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static void say(const char *action, const char *road, pid_t pid, long result, const char *key) {
    printf("%s %s %d %ld %s\n", action, road, pid, result, key);
    fflush(stdout);
    begin("matrix");
}

/* A cell by itself: the thread is named before the call is made. */
#define DO(action, road, pid, call, key)      \
    do {                                      \
        begin(road);                          \
        long result_ = call;                  \
        say(action, road, pid, result_, key); \
    } while (0)

/* A name of its own for each cell. The two last ones are kept: a cell may have two names. */
static const char *name(const char *action, const char *road) {
    static char names[4][128];
    static int turn;
    char *here = names[turn++ % 4];
    snprintf(here, sizeof names[0], DIR "%s.%s", action, road);
    return here;
}

static const char *touch(const char *path) {
    int fd = open(path, O_CREAT | O_WRONLY, 0644);
    close(fd);
    return path;
}

/* A 32-bit system call; pointers must lie below 4 GiB, see low(). */
static long int80(long call, long a, long b, long c, long d, long e) {
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(call), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
                     : "memory", "r8", "r9", "r10", "r11");
    return (int)result;
}

static char *low_page;
static size_t low_used;

/* A copy below 4 GiB. */
static long low(const void *from, size_t size) {
    if (!low_page)
        low_page = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    char *at = low_page + low_used;
    low_used = (low_used + size + 15) & ~15ul;
    memcpy(at, from, size);
    return (long)at;
}
static long lows(const char *text) { return low(text, strlen(text) + 1); }

/* ---- files ---------------------------------------------------------------------------------- */

static void opens(const char *action, int flags, pid_t me) {
    struct open_how how = {.flags = flags, .mode = flags & O_CREAT ? 0644 : 0};
    const char *path;
#define OPEN(road, call)                   \
    do {                                   \
        path = name(action, road);         \
        begin(road);                       \
        long fd = call;                    \
        say(action, road, me, fd < 0 ? fd : 0, path); \
        if (fd >= 0) close(fd);            \
    } while (0)
    OPEN("libc", got(open(path, flags, 0644)));
    OPEN("open", got(syscall(SYS_open, path, flags, 0644)));
    OPEN("openat2", got(syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how)));
    OPEN("int80", int80(5, lows(path), flags, 0644, 0, 0));
    OPEN("int80-openat", int80(295, AT_FDCWD, lows(path), flags, 0644, 0));
    OPEN("io_uring", uring(SQE(IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = PTR(path), .len = 0644, .open_flags = flags)));
    OPEN("io_uring-openat2", uring(SQE(IORING_OP_OPENAT2, .fd = AT_FDCWD, .addr = PTR(path), .len = sizeof how, .off = PTR(&how))));
    if (!(flags & O_CREAT))
        return;
    OPEN("creat", got(creat(path, 0644)));
    struct { struct file_handle head; char bytes[MAX_HANDLE_SZ]; } handle = {.head.handle_bytes = MAX_HANDLE_SZ};
    int mount_id;
    path = touch(name(action, "open_by_handle_at"));
    name_to_handle_at(AT_FDCWD, path, &handle.head, &mount_id, 0);
    DO("open", "open_by_handle_at", me, got(open_by_handle_at(AT_FDCWD, &handle.head, O_RDONLY)), path);
    begin("mq_open");
    long queue = got(syscall(SYS_mq_open, "matrix", O_CREAT | O_RDWR, 0600, NULL));
    say("open", "mq_open", me, queue < 0 ? queue : 0, "/matrix");
}

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

static void writes(pid_t me) {
    static const char text[] = "#!written";
    struct iovec vec = {(void *)text, 9};
    struct iovec pieces[] = {{NULL, 0}, {(void *)text, 1}, {(void *)text + 1, 8}};
    uint32_t vec32[2] = {low(text, 9), 9};
    int pipes[2];
    const char *path;
    int from = open(touch(DIR "source"), O_RDWR);
    (void)!write(from, text, 9);
#define WRITE_AT(place, road, call)                           \
    do {                                                      \
        path = place;                                         \
        begin(road);                                          \
        int fd = open(path, O_CREAT | O_RDWR, 0644);          \
        long done = call;                                     \
        close(fd);                                            \
        say("write", road, me, done, path);                   \
    } while (0)
#define WRITE(road, call) WRITE_AT(name("write", road), road, call)
    WRITE("write", got(write(fd, text, 9)));
    WRITE("pwrite64", got(pwrite(fd, text, 9, 0)));
    WRITE("writev", got(writev(fd, &vec, 1)));
    WRITE("writev-pieces", got(writev(fd, pieces, 3)));
    WRITE("write-pieces", ({ long done = got(write(fd, text, 1)); done + got(write(fd, text + 1, 8)); }));
    WRITE("int80-writev", int80(146, fd, low(vec32, 8), 1, 0, 0));
    WRITE("pwritev2", got(pwritev2(fd, &vec, 1, 0, 0)));
    WRITE("int80", int80(4, fd, low(text, 9), 9, 0, 0));
    WRITE("io_uring", uring(SQE(IORING_OP_WRITE, .fd = fd, .addr = PTR(text), .len = 9)));
    WRITE("io_uring-writev", uring(SQE(IORING_OP_WRITEV, .fd = fd, .addr = PTR(&vec), .len = 1)));
    WRITE("io_uring-direct", ({
        /* Around the page cache, which takes whole pages. */
        char *page = aligned_alloc(4096, 4096);
        memcpy(memset(page, 0, 4096), text, 9);
        fcntl(fd, F_SETFL, O_DIRECT);
        uring(SQE(IORING_OP_WRITE, .fd = fd, .addr = PTR(page), .len = 4096)); }));
    WRITE("aio", aio(fd, IOCB_CMD_PWRITE, text, 9));
    WRITE("aio-pieces", aio(fd, IOCB_CMD_PWRITEV, pieces, 3));
    WRITE("head-last", ({ long done = got(pwrite(fd, "the body", 9, 9)); done + got(pwrite(fd, text, 9, 0)); }));
    WRITE("head-again", ({ long done = got(write(fd, "something", 9)); done + got(pwritev(fd, pieces, 3, 0)); }));
    WRITE("head-aio", ({ long done = got(write(fd, "something", 9)); done + aio(fd, IOCB_CMD_PWRITE, text, 9); }));
    WRITE("fallocate", got(fallocate(fd, 0, 0, 9)));
    WRITE("sendfile", (lseek(from, 0, SEEK_SET), got(sendfile(fd, from, NULL, 9))));
    WRITE("copy_file_range", (lseek(from, 0, SEEK_SET), got(copy_file_range(from, NULL, fd, NULL, 9, 0))));
    (void)!pipe(pipes);
    WRITE("sendfile-again", (lseek(from, 0, SEEK_SET), got(sendfile(fd, from, NULL, 4)) + got(sendfile(fd, from, NULL, 5))));
    /* Within an overlay file system, which writes to another file, and to it. */
    int there = open("/home/dev/source", O_CREAT | O_RDWR, 0644);
    (void)!write(there, text, 9);
    WRITE_AT("/home/dev/copied", "copy-overlay", (lseek(there, 0, SEEK_SET), got(copy_file_range(there, NULL, fd, NULL, 9, 0))));
    WRITE_AT("/home/dev/sent", "sendfile-overlay", (lseek(from, 0, SEEK_SET), got(sendfile(fd, from, NULL, 9))));
    /* Then another file, of the layer below, is copied up: the kernel does that by the same road. */
    WRITE_AT("/home/dev/kept", "sendfile-then-copy-up", ({
        lseek(from, 0, SEEK_SET);
        long sent = got(sendfile(fd, from, NULL, 9));
        close(open("/home/dev/.profile", O_WRONLY));
        sent; }));
    /* A head that is offered and refused is not in the file. */
    WRITE("splice-refused", ({
        long done = got(write(fd, text, 9));
        int offered[2];
        struct rlimit old, none;
        loff_t start = 0;
        (void)!pipe(offered);
        (void)!write(offered[1], "harmless!", 9);
        getrlimit(RLIMIT_FSIZE, &old);
        none = (struct rlimit){0, old.rlim_max};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &none);
        if (splice(offered[0], NULL, fd, &start, 9, 0) >= 0)
            done = -EEXIST;
        setrlimit(RLIMIT_FSIZE, &old);
        close(offered[0]);
        close(offered[1]);
        done; }));
    WRITE("splice", ((void)!write(pipes[1], text, 9), got(splice(pipes[0], NULL, fd, NULL, 9, 0))));
    WRITE("vmsplice", ((void)!vmsplice(pipes[1], &vec, 1, 0), got(splice(pipes[0], NULL, fd, NULL, 9, 0))));
    int packets[2];
    (void)!pipe2(packets, O_DIRECT);
    WRITE("splice-pieces", ((void)!write(packets[1], text, 1), (void)!write(packets[1], text + 1, 8), got(splice(packets[0], NULL, fd, NULL, 9, 0))));
    WRITE("io_uring-splice", ((void)!write(pipes[1], text, 9), uring(SQE(IORING_OP_SPLICE, .fd = fd, .off = -1, .len = 9, .splice_fd_in = pipes[0], .splice_off_in = -1))));
    WRITE("dup-then-write", ({ int other = dup(fd); long done = got(write(other, text, 9)); close(other); done; }));
    begin("mmap");
    path = name("write", "mmap");
    int fd = open(path, O_CREAT | O_RDWR, 0644);
    (void)!ftruncate(fd, 4096);
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    memcpy(map, text, 9);
    DO("write", "mmap", me, 0, path);
    begin("mprotect");
    path = name("write", "mprotect");
    int fd2 = open(path, O_CREAT | O_RDWR, 0644);
    (void)!ftruncate(fd2, 4096);
    map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd2, 0);
    long done = got(mprotect(map, 4096, PROT_READ | PROT_WRITE));
    memcpy(map, text, 9);
    DO("write", "mprotect", me, done, path);
}

static void names(pid_t me) {
    const char *path, *other;
#define TWO(action, road, made, call)                      \
    do {                                                   \
        path = name(action, road);                         \
        other = name(action "-to", road);                  \
        if (made) touch(path);                             \
        begin(road);                                       \
        long done = call;                                  \
        say(action, road, me, done, path);                 \
    } while (0)
    TWO("rename", "rename", 1, got(rename(path, other)));
    TWO("rename", "renameat2", 1, got(syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, other, 1)));
    TWO("rename", "int80", 1, int80(38, lows(path), lows(other), 0, 0, 0));
    TWO("rename", "io_uring", 1, uring(SQE(IORING_OP_RENAMEAT, .fd = AT_FDCWD, .len = AT_FDCWD, .addr = PTR(path), .off = PTR(other))));
    TWO("rename-absent", "rename", 0, got(rename(path, other)));
    TWO("link", "link", 1, got(link(path, other)));
    TWO("link", "linkat", 1, got(syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, other, 0)));
    TWO("link", "int80", 1, int80(9, lows(path), lows(other), 0, 0, 0));
    TWO("link", "io_uring", 1, uring(SQE(IORING_OP_LINKAT, .fd = AT_FDCWD, .len = AT_FDCWD, .addr = PTR(path), .off = PTR(other))));
    TWO("link-absent", "link", 0, got(link(path, other)));
#define ONE(action, road, before, call)                    \
    do {                                                   \
        path = name(action, road);                         \
        before;                                            \
        begin(road);                                       \
        long done = call;                                  \
        say(action, road, me, done, path);                 \
    } while (0)
    ONE("open", "mknod", , got(mknod(path, S_IFREG | 0644, 0)));
    ONE("open", "mkfifo", , got(mkfifo(path, 0644)));
    ONE("open-exists", "mknod", touch(path), got(mknod(path, S_IFREG | 0644, 0)));
    ONE("symlink", "symlink", , got(symlink("text", path)));
    ONE("symlink", "int80", , int80(83, lows("text"), lows(path), 0, 0, 0));
    ONE("symlink", "io_uring", , uring(SQE(IORING_OP_SYMLINKAT, .fd = AT_FDCWD, .addr = PTR("text"), .off = PTR(path))));
    ONE("symlink-exists", "symlink", touch(path), got(symlink("text", path)));
    ONE("unlink", "unlink", touch(path), got(unlink(path)));
    ONE("unlink", "unlinkat", touch(path), got(unlinkat(AT_FDCWD, path, 0)));
    ONE("unlink", "int80", touch(path), int80(10, lows(path), 0, 0, 0, 0));
    ONE("unlink", "io_uring", touch(path), uring(SQE(IORING_OP_UNLINKAT, .fd = AT_FDCWD, .addr = PTR(path))));
    ONE("unlink-absent", "unlink", , got(unlink(path)));
    ONE("mkdir", "mkdir", , got(mkdir(path, 0700)));
    ONE("mkdir", "int80", , int80(39, lows(path), 0700, 0, 0, 0));
    ONE("mkdir", "io_uring", , uring(SQE(IORING_OP_MKDIRAT, .fd = AT_FDCWD, .addr = PTR(path), .len = 0700)));
    ONE("mkdir-exists", "mkdir", mkdir(path, 0700), got(mkdir(path, 0700)));
    ONE("rmdir", "rmdir", mkdir(path, 0700), got(rmdir(path)));
    ONE("rmdir", "unlinkat", mkdir(path, 0700), got(unlinkat(AT_FDCWD, path, AT_REMOVEDIR)));
    ONE("rmdir", "int80", mkdir(path, 0700), int80(40, lows(path), 0, 0, 0, 0));
    ONE("rmdir", "io_uring", mkdir(path, 0700), uring(SQE(IORING_OP_UNLINKAT, .fd = AT_FDCWD, .addr = PTR(path), .unlink_flags = AT_REMOVEDIR)));
    ONE("rmdir-absent", "rmdir", , got(rmdir(path)));
    ONE("chmod", "chmod", touch(path), got(chmod(path, 0600)));
    ONE("chmod", "fchmod", touch(path), ({ int fd = open(path, O_RDONLY); long done = got(fchmod(fd, 0600)); close(fd); done; }));
    ONE("chmod", "fchmodat2", touch(path), got(syscall(SYS_fchmodat2, AT_FDCWD, path, 0600, 0)));
    ONE("chmod", "int80", touch(path), int80(15, lows(path), 0600, 0, 0, 0));
    ONE("chmod-absent", "chmod", , got(chmod(path, 0600)));
    ONE("chown", "chown", touch(path), got(chown(path, getuid(), getgid())));
    ONE("chown", "fchown", touch(path), ({ int fd = open(path, O_RDONLY); long done = got(fchown(fd, getuid(), -1)); close(fd); done; }));
    ONE("chown", "int80", touch(path), int80(212, lows(path), getuid(), -1, 0, 0));
    ONE("chown-absent", "chown", , got(chown(path, getuid(), getgid())));
    ONE("truncate-absent", "truncate", , got(truncate(path, 0)));
    ONE("truncate", "io_uring", touch(path), ({ int fd = open(path, O_RDWR); long done = uring(SQE(RING_FTRUNCATE, .fd = fd, .off = 0)); close(fd); done; }));
    ONE("truncate", "truncate", touch(path), got(truncate(path, 0)));
    ONE("truncate", "ftruncate", touch(path), ({ int fd = open(path, O_RDWR); long done = got(ftruncate(fd, 0)); close(fd); done; }));
    ONE("truncate", "int80", touch(path), int80(92, lows(path), 0, 0, 0, 0));
}

/* ---- processes ------------------------------------------------------------------------------ */

static void program(const char *path, const char *text) {
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0755);
    (void)!write(fd, text, strlen(text));
    close(fd);
}

static long wait_for(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void execs(void) {
    char *env[] = {NULL};
    const char *path;
/* In a child, which reports its own failure: a success cannot return. */
#define EXEC(action, road, file, call)                                   \
    do {                                                                 \
        path = file;                                                     \
        char *argv[] = {(char *)path, road, NULL};                       \
        (void)argv;                                                      \
        fflush(stdout);                                                  \
        pid_t child = fork();                                            \
        if (!child) {                                                    \
            begin(road);                                                 \
            long failed = call;                                          \
            say(action, road, getpid(), failed, path);                   \
            _exit(77);                                                   \
        }                                                                \
        if (wait_for(child) != 77) say(action, road, child, 0, path);    \
    } while (0)
    program(DIR "script", "#!/bin/sh\nexit 0\n");
    program(DIR "no-format", "neither\n");
    touch(DIR "not-executable");
    EXEC("exec", "execve", "/bin/true", got(execve(path, argv, env)));
    EXEC("exec", "execveat", "/bin/true", got(syscall(SYS_execveat, AT_FDCWD, path, argv, env, 0)));
    EXEC("exec", "execveat-empty-path", "/bin/true", ({ int fd = open(path, O_PATH); got(syscall(SYS_execveat, fd, "", argv, env, AT_EMPTY_PATH)); }));
    EXEC("exec", "fexecve", "/bin/true", ({ int fd = open(path, O_RDONLY); got(fexecve(fd, argv, env)); }));
    EXEC("exec", "script", DIR "script", got(execve(path, argv, env)));
    EXEC("exec", "int80", "/bin/true", ({ uint32_t words[3] = {lows(path), lows(argv[1]), 0}; int80(11, lows(path), low(words, 12), 0, 0, 0); }));
    EXEC("exec", "proc-self-fd", "/bin/true", ({ char link[40]; int fd = open(path, O_RDONLY); snprintf(link, 40, "/proc/self/fd/%d", fd); got(execve(link, argv, env)); }));
    EXEC("exec", "thread", "/bin/true", ({
        void *run(void *unused) { (void)unused; execve(path, argv, env); return NULL; }
        pthread_t thread; pthread_create(&thread, NULL, run, NULL); pthread_join(thread, NULL); -1L; }));
    EXEC("exec-absent", "execve", DIR "absent", got(execve(path, argv, env)));
    EXEC("exec-absent", "int80", DIR "absent32", ({ uint32_t words[3] = {lows(path), lows(argv[1]), 0}; int80(11, lows(path), low(words, 12), 0, 0, 0); }));
    EXEC("exec-denied", "execve", DIR "not-executable", got(execve(path, argv, env)));
    EXEC("exec-format", "execve", DIR "no-format", got(execve(path, argv, env)));
    int memory = memfd_create("payload", 0);
    int from = open("/bin/true", O_RDONLY);
    while (sendfile(memory, from, NULL, 1 << 20) > 0) {}
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", memory);
    EXEC("exec-memfd", "proc-self-fd", link, got(execve(path, argv, env)));
    EXEC("exec-memfd", "execveat-empty-path", link, got(syscall(SYS_execveat, memory, "", argv, env, AT_EMPTY_PATH)));
    char *spawn_argv[] = {"/bin/true", "posix_spawn", NULL};
    pid_t child;
    posix_spawn(&child, "/bin/true", NULL, NULL, spawn_argv, env);
    wait_for(child);
    DO("exec", "posix_spawn", child, 0, "/bin/true");
}

/* A child that waits to be done something to, and whose last thread is named after its number. */
static pid_t target(char key[32]) {
    int ready[2];
    char byte;
    (void)!pipe(ready);
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        snprintf(key, 32, "%d", getpid());
        begin(key);
        (void)!write(ready[1], "", 1);
        for (;;) pause();
    }
    (void)!read(ready[0], &byte, 1);
    snprintf(key, 32, "%d", child);
    return child;
}

static int nothing(void *unused) { (void)unused; return 5; }

static void forks(void) {
    static char stack[1 << 16];
    struct clone_args args = {.exit_signal = SIGCHLD};
    pid_t me = getpid(), child;
    char key[32];
#define FORK(road, call)                                    \
    do {                                                    \
        fflush(stdout);                                     \
        begin(road);                                        \
        child = call;                                       \
        if (!child) _exit(5);                               \
        long status = wait_for(child);                      \
        snprintf(key, sizeof key, "%d", child);             \
        say("fork", road, me, 0, key);                      \
        say("exit", road, child, status, "-");              \
    } while (0)
    FORK("fork", fork());
    FORK("vfork", vfork());
    FORK("clone", clone(nothing, stack + sizeof stack, SIGCHLD, NULL));
    FORK("clone3", (pid_t)syscall(SYS_clone3, &args, sizeof args));
    FORK("int80", (pid_t)int80(2, 0, 0, 0, 0, 0));
    fflush(stdout);
    begin("signal");
    if (!(child = fork())) { raise(SIGKILL); }
    DO("exit", "signal", child, wait_for(child), "-");
    child = target(key);
    begin("kill");
    kill(child, SIGTERM);
    wait_for(child);
    DO("signal", "kill", me, 0, key);
}

/* ---- descriptors 0 to 2 --------------------------------------------------------------------- */

static int pass(int fd) {
    int pair[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec vec = {&byte, 1};
    struct msghdr message = {.msg_iov = &vec, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET; head->cmsg_type = SCM_RIGHTS; head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    sendmsg(pair[0], &message, 0);
    close(0);
    recvmsg(pair[1], &message, 0);
    return 0;
}

static void dups(int peer) {
#define DUP(road, call)                                     \
    do {                                                    \
        fflush(stdout);                                     \
        pid_t child = fork();                               \
        if (!child) { begin(road); long done = call; say("dup", road, getpid(), done, "-"); _exit(0); } \
        wait_for(child);                                    \
    } while (0)
    DUP("dup2", got(dup2(peer, 0)));
    DUP("dup3", got(dup3(peer, 0, 0)));
    DUP("dup-after-close", (close(0), got(dup(peer))));
    DUP("fcntl", (close(0), got(fcntl(peer, F_DUPFD, 0))));
    DUP("int80", int80(63, peer, 0, 0, 0, 0));
    DUP("scm_rights", pass(peer));
    DUP("pidfd_getfd", ({ int pidfd = syscall(SYS_pidfd_open, getpid(), 0); close(0); got(syscall(SYS_pidfd_getfd, pidfd, peer, 0)); }));
    DUP("dup2-written", ({ close(0); (void)!write(open(DIR "written-over", O_CREAT | O_WRONLY, 0644), "x", 1); got(dup2(peer, 0)); }));
    DUP("dup2-absent", got(dup2(1000, 0)));
    DUP("socket-after-close", (close(0), got(socket(AF_INET, SOCK_STREAM, 0))));
}

/* ---- network -------------------------------------------------------------------------------- */

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
static socklen_t local(struct sockaddr_un *a, const char *path) {
    memset(a, 0, sizeof *a);
    a->sun_family = AF_UNIX;
    strcpy(a->sun_path + (*path == '@'), path + (*path == '@'));
    return offsetof(struct sockaddr_un, sun_path) + strlen(path) + (*path != '@');
}
#define AT(a) (struct sockaddr *)&a, sizeof a

static void connects(pid_t me) {
    struct sockaddr_in a;
    struct sockaddr_in6 b;
    struct sockaddr_un u;
    socklen_t len;
    int s;
    char key[80];
#define CONNECT(road, family, type, address, port, call)                      \
    do {                                                                      \
        s = socket(family, type, 0);                                          \
        begin(road);                                                          \
        snprintf(key, sizeof key, "%s:%d", address, port);                    \
        long done = call;                                                     \
        say("connect", road, me, done, key);                                  \
        close(s);                                                             \
    } while (0)
    CONNECT("tcp4", AF_INET, SOCK_STREAM, "192.0.2.1", 1001, (a = v4("192.0.2.1", 1001), got(connect(s, AT(a)))));
    CONNECT("tcp4-loopback", AF_INET, SOCK_STREAM, "127.0.0.1", 1002, (a = v4("127.0.0.1", 1002), got(connect(s, AT(a)))));
    CONNECT("tcp6", AF_INET6, SOCK_STREAM, "2001:db8::1", 1003, (b = v6("2001:db8::1", 1003), got(connect(s, AT(b)))));
    CONNECT("mapped-ipv4", AF_INET6, SOCK_STREAM, "192.0.2.2", 1004, (b = v6("::ffff:192.0.2.2", 1004), got(connect(s, AT(b)))));
    CONNECT("udp4", AF_INET, SOCK_DGRAM, "192.0.2.3", 1005, (a = v4("192.0.2.3", 1005), got(connect(s, AT(a)))));
    CONNECT("udp6", AF_INET6, SOCK_DGRAM, "2001:db8::2", 1006, (b = v6("2001:db8::2", 1006), got(connect(s, AT(b)))));
    CONNECT("nonblocking", AF_INET, SOCK_STREAM | SOCK_NONBLOCK, "127.0.0.1", 1007, (a = v4("127.0.0.1", 1007), got(connect(s, AT(a)))));
    CONNECT("int80", AF_INET, SOCK_STREAM, "192.0.2.4", 1008, (a = v4("192.0.2.4", 1008), int80(362, s, low(&a, sizeof a), sizeof a, 0, 0)));
    CONNECT("int80-socketcall", AF_INET, SOCK_STREAM, "192.0.2.5", 1009, ({ a = v4("192.0.2.5", 1009); uint32_t w[3] = {s, low(&a, sizeof a), sizeof a}; int80(102, SYS_CONNECT, low(w, sizeof w), 0, 0, 0); }));
    CONNECT("io_uring", AF_INET, SOCK_STREAM, "192.0.2.6", 1010, (a = v4("192.0.2.6", 1010), uring(SQE(IORING_OP_CONNECT, .fd = s, .addr = PTR(&a), .off = sizeof a))));
    CONNECT("mptcp", AF_INET, SOCK_STREAM, "192.0.2.8", 1012, (close(s), s = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP), a = v4("192.0.2.8", 1012), got(connect(s, AT(a)))));
    CONNECT("fastopen", AF_INET, SOCK_STREAM, "192.0.2.7", 1011, (a = v4("192.0.2.7", 1011), got(sendto(s, "early", 5, MSG_FASTOPEN, AT(a)))));
#define LOCAL(road, type, path)                                               \
    do {                                                                      \
        s = socket(AF_UNIX, type, 0);                                         \
        begin(road);                                                          \
        len = local(&u, path);                                                \
        say("connect", road, me, got(connect(s, (struct sockaddr *)&u, len)), path); \
        close(s);                                                             \
    } while (0)
    LOCAL("unix-stream", SOCK_STREAM, DIR "no-socket");
    LOCAL("unix-dgram", SOCK_DGRAM, DIR "no-socket-dgram");
    LOCAL("unix-abstract", SOCK_STREAM, "@matrix-abstract");
}

static void servers(pid_t me) {
    struct sockaddr_in a;
    struct sockaddr_in6 b;
    struct sockaddr_un u;
    char key[80];
    long done;
#define SERVER(road, family, protocol, address, port, made)                   \
    do {                                                                      \
        int s = socket(family, SOCK_STREAM, protocol);                        \
        made;                                                                 \
        snprintf(key, sizeof key, "%s:%d", address, port);                    \
        DO("bind", road, me, got(bind(s, AT(a_##family))), key);             \
        DO("listen", road, me, got(listen(s, 5)), key);                      \
        int c = socket(family, SOCK_STREAM, protocol);                        \
        (void)!connect(c, AT(a_##family));                                    \
        int taken;                                                            \
        DO("accept", road, me, (taken = accept4(s, NULL, NULL, SOCK_CLOEXEC)) < 0 ? -errno : 0, "-"); \
        DO("send", road, me, got(send(c, "sent", 4, 0)), key);                \
        close(taken); close(c); close(s);                                     \
    } while (0)
#define a_AF_INET a
#define a_AF_INET6 b
    SERVER("tcp4", AF_INET, 0, "127.0.0.1", 2001, a = v4("127.0.0.1", 2001));
    SERVER("tcp6", AF_INET6, 0, "::1", 2002, b = v6("::1", 2002));
    SERVER("mptcp", AF_INET, IPPROTO_MPTCP, "127.0.0.1", 2007, a = v4("127.0.0.1", 2007));
    SERVER("mptcp6", AF_INET6, IPPROTO_MPTCP, "::1", 2008, b = v6("::1", 2008));
    int ringed = socket(AF_INET, SOCK_STREAM, 0);
    a = v4("127.0.0.1", 2009);
    DO("bind", "io_uring", me, uring(SQE(RING_BIND, .fd = ringed, .addr = PTR(&a), .addr2 = sizeof a)), "127.0.0.1:2009");
    DO("listen", "io_uring", me, uring(SQE(RING_LISTEN, .fd = ringed, .len = 5)), "127.0.0.1:2009");
    int s = socket(AF_INET, SOCK_STREAM, 0);
    a = v4("127.0.0.1", 2003);
    DO("bind", "int80", me, int80(361, s, low(&a, sizeof a), sizeof a, 0, 0), "127.0.0.1:2003");
    DO("listen", "int80", me, int80(363, s, 50, 0, 0, 0), "127.0.0.1:2003");
    int c = socket(AF_INET, SOCK_STREAM, 0);
    (void)!connect(c, AT(a));
    begin("io_uring");
    long taken = uring(SQE(IORING_OP_ACCEPT, .fd = s));
    DO("accept", "io_uring", me, taken < 0 ? taken : 0, "-");
    DO("send", "io_uring", me, uring(SQE(IORING_OP_SEND, .fd = c, .addr = PTR("sent"), .len = 4)), "127.0.0.1:2003");
    for (const char **road = (const char *[]){"write", "writev", "sendfile", "io_uring-send_zc", "fastopen", "fastopen-connect", "after-empty", "sendmsg", NULL}; *road; road++) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        struct iovec vec = {"sent", 4};
        struct msghdr message = {.msg_iov = &vec, .msg_iovlen = 1};
        int from = open(DIR "source", O_RDONLY);
        int one = 1, early = !strcmp(*road, "fastopen");
        if (!strcmp(*road, "fastopen-connect"))
            setsockopt(client, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof one);
        if (!early)
            (void)!connect(client, AT(a));
        /* Of which nothing is on record but that it was empty: it is not the first send. */
        if (!strcmp(*road, "after-empty"))
            (void)!send(client, "", 0, 0);
        begin(*road);
        done = !strcmp(*road, "io_uring-send_zc") ? uring(SQE(IORING_OP_SEND_ZC, .fd = client, .addr = PTR("sent"), .len = 4))
             : early ? got(sendto(client, "sent", 4, MSG_FASTOPEN, AT(a)))
             : !strcmp(*road, "write") ? got(write(client, "sent", 4))
             : !strcmp(*road, "writev") ? got(writev(client, &vec, 1))
             : !strcmp(*road, "sendfile") ? got(sendfile(client, from, NULL, 4))
                                          : got(sendmsg(client, &message, 0));
        say("send", *road, me, done, "127.0.0.1:2003");
        close(from);
    }
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    a = v4("127.0.0.1", 2004);
    DO("send", "udp-sendto", me, got(sendto(udp, "sent", 4, 0, AT(a))), "127.0.0.1:2004");
    a = v4("127.0.0.1", 2005);
    struct iovec vec = {"sent", 4};
    struct mmsghdr many = {.msg_hdr = {.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &vec, .msg_iovlen = 1}};
    DO("send", "udp-sendmmsg", me, got(sendmmsg(udp, &many, 1, 0)) == 1 ? 4 : -errno, "127.0.0.1:2005");
    int udp6 = socket(AF_INET6, SOCK_DGRAM, 0);
    b = v6("::1", 2006);
    DO("send", "udp6-sendto", me, got(sendto(udp6, "sent", 4, 0, AT(b))), "::1:2006");
    const char *paths[] = {DIR "stream.sock", "@matrix-bound", NULL};
    for (int i = 0; paths[i]; i++) {
        int l = socket(AF_UNIX, SOCK_STREAM, 0);
        socklen_t len = local(&u, paths[i]);
        const char *road = i ? "unix-abstract" : "unix";
        DO("bind", road, me, got(bind(l, (struct sockaddr *)&u, len)), paths[i]);
        DO("listen", road, me, got(listen(l, 5)), "-");
    }
    DO("socket", "raw", me, got(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)), "2:3");
    DO("socket", "packet", me, got(socket(AF_PACKET, SOCK_RAW, 0)), "17:3");
    DO("socket", "netlink", me, got(socket(AF_NETLINK, SOCK_DGRAM, 0)) < 0 ? -errno : 0, "16:2");
    DO("socket", "io_uring", me, uring(SQE(IORING_OP_SOCKET, .fd = AF_INET, .off = SOCK_DGRAM)) < 0 ? -1 : 0, "2:2");
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    struct nlmsghdr message = {.nlmsg_len = sizeof message, .nlmsg_type = NLMSG_NOOP};
    DO("send", "netlink", me, got(sendto(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), &message, sizeof message, 0, AT(kernel))), "-");
    DO("socket", "int80", me, int80(359, AF_INET, SOCK_DGRAM, 0, 0, 0) < 0 ? -1 : 0, "2:2");
}

/* ---- memory, privilege, tampering ----------------------------------------------------------- */

static void memory(pid_t me) {
    const char *path = touch(name("mmap_exec", "mmap"));
    int fd = open(path, O_RDWR);
    (void)!ftruncate(fd, 4096);
    begin("mmap");
    void *map = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    DO("mmap_exec", "mmap", me, map == MAP_FAILED ? -errno : 0, path);
    map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    DO("mmap_exec", "mprotect", me, got(mprotect(map, 4096, PROT_READ | PROT_EXEC)), "-");
    begin("anonymous");
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    DO("mmap_exec", "anonymous", me, map == MAP_FAILED ? -errno : 0, "-");
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *(char *)map = 1;
    DO("mmap_exec", "mprotect-written", me, got(mprotect(map, 4096, PROT_READ | PROT_EXEC)), "-");
    DO("mmap_exec", "mprotect-again", me, got(mprotect(map, 4096, PROT_READ | PROT_WRITE | PROT_EXEC)), "-");
    long memory;
    DO("memfd_create", "memfd_create", me, (memory = got(memfd_create("matrix", MFD_CLOEXEC))) < 0 ? memory : 0, "1");
    DO("memfd_create", "huge", me, (memory = got(memfd_create("matrix", MFD_HUGETLB))) < 0 ? memory : 0, "4");
    DO("memfd_create", "int80", me, (memory = int80(356, lows("matrix"), MFD_ALLOW_SEALING, 0, 0, 0)) < 0 ? memory : 0, "2");
    char key[32], buffer[8], at[32];
    pid_t child = target(key);
    struct iovec here = {buffer, 8}, there = {(void *)(uintptr_t)key, 8};
    DO("ptrace", "process_vm_readv", me, got(process_vm_readv(child, &here, 1, &there, 1, 0)), key);
    snprintf(at, sizeof at, "/proc/%d/mem", child);
    begin("proc-mem");
    long mem = got(open(at, O_RDONLY));
    say("ptrace", "proc-mem", me, mem < 0 ? mem : 0, key);
    say("open", "proc-mem", me, mem < 0 ? mem : 0, at);
    DO("ptrace", "ptrace", me, got(ptrace(PTRACE_SEIZE, child, 0, 0)), key);
    kill(child, SIGKILL);
    wait_for(child);
    fflush(stdout);
    if (!(child = fork())) {
        DO("ptrace", "traceme", getpid(), got(ptrace(PTRACE_TRACEME, 0, 0, 0)), "matrix");
        _exit(0);
    }
    wait_for(child);
}

static void text_to(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    (void)!write(fd, text, strlen(text));
    close(fd);
}

/* Of a packet socket, which only the root of a network namespace may have. */
static long send_packet(void) {
    struct ifreq request = {.ifr_name = "lo"};
    int s = socket(AF_PACKET, SOCK_DGRAM, 0);
    ioctl(s, SIOCGIFFLAGS, &request);
    request.ifr_flags |= IFF_UP;
    ioctl(s, SIOCSIFFLAGS, &request);
    struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(0x0800), .sll_ifindex = if_nametoindex("lo"), .sll_halen = 6};
    begin("packet");
    return got(sendto(s, "sent", 4, 0, AT(a)));
}

static void privilege(void) {
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        char map[32];
        int uid = getuid(), gid = getgid();
        DO("creds-refused", "setuid", getpid(), got(setuid(0)), "-");
        DO("creds", "user-namespace", getpid(), got(unshare(CLONE_NEWUSER)), "-");
        snprintf(map, sizeof map, "0 %d 1", uid);
        text_to("/proc/self/uid_map", map);
        text_to("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "0 %d 1", gid);
        text_to("/proc/self/gid_map", map);
        DO("creds", "setuid", getpid(), got(syscall(SYS_setuid, 0)), "-");
        DO("creds", "setresgid", getpid(), got(syscall(SYS_setresgid, 0, 0, 0)), "-");
        unshare(CLONE_NEWNS | CLONE_NEWNET);
        long sent = send_packet();
        say("send", "packet", getpid(), sent, "-");
        DO("tamper", "setns", getpid(), got(setns(open("/proc/self/ns/mnt", O_RDONLY), CLONE_NEWNS)), "setns");
        DO("tamper", "mount", getpid(), got(mount("none", "/tmp", "tmpfs", 0, "")), "sb_mount");
        int tree = syscall(SYS_open_tree, AT_FDCWD, "/usr", OPEN_TREE_CLONE);
        DO("tamper", "move_mount", getpid(), got(syscall(SYS_move_mount, tree, "", AT_FDCWD, "/mnt", MOVE_MOUNT_F_EMPTY_PATH)), "move_mount");
        struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NOSUID};
        DO("tamper", "mount_setattr", getpid(), got(syscall(SYS_mount_setattr, AT_FDCWD, "/mnt", 0, &attributes, sizeof attributes)), "mount_setattr");
        DO("tamper", "umount", getpid(), got(umount2("/tmp", MNT_DETACH)), "sb_umount");
        DO("tamper", "pivot_root", getpid(), got(syscall(SYS_pivot_root, "/mnt", "/mnt")), "sb_pivotroot");
        DO("tamper", "chroot", getpid(), got(chroot("/")), "path_chroot");
        struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct none[2] = {0};
        DO("creds", "capset", getpid(), got(syscall(SYS_capset, &head, none)), "-");
        _exit(0);
    }
    wait_for(child);
}

static void tampering(pid_t me) {
    union bpf_attr attr = {0};
    DO("tamper", "bpf", me, got(syscall(SYS_bpf, BPF_PROG_GET_NEXT_ID, &attr, sizeof attr)), "bpf");
    struct perf_event_attr perf = {.size = sizeof perf, .type = PERF_TYPE_SOFTWARE, .exclude_kernel = 1};
    DO("tamper", "perf_event_open", me, got(syscall(SYS_perf_event_open, &perf, 0, -1, -1, 0)), "capable");
    DO("tamper", "init_module", me, got(syscall(SYS_init_module, "", 0, "")), "capable");
    DO("tamper", "delete_module", me, got(syscall(SYS_delete_module, "erofs", O_NONBLOCK)), "capable");
    DO("tamper", "reboot", me, got(syscall(SYS_reboot, 0xfee1dead, 672274793, 0x1234567, NULL)), "capable");
    DO("tamper", "kexec_load", me, got(syscall(SYS_kexec_load, 0, 0, NULL, 0)), "capable");
    DO("tamper", "syslog", me, got(syscall(SYS_syslog, 3, low(" ", 2), 1)), "capable");
}

int main(void) {
    pid_t me = getpid();
    if (!alone())
        return 2;
    mkdir(DIR, 0755);
    DO("ring", "io_uring", me, ring_open(), "-");
    opens("open", O_CREAT | O_WRONLY, me);
    opens("open-absent", O_RDONLY, me);
    writes(me);
    names(me);
    execs();
    forks();
    int connected = socket(AF_INET, SOCK_STREAM, 0);
    dups(connected);
    connects(me);
    servers(me);
    memory(me);
    privilege();
    tampering(me);
    return 0;
}
