/* Programs executed, processes started, ended and signalled, and what becomes descriptor 0. */
#include "matrix.h"

#include <arpa/inet.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <sched.h>
#include <spawn.h>
#include <sys/socket.h>

static char *no_env[] = {NULL};
static char self[128];

/* ---- executed ------------------------------------------------------------------------------- */

static void program(const char *path, const char *text) {
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0755);
    (void)!write(fd, text, strlen(text));
    close(fd);
}

#define LOADER "/lib64/ld-linux-x86-64.so.2"
#define NO_LOADER "/none4/ld-linux-x86-64.so.2"

/* A program of the system's that asks for a loader which is not there. */
static void without_loader(const char *path) {
    static char body[1 << 20];
    int from = open("/bin/true", O_RDONLY), to = open(path, O_CREAT | O_WRONLY, 0755);
    size_t size = read(from, body, sizeof body);
    char *loader = memmem(body, size, LOADER, sizeof LOADER);
    if (loader)
        memcpy(loader, NO_LOADER, sizeof NO_LOADER);
    (void)!write(to, body, size);
    close(from);
    close(to);
}

static const char *resolved(const char *path) {
    static char texts[2][4096];
    static int turn;
    const char *text = realpath(path, texts[turn++ % 2]);
    return text ? text : path;
}

/* Its arguments for a 32-bit call. */
static long words32(char **argv) {
    uint32_t words[3] = {lows(argv[0]), lows(argv[1]), 0};
    return low(words, sizeof words);
}

/* What each program is given, and where it begins. */
static char *given[] = {"MATRIX=given", "SECOND=", NULL};
#define WHERE "\tenv=MATRIX=given,SECOND=\tcwd=/tmp/matrix"

static void *exec_of_thread(void *unused) {
    char *argv[] = {"/bin/true", "thread", NULL};
    execve(argv[0], argv, given);
    return unused;
}
static void *failed_exec_of_thread(void *unused) {
    char *argv[] = {DIR "absent", "thread", NULL};
    DO("exec-absent", "thread", got(execve(argv[0], argv, given)), "asked=%s\targv=%s,thread" WHERE, argv[0], argv[0]);
    return unused;
}

/* In a child, which tells of its own failure: a success cannot return. */
#define EXEC(action, road, file, call, ...)                           \
    do {                                                              \
        char *argv[] = {(char *)(file), road, NULL};                  \
        fflush(stdout);                                               \
        start(road);                                                  \
        pid_t child = fork();                                         \
        if (!child) {                                                 \
            announce();                                               \
            long failed = call;                                       \
            say(action, road, failed, __VA_ARGS__);                   \
            _exit(77);                                                \
        }                                                             \
        if (wait_for(child) != 77)                                    \
            tell(action, road, child, 0, __VA_ARGS__);                \
        begin("matrix");                                              \
    } while (0)
#define EXECUTED(file, words, road) "path=%s\tasked=%s\targv=%s," road WHERE, resolved(file), words, file

static void execs(void) {
    EXEC("exec", "execve", "/bin/true", got(execve(argv[0], argv, given)), EXECUTED("/bin/true", "/bin/true", "execve"));
    EXEC("exec", "execveat", "/bin/true", got(syscall(SYS_execveat, AT_FDCWD, argv[0], argv, given, 0)), EXECUTED("/bin/true", "/bin/true", "execveat"));
    /* The descriptor is the same in the child. */
    int fd = open("/bin/true", O_PATH);
    char by_fd[32], link[40];
    snprintf(by_fd, sizeof by_fd, "/dev/fd/%d", fd);
    EXEC("exec", "execveat-empty", "/bin/true", got(syscall(SYS_execveat, fd, "", argv, given, AT_EMPTY_PATH)), EXECUTED("/bin/true", by_fd, "execveat-empty"));
    close(fd);
    fd = open("/bin/true", O_RDONLY);
    snprintf(by_fd, sizeof by_fd, "/dev/fd/%d", fd);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    EXEC("exec", "fexecve", "/bin/true", got(fexecve(fd, argv, given)), EXECUTED("/bin/true", by_fd, "fexecve"));
    EXEC("exec", "proc-self-fd", "/bin/true", got(execve(link, argv, given)), EXECUTED("/bin/true", link, "proc-self-fd"));
    close(fd);
    EXEC("exec", "int80", "/bin/true", int80(11, lows(argv[0]), words32(argv), words32(given)), EXECUTED("/bin/true", "/bin/true", "int80"));
    EXEC("exec", "int80-execveat", "/bin/true", int80(358, AT_FDCWD, lows(argv[0]), words32(argv), words32(given), 0), EXECUTED("/bin/true", "/bin/true", "int80-execveat"));
    EXEC("exec", "thread", "/bin/true", ((void)argv, in_thread(exec_of_thread), -EEXIST), EXECUTED("/bin/true", "/bin/true", "thread"));
    program(DIR "script", "#!/bin/sh\nexit 0\n");
    EXEC("exec", "script", DIR "script", got(execve(argv[0], argv, given)), "path=%s\tasked=%s\ttarget=%s\targv=/bin/sh,%s,script" WHERE, DIR "script", DIR "script", resolved("/bin/sh"), DIR "script");
    EXEC("exec", "relative", "script", got(execve(argv[0], argv, given)), "path=%s\tasked=script\ttarget=%s\targv=/bin/sh,script,relative" WHERE, DIR "script", resolved("/bin/sh"));
    EXEC("exec", "dotted", DIR "../matrix/script", got(execve(argv[0], argv, given)), "path=%s\tasked=%s\ttarget=%s\targv=/bin/sh,%s,dotted" WHERE, DIR "script", argv[0], resolved("/bin/sh"), argv[0]);
    fflush(stdout);
    start("posix_spawn");
    /* Itself: the new program says which process it is. */
    char *argv[] = {self, "posix_spawn", NULL};
    pid_t child = 0;
    int failed = posix_spawn(&child, self, NULL, NULL, argv, given);
    wait_for(child);
    tell("exec", "posix_spawn", child, -failed, EXECUTED(self, self, "posix_spawn"));
}

/* A program that gets its owner's rights; there is no user of the road's name, so it ends at once. */
static void set_user_id(void) {
    const char *programs[] = {"/usr/bin/su", "/usr/bin/newgrp", "/usr/bin/passwd", NULL};
    struct stat info = {0};
    int i = 0;
    while (programs[i] && (stat(programs[i], &info) || !(info.st_mode & S_ISUID)))
        i++;
    /* All that root may have here. */
    unsigned long long caps = 0;
    for (int cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            caps |= 1ull << cap;
    const char *file = programs[i] ? programs[i] : "/no-set-user-id-program";
    EXEC("exec", "set-user-id", file, got(execve(argv[0], argv, given)), "path=%s\tasked=%s\tmode=%d", file, file, info.st_mode & 07777);
    EXEC("creds", "set-user-id", file, got(execve(argv[0], argv, given)), "mode=%d\tflags=%llu\tuids=%d,%d,%d", info.st_uid, caps, getuid(), info.st_uid, info.st_uid);
}

#define ABSENT(file, road) "asked=%s\targv=%s," road WHERE, file, file
static void failed_execs(void) {
    EXEC("exec-absent", "execve", DIR "absent", got(execve(argv[0], argv, given)), ABSENT(DIR "absent", "execve"));
    EXEC("exec-absent", "execveat", DIR "absent", got(syscall(SYS_execveat, AT_FDCWD, argv[0], argv, given, 0)), ABSENT(DIR "absent", "execveat"));
    EXEC("exec-absent", "int80", DIR "absent", int80(11, lows(argv[0]), words32(argv), words32(given)), ABSENT(DIR "absent", "int80"));
    EXEC("exec-absent", "int80-execveat", DIR "absent", int80(358, AT_FDCWD, lows(argv[0]), words32(argv), words32(given), 0), ABSENT(DIR "absent", "int80-execveat"));
    EXEC("exec-absent", "wide-number", DIR "absent", wide(SYS_execve, PTR(argv[0]), PTR(argv), PTR(given)), ABSENT(DIR "absent", "wide-number"));
    in_thread(failed_exec_of_thread);
    close(open(DIR "not-executable", O_CREAT | O_WRONLY, 0644));
    EXEC("exec-denied", "execve", DIR "not-executable", got(execve(argv[0], argv, given)), ABSENT(DIR "not-executable", "execve"));
    program(DIR "no-format", "neither\n");
    EXEC("exec-format", "execve", DIR "no-format", got(execve(argv[0], argv, given)), "path=%s\tasked=%s\targv=%s,execve" WHERE, argv[0], argv[0], argv[0]);
    EXEC("exec-format", "relative", "no-format", got(execve(argv[0], argv, given)), "path=%s\tasked=no-format\targv=no-format,relative" WHERE, DIR "no-format");
    /* The program is there, and what it is run by is not. */
#define NO_INTERPRETER(file, target, road) "path=%s\tasked=%s\ttarget=%s\targv=%s," road WHERE, file, file, target, file
    program(DIR "no-interpreter", "#!" DIR "absent\n");
    EXEC("exec-no-interpreter", "script", DIR "no-interpreter", got(execve(argv[0], argv, given)), NO_INTERPRETER(DIR "no-interpreter", DIR "absent", "script"));
    program(DIR "no-second-interpreter", "#!" DIR "no-interpreter\n");
    EXEC("exec-no-interpreter", "script-of-script", DIR "no-second-interpreter", got(execve(argv[0], argv, given)), NO_INTERPRETER(DIR "no-second-interpreter", DIR "absent", "script-of-script"));
    without_loader(DIR "no-loader");
    EXEC("exec-no-interpreter", "program", DIR "no-loader", got(execve(argv[0], argv, given)), NO_INTERPRETER(DIR "no-loader", NO_LOADER, "program"));
}

static void execs_of_memory(void) {
    int memory = memfd_create("payload", 0);
    int from = open("/bin/true", O_RDONLY);
    char body[1 << 16];
    for (ssize_t size; (size = read(from, body, sizeof body)) > 0;)
        (void)!write(memory, body, size);
    close(from);
    char link[40], by_fd[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", memory);
    snprintf(by_fd, sizeof by_fd, "/dev/fd/%d", memory);
#define OF_MEMORY(words) "path=/memfd:payload (deleted)\tasked=%s\tnlink=0", words
    EXEC("exec-memfd", "proc-self-fd", link, got(execve(argv[0], argv, no_env)), OF_MEMORY(link));
    EXEC("exec-memfd", "execveat-empty", link, got(syscall(SYS_execveat, memory, "", argv, no_env, AT_EMPTY_PATH)), OF_MEMORY(by_fd));
    EXEC("exec-memfd", "int80-execveat", link, int80(358, memory, lows(""), words32(argv), 0, AT_EMPTY_PATH), OF_MEMORY(by_fd));
    close(memory);
}

/* ---- started, ended ------------------------------------------------------------------------- */

static int nothing(void *unused) {
    (void)unused;
    announce();
    return 5;
}

#define FORK_WITH(road, caps, call)                                                              \
    do {                                                                                         \
        unsigned long long all = caps;                                                           \
        fflush(stdout);                                                                          \
        start(road);                                                                             \
        pid_t child = call;                                                                      \
        if (!child) {                                                                            \
            announce();                                                                          \
            _exit(5);                                                                            \
        }                                                                                        \
        long status = child < 0 ? 0 : wait_for(child);                                           \
        say("fork", road, child < 0 ? child : 0, "other=%d\tmode=%d\tflags=%llu", child, getuid(), all); \
        tell("exit", road, child, status, "%s", "");                                             \
    } while (0)
#define FORK(road, call) FORK_WITH(road, 0, call)

static void *fork_of_thread(void *unused) {
    FORK("thread", fork());
    return unused;
}
static void *exit_of_thread(void *unused) {
    _exit(5);
    return unused;
}

static void forks(void) {
    static char stack[1 << 16];
    struct clone_args args = {.exit_signal = SIGCHLD};
    FORK("fork", fork());
    FORK("vfork", vfork());
    FORK("clone", clone(nothing, stack + sizeof stack, SIGCHLD, NULL));
    FORK("clone3", (pid_t)syscall(SYS_clone3, &args, sizeof args));
    FORK("int80", (pid_t)int80(2));
    FORK("int80-clone", (pid_t)int80(120, SIGCHLD));
    FORK("int80-clone3", (pid_t)int80(435, low(&args, sizeof args), sizeof args));
    in_thread(fork_of_thread);
    args.flags = CLONE_NEWUSER;
    FORK_WITH("user-namespace", all_capabilities(), (pid_t)syscall(SYS_clone3, &args, sizeof args));
    fflush(stdout);
    start("signal");
    pid_t child = fork();
    if (!child) {
        announce();
        raise(SIGKILL);
    }
    tell("exit", "signal", child, wait_for(child), "%s", "");
    /* The last thread is not the one that leaves. */
    start("by-thread");
    child = fork();
    if (!child) {
        announce();
        in_thread(exit_of_thread);
    }
    tell("exit", "by-thread", child, wait_for(child), "%s", "");
}

/* A process makes a brother: to the kernel that one is a child of the maker's parent, which waits for it. On
 * record it is of the maker's line, and in its tree. */
static void brothers(void) {
    int told[2], go[2];
    char byte;
    pid_t brother = 0;
    (void)!(pipe(told) || pipe(go));
    fflush(stdout);
    pid_t maker = fork();
    if (!maker) {
        announce();
        begin("clone-parent");
        (void)!read(go[0], &byte, 1);
        brother = got(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0));
        if (!brother) {
            announce();
            _exit(5);
        }
        (void)!write(told[1], &brother, sizeof brother);
        (void)!read(go[0], &byte, 1);
        _exit(0);
    }
    start("clone-parent");
    (void)!write(go[1], "", 1);
    (void)!read(told[0], &brother, sizeof brother);
    long status = brother < 0 ? 0 : wait_for(brother);
    tell("fork", "clone-parent", maker, brother < 0 ? brother : 0, "other=%d\tmode=%d\tflags=0\ttree=1", brother, getuid());
    tell("exit", "clone-parent", brother, status, "parent=%d\ttree=1", maker);
    (void)!write(go[1], "", 1);
    wait_for(maker);
    for (int i = 0; i < 2; i++) {
        close(told[i]);
        close(go[i]);
    }
}

/* ---- signalled ------------------------------------------------------------------------------ */

#define SIGNAL(road, call) DO("signal", road, call, "other=%d\tsignal=%d", other, SIGWINCH)

static pid_t other;
static void *signal_of_thread(void *unused) {
    SIGNAL("thread", got(kill(other, SIGWINCH)));
    return unused;
}

static void signals(void) {
    other = target();
    siginfo_t info = {.si_signo = SIGWINCH, .si_code = SI_QUEUE};
    SIGNAL("kill", got(kill(other, SIGWINCH)));
    SIGNAL("tgkill", got(syscall(SYS_tgkill, other, other, SIGWINCH)));
    SIGNAL("sigqueue", got(syscall(SYS_rt_sigqueueinfo, other, SIGWINCH, &info)));
    int pidfd = syscall(SYS_pidfd_open, other, 0);
    SIGNAL("pidfd", got(syscall(SYS_pidfd_send_signal, pidfd, SIGWINCH, NULL, 0)));
    SIGNAL("int80", int80(37, other, SIGWINCH));
    SIGNAL("int80-tgkill", int80(270, other, other, SIGWINCH));
    SIGNAL("int80-pidfd", int80(424, pidfd, SIGWINCH, 0, 0));
    in_thread(signal_of_thread);
    DO("signal", "ending", got(kill(other, SIGTERM)), "other=%d\tsignal=%d", other, SIGTERM);
    close(pidfd);
    end_target(other);
    DO("signal-denied", "kill", got(kill(1, SIGTERM)), "signal=%d", SIGTERM);
}

/* ---- descriptor 0 --------------------------------------------------------------------------- */

static long pass(int fd) {
    int pair[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec vec = {&byte, 1};
    struct msghdr message = {.msg_iov = &vec, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    sendmsg(pair[0], &message, 0);
    close(0);
    return got(recvmsg(pair[1], &message, 0)) < 0 ? -errno : 0;
}

/* A shell on a socket begins with this. In a child, which keeps its own descriptors. */
#define DUP_AS(road, call, ...)             \
    do {                                    \
        fflush(stdout);                     \
        pid_t child = fork();               \
        if (!child) {                       \
            announce();                     \
            DO("dup", road, call, __VA_ARGS__); \
            _exit(0);                       \
        }                                   \
        wait_for(child);                    \
    } while (0)
#define DUP_TO(road, old, fields, call) \
    DUP_AS(road, call, "fds=%d:0\tfamily=%d\tsocktype=%d%s", old, AF_INET, SOCK_STREAM, fields)
#define DUP(road, old, call) DUP_TO(road, old, "\taddr=127.0.0.1:2100", call)

static int peer;
static void *dup_of_thread(void *unused) {
    DO("dup", "thread", got(dup2(peer, 0)), "fds=%d:0\taddr=127.0.0.1:2100", peer);
    return unused;
}
static void dup_in_thread(void) { in_thread(dup_of_thread); }

static void dup_absent(void) {
    DO("dup-absent", "dup2", got(dup2(1000, 0)), "fds=1000:0");
    DO("dup-absent", "int80", int80(63, 1000, 0), "fds=1000:0");
}

/* By a process that shares the descriptors, before the cell begins: it is told when a program is executed. */
static void dup_shared(void) {
    int ready[2], go[2];
    char byte;
    (void)!(pipe(ready) || pipe(go));
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        announce();
        pid_t other = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
        if (!other)
            _exit(dup2(peer, 0));
        wait_for(other);
        (void)!write(ready[1], "", 1);
        begin("shared");
        (void)!read(go[0], &byte, 1);
        execl("/bin/true", "true", NULL);
        _exit(1);
    }
    (void)!read(ready[0], &byte, 1);
    start("shared");
    (void)!write(go[1], "", 1);
    long ended = wait_for(child);
    tell("dup", "shared", child, ended, "fds=-1:0\tfamily=%d\tsocktype=%d\taddr=127.0.0.1:2100", AF_INET, SOCK_STREAM);
}

static int dups(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(2100), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    peer = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 5) || connect(peer, (struct sockaddr *)&a, sizeof a))
        return 5;
    close(0);
    if (open(DIR "written-over", O_CREAT | O_WRONLY, 0644) != 0)
        return 6;
    DUP("dup2", peer, got(dup2(peer, 0)));
    DUP("dup3", peer, got(dup3(peer, 0, 0)));
    DUP("int80", peer, int80(63, peer, 0));
    DUP("int80-dup3", peer, int80(330, peer, 0, 0));
    DUP("dup2-written", peer, ({ (void)!write(0, "x", 1); got(dup2(peer, 0)); }));
    DUP("dup-after-close", -1, (close(0), got(dup(peer))));
    DUP("int80-dup", -1, (close(0), int80(41, peer)));
    DUP("fcntl", -1, (close(0), got(fcntl(peer, F_DUPFD, 0))));
    DUP("int80-fcntl64", -1, (close(0), int80(221, peer, F_DUPFD, 0)));
    DUP("scm_rights", -1, pass(peer));
    DUP("pidfd_getfd", -1, ({ int pidfd = syscall(SYS_pidfd_open, getpid(), 0); close(0); got(syscall(SYS_pidfd_getfd, pidfd, peer, 0)); }));
    DUP("int80-pidfd_getfd", -1, ({ int pidfd = syscall(SYS_pidfd_open, getpid(), 0); close(0); int80(438, pidfd, peer, 0); }));
    dup_shared();
    DUP_TO("socket", -1, "", (close(0), got(socket(AF_INET, SOCK_STREAM, 0))));
    DUP_TO("accept", -1, "", (close(0), got(accept4(listener, NULL, NULL, 0))));
    DUP_AS("pipe", ({ int ends[2]; close(0); got(pipe(ends)); }), "fds=-1:0\tmode=%d", S_IFIFO | 0600);
    DUP_AS("open", ({ close(0); got(open("/dev/null", O_RDONLY)); }), "fds=-1:0\tmode=%d", S_IFCHR | 0666);
    return !(in_child(dup_in_thread) && in_child(dup_absent));
}

int main(int argc, char **argv) {
    if (argc > 1) {
        announce();
        return 0;
    }
    int stopped = prepare();
    if (stopped)
        return stopped;
    snprintf(self, sizeof self, "%s", realpath(argv[0], NULL));
    execs();
    set_user_id();
    failed_execs();
    execs_of_memory();
    forks();
    brothers();
    signals();
    return dups();
}
