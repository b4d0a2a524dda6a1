/* Makes events of every family as fast as it can, between two marks, and says how many:
 *
 *     burst SECONDS SETTLE LENGTH
 *
 * as many seconds, with two processes; then it is quiet for SETTLE seconds, so that the second mark finds
 * room. LENGTH is that of the names that are asked for in vain. The marks are two directories; a line
 *
 *     FAMILY EVENTS
 *
 * for each family is the number of events that lie between them.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "guest.h"

enum { FILES, PROCESSES, PRIVILEGES, MEMORY, NETWORK, TAMPERING, FAMILIES };
static const char *const names[] = {"file", "process", "privilege", "memory", "network", "tampering"};
enum { WORKERS = 2, RARELY = 64 };
/* Of each worker, in memory that they share with the one who adds up. */
static unsigned long (*counts)[FAMILIES];

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void work(unsigned long *count, double end, const char *absent, int number) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char directory[64], file[64];
    snprintf(directory, sizeof directory, "/tmp/burst-%d", number);
    snprintf(file, sizeof file, "/tmp/burst-written-%d", number);
    int null = open("/dev/null", O_RDONLY);
    count[FILES]++;
    for (unsigned long round = 0; now() < end; round++) {
        for (int i = 0; i < 24; i++) (void)!open(absent, O_RDONLY);
        mkdir(directory, 0700);
        rmdir(directory);
        /* What is written is kept by the probes until it is closed. */
        int written = open(file, O_CREAT | O_WRONLY, 0600);
        (void)!write(written, "burst", 5);
        close(written);
        count[FILES] += 28;
        dup2(null, 0);
        kill(getppid(), SIGURG);
        count[PROCESSES] += 2;
        int socket_ = socket(AF_INET, SOCK_DGRAM, 0);
        (void)!connect(socket_, (struct sockaddr *)&address, sizeof address);
        (void)!send(socket_, "burst", 5, 0);
        close(socket_);
        count[NETWORK] += 3;
        close(memfd_create("burst", 0));
        void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        /* A change to what can be executed is held until its result is known; one to what cannot is no event. */
        mprotect(map, 4096, PROT_READ | PROT_WRITE);
        mprotect(map, 4096, PROT_READ | PROT_EXEC);
        mprotect(map, 4096, PROT_READ | PROT_WRITE);
        munmap(map, 4096);
        count[MEMORY] += 3;
        union bpf_attr attr = {0};
        syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attr, sizeof attr);
        count[TAMPERING]++;
        if (round % RARELY) continue;
        pid_t child = fork();
        if (!child) _exit(unshare(CLONE_NEWUSER) ? 1 : 0);
        int status = 1;
        waitpid(child, &status, 0);
        count[PROCESSES] += 2;
        count[PRIVILEGES] += !status;
    }
}

int main(int argc, char **argv) {
    if (!alone() || argc != 4) return 2;
    double seconds = atof(argv[1]);
    int settle = atoi(argv[2]), length = atoi(argv[3]);
    /* No longer than a path may be, of names no longer than one may be. */
    char absent[4096] = "/tmp/absent";
    for (int at = strlen(absent); at < length && at < 4000; at++) absent[at] = at % 200 ? 'a' : '/';
    counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    signal(SIGURG, SIG_IGN);
    mkdir("/tmp/burst-begin", 0700);
    double end = now() + seconds;
    for (int i = 0; i < WORKERS; i++)
        if (!fork()) {
            work(counts[i], end, absent, i);
            _exit(0);
        }
    while (wait(NULL) > 0) {}
    sleep(settle);
    mkdir("/tmp/burst-end", 0700);
    for (int family = 0; family < FAMILIES; family++) {
        unsigned long sum = family == PROCESSES ? 2 * WORKERS : 0;
        for (int i = 0; i < WORKERS; i++) sum += counts[i][family];
        printf("%s %lu\n", names[family], sum);
    }
    return 0;
}
