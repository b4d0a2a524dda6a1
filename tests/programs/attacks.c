/* Attacks what watches it, as an ordinary user can: the agent, its probes, their buffers, its port and its
 * resources; most of it once more as root of a user namespace, in steps that begin with "u-". Says what came
 * of each attempt, a line each on standard output,
 *
 *     STEP RESULT NUMBER TEXT
 *
 * RESULT is what the system call returned, or a negative errno. The doing thread is named after the step,
 * so a step has 15 letters at most.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "guest.h"

#define PLACE "/tmp/attacks"
/* More files than the probes remember of those that are written to and not closed. */
#define FILES 1500

/* What the names of steps begin with. */
static const char *where = "";

static void try(const char *step) {
    char name[32];
    snprintf(name, sizeof name, "%s%s", where, step);
    begin(name);
}

static void say(const char *step, long result, long number, const char *text) {
    printf("%s%s %ld %ld %s\n", where, step, result, number, *text ? text : "-");
    fflush(stdout);
    begin("attacks");
}

#define TRY(step, call)                \
    do {                               \
        try(step);                     \
        long result_ = call;           \
        say(step, result_, 0, "");     \
    } while (0)

static long opened(const char *path, int flags) {
    long fd = got(open(path, flags));
    if (fd >= 0) close(fd);
    return fd < 0 ? fd : 0;
}

/* The first process of the PID namespace is the agent's, and the only one that has a name here. */
static void processes(void) {
    char buffer[8];
    siginfo_t info = {.si_code = SI_QUEUE};
    struct iovec here = {buffer, 8}, there = {(void *)processes, 8};
    TRY("kill", got(kill(1, SIGKILL)));
    TRY("stop", got(kill(1, SIGSTOP)));
    TRY("tgkill", got(syscall(SYS_tgkill, 1, 1, SIGKILL)));
    TRY("tkill", got(syscall(SYS_tkill, 1, SIGKILL)));
    TRY("sigqueue", got(syscall(SYS_rt_sigqueueinfo, 1, SIGKILL, &info)));
    int pidfd = syscall(SYS_pidfd_open, 1, 0);
    TRY("pidfd-signal", got(syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0)));
    TRY("pidfd-getfd", got(syscall(SYS_pidfd_getfd, pidfd, 0, 0)));
    TRY("ptrace-attach", got(ptrace(PTRACE_ATTACH, 1, 0, 0)));
    TRY("ptrace-seize", got(ptrace(PTRACE_SEIZE, 1, 0, 0)));
    TRY("vm-read", got(process_vm_readv(1, &here, 1, &there, 1, 0)));
    TRY("vm-write", got(process_vm_writev(1, &here, 1, &there, 1, 0)));
    TRY("proc-mem", opened("/proc/1/mem", O_RDWR));
    TRY("proc-root", opened("/proc/1/root/etc/hostname", O_RDONLY));
    TRY("nice", got(setpriority(PRIO_PROCESS, 0, -20)));
    /* Of the agent's processes there is none but that one. */
    long others = 0;
    DIR *processes = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(processes));) {
        long pid = atol(entry->d_name);
        others += pid > 1 && pid != getpid();
    }
    closedir(processes);
    say("processes", 0, others, "");
    long descriptors = 0;
    for (int fd = 3; fd < 256; fd++) descriptors += fd != pidfd && fcntl(fd, F_GETFD) >= 0;
    say("descriptors", 0, descriptors, "");
    close(pidfd);
}

static void probes(void) {
    static const struct { const char *step; int command; } commands[] = {
        {"bpf-next-prog", BPF_PROG_GET_NEXT_ID}, {"bpf-next-map", BPF_MAP_GET_NEXT_ID},
        {"bpf-prog", BPF_PROG_GET_FD_BY_ID},     {"bpf-map", BPF_MAP_GET_FD_BY_ID},
        {"bpf-link", BPF_LINK_GET_FD_BY_ID},     {"bpf-detach", BPF_LINK_DETACH},
        {"bpf-read", BPF_MAP_LOOKUP_ELEM},       {"bpf-load", BPF_PROG_LOAD},
        {"bpf-create", BPF_MAP_CREATE},
    };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        union bpf_attr attr = {0};
        if (commands[i].command == BPF_MAP_CREATE)
            attr.map_type = BPF_MAP_TYPE_ARRAY, attr.key_size = attr.value_size = 4, attr.max_entries = 1;
        try(commands[i].step);
        long result = got(syscall(SYS_bpf, commands[i].command, &attr, sizeof attr));
        say(commands[i].step, result, commands[i].command, "");
    }
    struct perf_event_attr perf = {.size = sizeof perf, .type = PERF_TYPE_SOFTWARE, .exclude_kernel = 1};
    TRY("perf", got(syscall(SYS_perf_event_open, &perf, 0, -1, -1, 0)));
    TRY("load-module", got(syscall(SYS_init_module, "", 0, "")));
    TRY("unload-module", got(syscall(SYS_delete_module, "erofs", O_NONBLOCK)));
    TRY("reboot", got(syscall(SYS_reboot, 0xfee1dead, 672274793, 0x1234567, NULL)));
    TRY("kexec", got(syscall(SYS_kexec_load, 0, 0, NULL, 0)));
    TRY("kernel-log", got(syscall(SYS_syslog, 3, (char[16]){0}, 16)));
    TRY("debugfs", got(mount("none", "/tmp", "debugfs", 0, NULL)));
    TRY("tracefs", opened("/sys/kernel/tracing/kprobe_events", O_WRONLY));
    /* Names of probes would show that there are any. */
    char line[256];
    long shown = 0;
    FILE *symbols = fopen("/proc/kallsyms", "r");
    while (symbols && fgets(line, sizeof line, symbols)) shown += strstr(line, "[bpf]") != NULL;
    if (symbols) fclose(symbols);
    say("symbols", 0, shown, "");
}

static void out_of_reach(void) {
    TRY("port", opened("/dev/vport0p1", O_RDWR));
    TRY("port-node", got(mknod(PLACE "/port", S_IFCHR | 0600, makedev(241, 1))));
    TRY("memory-node", opened("/dev/mem", O_RDWR));
    TRY("disk-node", opened("/dev/vda", O_RDONLY));
    TRY("cgroup", opened("/sys/fs/cgroup/cgroup.procs", O_WRONLY));
    TRY("limits", opened("/sys/fs/cgroup/stage/memory.max", O_WRONLY));
    TRY("sysctl", opened("/proc/sys/kernel/unprivileged_bpf_disabled", O_WRONLY));
}

/* What is the package's own. */
static void resources(void) {
    char name[64], page[4096];
    memset(page, 'x', sizeof page);
    begin("fill");
    int fd = open("/dev/shm/fill", O_CREAT | O_WRONLY, 0600);
    long written = 0, last;
    while ((last = got(write(fd, page, sizeof page))) > 0) written += last;
    close(fd);
    unlink("/dev/shm/fill");
    say("fill", last, written, "");
    begin("made");
    snprintf(name, sizeof name, PLACE "/made");
    long made = got(mknod(name, S_IFREG | 0600, 0));
    say("made", made, 0, name);
}

static void buffers(void) {
    char name[64];
    struct rlimit most;
    static int files[FILES];
    /* Many files written to and kept open: one more than is remembered is written to unseen. */
    getrlimit(RLIMIT_NOFILE, &most);
    most.rlim_cur = most.rlim_max;
    setrlimit(RLIMIT_NOFILE, &most);
    pid_t child = fork();
    if (!child) {
        begin("keep-open");
        for (int i = 0; i < FILES; i++) {
            snprintf(name, sizeof name, PLACE "/open-%d", i);
            files[i] = open(name, O_CREAT | O_WRONLY, 0600);
        }
        for (int i = 0; i < FILES; i++)
            for (int turn = 0; turn < 2; turn++) (void)!write(files[i], "kept", 4);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    say("keep-open", 0, FILES, "");
    /* A file that only a ring holds is closed by the kernel, in nobody's name, after its writer ended. */
    child = fork();
    if (!child) {
        begin("ring");
        int fd = open(PLACE "/ring", O_CREAT | O_WRONLY, 0600);
        long result = ring_open();
        if (!result) result = got(syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_FILES, &fd, 1));
        close(fd);
        if (result >= 0)
            result = uring(SQE(IORING_OP_WRITE, .fd = 0, .flags = IOSQE_FIXED_FILE, .addr = PTR("ringed"), .len = 6));
        say("ring", result, 0, PLACE "/ring");
        _exit(0);
    }
    waitpid(child, NULL, 0);
    /* A file that another one closes, who shares the descriptors: its writer's next one may lie at the same
     * address. */
    int ready[2], go[2];
    char byte;
    (void)!(pipe(ready) || pipe(go));
    int fd = open(PLACE "/shared", O_CREAT | O_WRONLY, 0600);
    child = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
    if (!child) {
        begin("shared");
        (void)!(write(fd, "shared", 6) + write(ready[1], "", 1) + read(go[0], &byte, 1));
        fd = open(PLACE "/shared-2", O_CREAT | O_WRONLY, 0600);
        long result = got(write(fd, "stored", 6));
        close(fd);
        say("shared", result, 0, PLACE "/shared-2");
        _exit(0);
    }
    (void)!read(ready[0], &byte, 1);
    close(fd);
    (void)!write(go[1], "", 1);
    waitpid(child, NULL, 0);
}

static void text_to(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    (void)!write(fd, text, strlen(text));
    close(fd);
}

/* All capabilities, a mount table and a network of its own. */
static long enter(void) {
    char map[32];
    int uid = getuid(), gid = getgid();
    long result = got(unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET));
    snprintf(map, sizeof map, "0 %d 1", uid);
    text_to("/proc/self/uid_map", map);
    text_to("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "0 %d 1", gid);
    text_to("/proc/self/gid_map", map);
    return result;
}

/* File systems that show the kernel's own. Of the probes' one, each mount may be empty; a control group of
 * one's own shows its files, which are root's. */
static void mounts(void) {
    mkdir(PLACE "/mount", 0755);
    TRY("mount-trace", got(mount("none", PLACE "/mount", "tracefs", 0, NULL)));
    TRY("mount-cgroup", got(mount("none", PLACE "/mount", "cgroup2", 0, NULL)));
    TRY("new-cgroup", got(unshare(CLONE_NEWCGROUP)));
    TRY("mount-own", got(mount("none", PLACE "/mount", "cgroup2", 0, NULL)));
    TRY("own-limit", opened(PLACE "/mount/memory.max", O_WRONLY));
    TRY("own-procs", opened(PLACE "/mount/cgroup.procs", O_WRONLY));
    TRY("own-group", got(mkdir(PLACE "/mount/more", 0755)));
    mkdir(PLACE "/bpf", 0755);
    TRY("mount-bpf", got(mount("none", PLACE "/bpf", "bpf", 0, NULL)));
}

static void as_root_inside(void) {
    where = "u-";
    TRY("enter", enter());
    say("user", getuid(), 0, "");
    processes();
    probes();
    out_of_reach();
    mounts();
    say("end", 0, 0, "");
}

int main(void) {
    if (!alone()) return 2;
    mkdir(PLACE, 0755);
    processes();
    probes();
    out_of_reach();
    resources();
    /* Before there are descriptors to inherit. */
    pid_t child = fork();
    if (!child) {
        as_root_inside();
        _exit(0);
    }
    waitpid(child, NULL, 0);
    buffers();
    say("end", 0, 0, "");
    return 0;
}
