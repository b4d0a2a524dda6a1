/* Is given credentials that it never asked for: a test writes them into the kernel's memory, where it finds
 * this program's by sets of capabilities that nobody else holds. First come more permitted capabilities, of
 * which the program makes use, then the ids of root, with which it opens a file of root's.
 *
 *     run-taken FIRST SECOND FILE
 *
 * The sets are hexadecimal. While it waits it makes no event: it looks by calls that are none.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What has not come after so many seconds never will. */
#define PATIENCE 100

static unsigned long long first, second;
static const char *file;
static struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};

/* Holds this set of capabilities and no others. */
static long hold(unsigned long long set) {
    unsigned low = set, high = set >> 32;
    struct __user_cap_data_struct words[2] = {{.effective = low, .permitted = low},
                                              {.effective = high, .permitted = high}};
    return syscall(SYS_capset, &head, words);
}

static int may_hold_second(void) {
    struct __user_cap_data_struct words[2] = {0};
    syscall(SYS_capget, &head, words);
    unsigned long long permitted = (unsigned long long)words[1].permitted << 32 | words[0].permitted;
    return (permitted & second) == second;
}

static int may_read_file(void) { return !faccessat(AT_FDCWD, file, R_OK, AT_EACCESS); }

static int comes(int (*given)(void)) {
    for (int i = 0; i < PATIENCE * 20; i++) {
        if (given()) return 1;
        usleep(50000);
    }
    return 0;
}

static int without(const char *what) {
    fprintf(stderr, "run-taken was not given %s\n", what);
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 4) return without("three arguments");
    first = strtoull(argv[1], NULL, 16);
    second = strtoull(argv[2], NULL, 16);
    file = argv[3];
    if (unshare(CLONE_NEWUSER) || hold(first)) return without("a user namespace and its capabilities");
    if (!comes(may_hold_second) || hold(second)) return without("more permitted capabilities");
    if (!comes(may_read_file) || open(file, O_RDONLY) < 0) return without("the ids of root");
    return 0;
}
