/* What the programs of the matrix have in common. Each does actions that the probes record, by every
 * road that the kernel offers, and says what it did: a line per cell on standard output, with tabs,
 *
 *     CELL ACTION ROAD PID RESULT FIELD=VALUE...
 *
 * RESULT is what the call returned, or a negative errno; the fields are what the event has to say. A field
 * `events` says how many there are, and each of them has to say it.
 * Failed opens of names below MARK stand before and behind each cell, so that nothing in between is
 * overlooked, and tell which process has which number: inside its namespace nobody knows the outer
 * one. The doing thread is named after the road; road "thread" is a thread that is not the first, and a field
 * of that name says which of the kernel's does it.
 * What an ordinary user may not do is tried all the same: the attempt counts. Addresses of
 * documentation are connected to, so nothing is done where there is a network.
 */
#pragma once
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "guest.h"

#define DIR "/tmp/matrix/"
#define MARK DIR "mark/"

static char cell[32];

static void mark(const char *what, const char *which) {
    char path[64];
    snprintf(path, sizeof path, MARK "%s.%s", what, which);
    (void)open(path, O_RDONLY);
}

/* Says which process has this number; each does at its beginning. */
static void announce(void) {
    char number[16];
    snprintf(number, sizeof number, "%d", getpid());
    mark("pid", number);
}

static void start(const char *road) {
    static int number;
    snprintf(cell, sizeof cell, "%d.%d", getpid(), ++number);
    mark("begin", cell);
    begin(road);
}

/* Of a process that cannot say it itself. A cell may be told of more than once: then it has events of
 * several kinds. */
__attribute__((format(printf, 5, 6))) static void tell(const char *action, const char *road, pid_t pid,
                                                       long result, const char *fields, ...) {
    mark("end", cell);
    va_list values;
    va_start(values, fields);
    printf("%s\t%s\t%s\t%d\t%ld\t", cell, action, road, pid, result);
    vprintf(fields, values);
    printf("\n");
    va_end(values);
    fflush(stdout);
    begin("matrix");
}
#define say(action, road, result, ...) tell(action, road, getpid(), result, __VA_ARGS__)

/* A cell by itself; what follows the call is a format of fields and its values. */
#define DO(action, road, call, ...)              \
    do {                                         \
        start(road);                             \
        long result_ = call;                     \
        say(action, road, result_, __VA_ARGS__); \
    } while (0)

/* Where the call gives a descriptor, which is not an outcome. */
static long made(long fd) { return fd < 0 ? fd : 0; }

/* A name of its own for each cell. The last ones are kept: a cell may have several. */
static const char *name(const char *action, const char *road) {
    static char names[4][128];
    static int turn;
    char *here = names[turn++ % 4];
    snprintf(here, sizeof names[0], DIR "%s.%s", action, road);
    return here;
}

__attribute__((unused)) static const char *hex(const void *bytes, size_t size) {
    static char text[1024];
    *text = 0;
    for (size_t i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", ((const unsigned char *)bytes)[i]);
    return text;
}

/* ---- files ---------------------------------------------------------------------------------- */

#define ASKED "asked=%s"
#define PATHS "path=%s\tasked=%s"

/* As it is asked for from where the programs begin. */
__attribute__((unused)) static const char *relative(const char *path) { return path + strlen(DIR); }

__attribute__((unused)) static const char *touch(const char *path) {
    close(open(path, O_CREAT | O_WRONLY, 0644));
    return path;
}

static const char text[] = "#!written";

/* The file begins with `size` bytes of `head`; `done` is how many were written. */
#define WRITE_AT(place, road, head, size, call)                                                             \
    do {                                                                                                    \
        const char *path = place;                                                                           \
        start(road);                                                                                        \
        int fd = open(path, O_CREAT | O_RDWR, 0644);                                                        \
        long done = call;                                                                                   \
        close(fd);                                                                                          \
        say("write", road, done, "path=%s\tbytes=%ld\tdata=%s", path, done, hex(head, size)); \
    } while (0)
#define WRITE(road, call) WRITE_AT(name("write", road), road, text, 9, call)

/* ---- 32 bits -------------------------------------------------------------------------------- */

/* A 32-bit system call: its number and up to six arguments. Pointers must lie below 4 GiB, see low(). */
__attribute__((noinline)) static long call32(const long *c) {
    long result;
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
                     "push %%rbp\n\t"
                     "mov %[last], %%rbp\n\t"
                     "int $0x80\n\t"
                     "pop %%rbp\n\t"
                     "lea 128(%%rsp), %%rsp"
                     : "=a"(result)
                     : "a"(c[0]), "b"(c[1]), "c"(c[2]), "d"(c[3]), "S"(c[4]), "D"(c[5]), [last] "r"(c[6])
                     : "memory", "cc", "r8", "r9", "r10", "r11");
    return (int)result;
}
#define int80(...) call32((const long[7]){__VA_ARGS__})

/* A system call of 64 bits, as above, whose number goes on where the kernel does not look. */
__attribute__((noinline, unused)) static long call_wide(const long *c) {
    long result;
    register long r10 __asm__("r10") = c[4];
    register long r8 __asm__("r8") = c[5];
    register long r9 __asm__("r9") = c[6];
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(c[0] | 1l << 32), "D"(c[1]), "S"(c[2]), "d"(c[3]), "r"(r10), "r"(r8), "r"(r9)
                     : "memory", "cc", "rcx", "r11");
    return result;
}
#define wide(...) call_wide((const long[7]){__VA_ARGS__})

/* A copy below 4 GiB. */
static long low(const void *from, size_t size) {
    static char *page;
    static size_t used;
    if (!page)
        page = mmap(NULL, 1 << 18, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    char *at = page + used;
    used = (used + size + 15) & ~15ul;
    return (long)memcpy(at, from, size);
}
static long lows(const char *text) { return low(text, strlen(text) + 1); }

/* ---- processes ------------------------------------------------------------------------------ */

static long wait_for(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* In a user namespace of its own a process has them all. */
static unsigned long long all_capabilities(void) {
    int last = 0;
    FILE *file = fopen("/proc/sys/kernel/cap_last_cap", "r");
    if (!file || fscanf(file, "%d", &last) != 1)
        _exit(4);
    fclose(file);
    return (2ull << last) - 1;
}

/* Runs it in a thread that is not the first. */
static void in_thread(void *(*act)(void *)) {
    pthread_t thread;
    pthread_create(&thread, NULL, act, NULL);
    pthread_join(thread, NULL);
}

/* Runs it in a child, and says whether that came to its end. */
static int in_child(void (*act)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        announce();
        act();
        _exit(0);
    }
    return wait_for(child) == 0;
}

/* A child that waits to be done something to. */
static pid_t target(void) {
    int ready[2];
    char byte;
    (void)!pipe(ready);
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        announce();
        (void)!write(ready[1], "", 1);
        for (;;) pause();
    }
    (void)!read(ready[0], &byte, 1);
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void end_target(pid_t child) {
    kill(child, SIGKILL);
    wait_for(child);
}

/* What every program begins with: whether there is something that stops it. */
static int prepare(void) {
    if (!alone())
        return 2;
    mkdir(DIR, 0755);
    if (chdir(DIR) || ring_open()) {
        perror("no directory, or no io_uring");
        return 3;
    }
    announce();
    return 0;
}
