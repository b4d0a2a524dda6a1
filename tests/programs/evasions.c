/* Tries to do things unseen, or under another name than their own, and says what it really did: a line
 * each on standard output,
 *
 *     STEP RESULT INODE NAME
 *
 * RESULT is what the system call returned, or a negative errno; INODE is that of the object, 0 where it
 * has none; NAME is its true absolute path, or another fact, in hexadecimal. The doing thread is named
 * after the step.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/mount.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "guest.h"

#define PLACE "/tmp/evasions"
#define TRIES 300
#define EXECUTIONS 150

static void say(const char *step, long result, unsigned long inode, const char *format, ...) {
    char name[16384];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    printf("%s %ld %lu ", step, result, inode);
    for (int i = 0; i < length; i++) printf("%02x", (unsigned char)name[i]);
    printf("%s\n", length ? "" : "-");
    fflush(stdout);
}

static unsigned long inode_of(int fd) {
    struct stat found;
    return fd >= 0 && !fstat(fd, &found) ? found.st_ino : 0;
}

/* Opens `asked`, whose true name is `truth`. */
static void look_at(const char *step, int at, const char *asked, const char *truth) {
    begin(step);
    long fd = got(openat(at, asked, O_RDONLY));
    begin("evasions");
    say(step, fd < 0 ? fd : 0, inode_of(fd), "%s", truth);
    if (fd >= 0) close(fd);
}

static void make(const char *path) {
    int fd = open(path, O_CREAT | O_WRONLY, 0644);
    (void)!write(fd, "made", 4);
    close(fd);
}

static pid_t child_of(void) {
    fflush(stdout);
    return fork();
}

static int wait_for(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    return status;
}

/* ---- races ------------------------------------------------------------------------------------ */

static volatile int racing, turns;
static char shared_name[64];

static void *swap_memory(void *unused) {
    volatile char *last = shared_name + strlen(PLACE "/race/");
    for (; racing; turns++)
        for (const char *other = turns % 2 ? "one" : "two", *at = other; *at; at++) last[at - other] = *at;
    return unused;
}

static void *swap_links(void *unused) {
    prctl(PR_SET_NAME, "swapper");
    for (; racing; turns++) {
        (void)!symlink(turns % 2 ? "one" : "two", PLACE "/race/next");
        rename(PLACE "/race/next", PLACE "/race/link");
    }
    return unused;
}

static void *swap_files(void *unused) {
    prctl(PR_SET_NAME, "swapper");
    for (; racing; turns++)
        syscall(SYS_renameat2, AT_FDCWD, PLACE "/race/left", AT_FDCWD, PLACE "/race/right", 2 /* exchange */);
    return unused;
}

static void race(const char *step, void *(*swap)(void *), const char *path) {
    static unsigned long inodes[TRIES];
    static long results[TRIES];
    pthread_t swapper;
    racing = 1;
    turns = 0;
    pthread_create(&swapper, NULL, swap, NULL);
    begin(step);
    for (int i = 0; i < TRIES; i++) {
        /* Half of the tries begin in the middle of a turn, the others anywhere in it. */
        for (int seen = turns; i % 2 && turns == seen;) sched_yield();
        long fd = got(open(path, O_RDONLY));
        results[i] = fd < 0 ? fd : 0;
        inodes[i] = inode_of(fd);
        if (fd >= 0) close(fd);
    }
    begin("evasions");
    racing = 0;
    pthread_join(swapper, NULL);
    for (int i = 0; i < TRIES; i++) say(step, results[i], inodes[i], "");
}

static void races(void) {
    mkdir(PLACE "/race", 0755);
    make(PLACE "/race/one"); make(PLACE "/race/two"); make(PLACE "/race/left"); make(PLACE "/race/right");
    look_at("race-one", AT_FDCWD, PLACE "/race/one", PLACE "/race/one");
    look_at("race-two", AT_FDCWD, PLACE "/race/two", PLACE "/race/two");
    strcpy(shared_name, PLACE "/race/one");
    (void)!symlink("one", PLACE "/race/link");
    race("race-memory", swap_memory, shared_name);
    race("race-link", swap_links, PLACE "/race/link");
    race("race-exchange", swap_files, PLACE "/race/left");
}

/* ---- names ------------------------------------------------------------------------------------ */

static void below(const char *step, int levels, const char *component) {
    static char truth[16000];
    char longest[256];
    int size = snprintf(truth, sizeof truth, PLACE "/%s", step);
    mkdir(truth, 0755);
    (void)!chdir(truth);
    for (int i = 0; i < levels; i++) {
        mkdir(component, 0755);
        (void)!chdir(component);
        size += snprintf(truth + size, sizeof truth - size, "/%s", component);
    }
    memset(longest, 'n', 255);
    longest[255] = 0;
    begin(step);
    int fd = open(longest, O_CREAT | O_WRONLY, 0644);
    (void)!write(fd, "made", 4);
    unsigned long inode = inode_of(fd);
    long truncated = got(ftruncate(fd, 1));
    close(fd);
    long linked = got(link(longest, "linked"));
    begin("evasions");
    say(step, fd < 0 ? -1 : truncated | linked, inode, "%s/%s", truth, longest);
    (void)!chdir("/");
}

static void names(void) {
    static const char *const odd[] = {"new\nline", "bad\xff\xfe\xc3(utf8", "\x1b[2Jescape", " spaced ", "back\\xff",
                                      "\xf0\x9f\x90\x8d", NULL};
    char component[201], path[256], other[256];
    memset(component, 'd', 200);
    component[200] = 0;
    below("deep-fits", 15, component);
    below("deep-over", 30, component);
    below("deep-many", 40, "d");
    mkdir(PLACE "/names", 0755);
    for (int i = 0; odd[i]; i++) {
        snprintf(path, sizeof path, PLACE "/names/%s", odd[i]);
        snprintf(other, sizeof other, PLACE "/names/%s.moved", odd[i]);
        begin("name");
        int fd = open(path, O_CREAT | O_RDWR, 0755);
        (void)!write(fd, "#!/bin/sh\n", 10);
        unsigned long inode = inode_of(fd);
        close(fd);
        pid_t child = child_of();
        if (!child) {
            execl(path, path, odd[i], NULL);
            _exit(77);
        }
        long ran = wait_for(child);
        begin("name");
        long moved = got(rename(path, other));
        long gone = got(unlink(other));
        begin("evasions");
        say("name", ran | moved | gone, inode, "%s", path);
        begin(odd[i]);
        (void)!mkdir(path, 0700);
        begin("evasions");
    }
}

/* Names of every length that the probes look through by words, and some longer ones. */
static void lengths(void) {
    static char asked[4096];
    for (int length = 1; length < 4096; length += length < 280 ? 1 : 763) {
        for (int at = 0; at < length; at++) asked[at] = at % 128 == 127 ? '/' : 'a' + at % 26;
        asked[length] = 0;
        begin("length");
        long result = got(open(asked, O_RDONLY));
        begin("evasions");
        say("length", result, length, "%s", asked);
    }
}

/* The head that was written makes way for a hole. */
static void hollow(void) {
    begin("hollow");
    int fd = open(PLACE "/hollow", O_CREAT | O_RDWR, 0644);
    (void)!write(fd, "harmless", 8);
    long done = got(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
    close(fd);
    begin("evasions");
    say("hollow", done, 0, PLACE "/hollow");
}

/* ---- roads ------------------------------------------------------------------------------------ */

static void roads(void) {
    char asked[128], link[128];
    mkdir(PLACE "/real", 0755);
    mkdir(PLACE "/bound", 0755);
    make(PLACE "/real/target");
    const char *truth = PLACE "/real/target";
    int directory = open(PLACE "/real", O_RDONLY | O_DIRECTORY), here = open("/", O_PATH), bare = open(truth, O_PATH);
    look_at("road-root", AT_FDCWD, "/proc/self/root" PLACE "/real/target", truth);
    look_at("road-root-again", AT_FDCWD, "/proc/self/root/proc/self/root" PLACE "/real/target", truth);
    snprintf(asked, sizeof asked, "/proc/self/task/%d/root" PLACE "/real/target", (int)syscall(SYS_gettid));
    look_at("road-task-root", AT_FDCWD, asked, truth);
    snprintf(asked, sizeof asked, "/proc/self/fd/%d/target", directory);
    look_at("road-fd", AT_FDCWD, asked, truth);
    snprintf(asked, sizeof asked, "/dev/fd/%d", bare);
    look_at("road-dev-fd", AT_FDCWD, asked, truth);
    look_at("road-dirfd", directory, "target", truth);
    look_at("road-dirfd-up", here, "." PLACE "/real/../real/./target", truth);
    (void)!chdir(PLACE "/bound");
    look_at("road-cwd", AT_FDCWD, "/proc/self/cwd/../real//target", truth);
    (void)!chdir("/");
    (void)!symlink(truth, PLACE "/chain0");
    for (int i = 1; i < 45; i++) {
        snprintf(asked, sizeof asked, PLACE "/chain%d", i);
        snprintf(link, sizeof link, "chain%d", i - 1);
        (void)!symlink(link, asked);
    }
    look_at("road-chain", AT_FDCWD, PLACE "/chain30", truth);
    look_at("road-loop", AT_FDCWD, PLACE "/chain44", PLACE "/chain44");
    close(directory); close(here); close(bare);
}

/* What a user may do in a user namespace of its own. */
static void mounts(void) {
    const char *truth = PLACE "/real/target";
    pid_t child = child_of();
    if (child) {
        wait_for(child);
        return;
    }
    begin("namespace");
    say("namespace", got(unshare(CLONE_NEWUSER | CLONE_NEWNS)), 0, "");
    begin("mount-old");
    say("mount-old", got(mount(PLACE "/real", PLACE "/bound", NULL, MS_BIND, NULL)), 0, PLACE "/real");
    look_at("road-bound", AT_FDCWD, PLACE "/bound/target", truth);
    umount(PLACE "/bound");
    begin("mount-new");
    int tree = syscall(SYS_open_tree, AT_FDCWD, PLACE "/real", OPEN_TREE_CLONE);
    say("mount-new", got(syscall(SYS_move_mount, tree, "", AT_FDCWD, PLACE "/bound", MOVE_MOUNT_F_EMPTY_PATH)), 0, PLACE "/real");
    look_at("road-moved", AT_FDCWD, PLACE "/bound/target", truth);
    tree = syscall(SYS_open_tree, AT_FDCWD, PLACE "/real", OPEN_TREE_CLONE);
    look_at("road-detached", tree, "target", truth);
    mkdir(PLACE "/home", 0755);
    (void)!mount("/home/dev", PLACE "/home", NULL, MS_BIND, NULL);
    look_at("road-home", AT_FDCWD, PLACE "/home/.bashrc", "/home/dev/.bashrc");
    mkdir(PLACE "/stacked", 0755);
    begin("mount-stacked");
    say("mount-stacked", got(mount("overlay", PLACE "/stacked", "overlay", 0, "lowerdir=" PLACE "/real:" PLACE "/home,userxattr")), 0, PLACE "/real");
    look_at("road-stacked", AT_FDCWD, PLACE "/stacked/target", truth);
    child = child_of();
    if (!child) {
        begin("pivot");
        unshare(CLONE_NEWNS);
        (void)!mount(PLACE "/real", PLACE "/real", NULL, MS_BIND, NULL);
        (void)!chdir(PLACE "/real");
        say("pivot", got(syscall(SYS_pivot_root, ".", ".")), 0, PLACE "/real");
        look_at("road-pivot", AT_FDCWD, "/target", truth);
        _exit(0);
    }
    wait_for(child);
    begin("chroot");
    say("chroot", got(chroot(PLACE "/real")), 0, PLACE "/real");
    look_at("road-chroot", AT_FDCWD, "/target", truth);
    char *argv[] = {"/target", NULL};
    begin("exec-chroot");
    execv("/target", argv);
    _exit(0);
}

/* ---- processes -------------------------------------------------------------------------------- */

static void *outlive(void *unused) {
    (void)unused;
    usleep(100000);
    begin("hidden");
    make(PLACE "/hidden");
    syscall(SYS_exit_group, 9);
    return NULL;
}

static volatile int started;
static char race_number[16];

static void *execute(void *path) {
    char *argv[] = {path, race_number, NULL};
    while (!started) {}
    execv(path, argv);
    return NULL;
}

/* Two threads execute at once: one of them is ended by the other, in the middle of its call. */
static void exec_race(void) {
    for (int i = 0; i < EXECUTIONS; i++) {
        snprintf(race_number, sizeof race_number, "race-%d", i);
        pid_t child = child_of();
        if (!child) {
            pthread_t threads[2];
            begin("exec-race");
            pthread_create(&threads[0], NULL, execute, i % 2 ? "/bin/true" : "/bin/false");
            pthread_create(&threads[1], NULL, execute, i % 2 ? "/bin/false" : "/bin/true");
            started = 1;
            for (;;) pause();
        }
        say("exec-race", WEXITSTATUS(wait_for(child)), i, "");
    }
}

/* Arguments in mappings of three files, side by side, where nobody has looked yet: the list lies over the edge
 * between the first two, its last word over the other one. */
static char **unread_words(const char *first) {
    enum { PAGE = 4096, FILES = 3, LIST = PAGE - 2 * sizeof(char *) };
    static int number;
    const char *words[FILES] = {first, "unread", "over the edge"};
    const size_t places[FILES] = {PAGE + 128, PAGE + 256, 2 * PAGE - 4};
    char bytes[FILES * PAGE] = {0}, file[64];
    char *place = mmap(NULL, sizeof bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *list[FILES + 1] = {NULL};
    for (int i = 0; i < FILES; i++) {
        strcpy(bytes + places[i], words[i]);
        list[i] = place + places[i];
    }
    memcpy(bytes + LIST, list, sizeof list);
    for (int i = 0; i < FILES; i++) {
        snprintf(file, sizeof file, PLACE "/unread-%d", number++);
        int fd = open(file, O_CREAT | O_RDWR, 0644);
        (void)!write(fd, bytes + i * PAGE, PAGE);
        mmap(place + i * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
        close(fd);
    }
    return (char **)(place + LIST);
}

/* Programs that cannot be opened: the kernel gives up before it has read their arguments. */
static void unread(void) {
    static const char *const programs[] = {PLACE "/unread-absent", PLACE "/unread-denied"};
    char *none[] = {NULL};
    make(programs[1]);
    for (int i = 0; i < 2; i++) {
        char **words = unread_words(programs[i]);
        begin("unread-argv");
        long result = got(execve(programs[i], words, none));
        begin("evasions");
        say("unread-argv", result, 0, "%s", programs[i]);
    }
}

static void *doze(void *unused) {
    (void)unused;
    for (;;) pause();
    return NULL;
}

static void processes(void) {
    int ends[2];
    pthread_t thread;
    if (pipe(ends)) return;
    /* Twice forked, in a session of its own: whose child it is can no longer be asked. */
    if (!child_of()) {
        setsid();
        if (!child_of()) {
            begin("orphan");
            while (getppid() != 1) usleep(1000);
            make(PLACE "/orphaned");
            begin("evasions");
            (void)!write(ends[1], "x", 1);
            _exit(0);
        }
        _exit(0);
    }
    char byte;
    (void)!read(ends[0], &byte, 1);
    wait(NULL);
    pid_t child = child_of();
    if (!child) {
        /* The first thread ends, another goes on. */
        pthread_create(&thread, NULL, outlive, NULL);
        syscall(SYS_exit, 0);
    }
    say("hidden", WEXITSTATUS(wait_for(child)), 0, PLACE "/hidden");
    for (int i = 0; i < 40; i++) {
        child = child_of();
        if (!child) {
            begin("crowd");
            for (int j = 0; j < 8; j++) pthread_create(&thread, NULL, doze, NULL);
            begin("evasions");
            if (i % 2) _exit(3);
            kill(getpid(), SIGKILL);
            doze(NULL);
        }
        wait_for(child);
    }
    child = child_of();
    if (!child) {
        static const char *const costumes[] = {"kworker/0:1", "systemd", "", "pip\nx\xff", NULL};
        for (int i = 0; costumes[i]; i++) {
            prctl(PR_SET_NAME, costumes[i]);
            (void)!mkdir(PLACE "/costume", 0700);
        }
        _exit(0);
    }
    wait_for(child);
    say("costume", 0, 0, PLACE "/costume");
}

static void mark(int number) {
    char path[64];
    pid_t child = child_of();
    if (!child) {
        snprintf(path, sizeof path, PLACE "/reuse/%d", number);
        begin("reuse");
        close(open(path, O_CREAT | O_WRONLY, 0600));
        _exit(0);
    }
    wait_for(child);
}

/* Numbers of processes come round after some 32,000. */
static void reuse(void) {
    enum { FIRST = 40, SECOND = 500, RESERVED = 300 };
    long most = 0, made = 0;
    FILE *file = fopen("/proc/sys/kernel/pid_max", "r");
    if (!file || fscanf(file, "%ld", &most) != 1 || most > 40000) {
        say("reuse", -1, most, "");
        return;
    }
    fclose(file);
    mkdir(PLACE "/reuse", 0755);
    for (int i = 0; i < FIRST; i++) mark(i);
    /* A clone that fails late has had a number, and costs less than one that lives. */
    const long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PIDFD;
    for (; made < most - RESERVED - FIRST - SECOND / 2 - 50; made++)
        if (syscall(SYS_clone, flags, NULL, (int *)8, NULL, NULL) != -1 || errno != EFAULT) {
            say("reuse", got(-1), made, "");
            return;
        }
    for (int i = FIRST; i < FIRST + SECOND; i++) mark(i);
    say("reuse", FIRST + SECOND, made, "");
}

/* Ended after the program by the agent, or by nobody. */
static void leave_behind(void) {
    pid_t main = getpid();
    if (child_of()) return;
    setsid();
    if (child_of()) _exit(0);
    begin("left");
    /* The first process of a PID namespace is the only one that is left of its line. */
    while (!kill(main, 0)) usleep(10000);
    make(PLACE "/left");
    doze(NULL);
}

int main(void) {
    if (!alone()) return 2;
    mkdir(PLACE, 0755);
    races();
    names();
    lengths();
    hollow();
    roads();
    mounts();
    processes();
    exec_race();
    unread();
    reuse();
    leave_behind();
    say("end", 0, 0, "");
    return 0;
}
