/* Memory and other processes' memory, credentials, and what touches the watcher. */
#include "matrix.h"

#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <linux/mount.h>
#include <linux/perf_event.h>
#include <arpa/inet.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

/* ---- memory --------------------------------------------------------------------------------- */

#define PROT "flags=%d"
enum { RX = PROT_READ | PROT_EXEC, RW = PROT_READ | PROT_WRITE, RWX = RW | PROT_EXEC };

static long mapped(void *map) { return map == MAP_FAILED ? -errno : 0; }
/* Also an address below 4 GiB, which as a number may look negative. */
static long mapped32(long map) { return map < 0 && map > -4096 ? map : 0; }

static void *memory_of_thread(void *unused) {
    DO("mmap_exec", "thread", mapped(mmap(NULL, 4096, RWX, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)), PROT, RWX);
    DO("memfd_create", "thread", made(got(memfd_create("thread", 0))), "path=memfd:thread\tflags=0");
    return unused;
}

static void mappings(void) {
    const char *path = name("mmap_exec", "mmap");
    int fd = open(path, O_CREAT | O_RDWR, 0644);
    (void)!ftruncate(fd, 4096);
    DO("mmap_exec", "mmap", mapped(mmap(NULL, 4096, RX, MAP_PRIVATE, fd, 0)), "path=%s\t" PROT, path, RX);
    DO("mmap_exec", "int80", mapped32(int80(192, 0, 4096, RX, MAP_PRIVATE, fd, 0)), "path=%s\t" PROT, path, RX);
    DO("mmap_exec", "wide-number", mapped32(wide(SYS_mmap, 0, 4096, RX, MAP_PRIVATE, fd, 0)), "path=%s\t" PROT, path, RX);
    void *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    DO("mmap_exec", "mprotect", got(mprotect(map, 4096, RX)), "path=%s\t" PROT, path, RX);
    map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_32BIT, fd, 0);
    DO("mmap_exec", "int80-mprotect", int80(125, PTR(map), 4096, RX), "path=%s\t" PROT, path, RX);
    map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    DO("mmap_exec", "pkey_mprotect", got(syscall(SYS_pkey_mprotect, map, 4096, RX, -1)), "path=%s\t" PROT, path, RX);
    DO("mmap_exec", "anonymous", mapped(mmap(NULL, 4096, RWX, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)), PROT, RWX);
    map = mmap(NULL, 4096, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *(char *)map = 1;
    DO("mmap_exec", "written", got(mprotect(map, 4096, RX)), PROT, RX);
    DO("mmap_exec", "written-again", got(mprotect(map, 4096, RWX)), PROT, RWX);
    DO("mmap_exec", "readable", mapped(mmap(NULL, 4096, RX, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)), PROT, RX);
    /* What is root's, and what is not that any more. */
    int zero = open("/dev/zero", O_RDWR), system = open("/etc/passwd", O_RDONLY);
    DO("mmap_exec", "device", mapped(mmap(NULL, 4096, RWX, MAP_PRIVATE, zero, 0)), "path=/dev/zero\t" PROT, RWX);
    DO("mmap_exec", "system-writable", mapped(mmap(NULL, 4096, RWX, MAP_PRIVATE, system, 0)), "path=/etc/passwd\t" PROT, RWX);
    map = mmap(NULL, 4096, RW, MAP_PRIVATE, system, 0);
    *(char *)map = 1;
    DO("mmap_exec", "system-changed", got(mprotect(map, 4096, RX)), "path=/etc/passwd\t" PROT, RX);
    close(zero);
    close(system);
    int shared = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0700);
    DO("mmap_exec", "shmat", mapped(shmat(shared, NULL, SHM_EXEC)), PROT, RWX);
    shmctl(shared, IPC_RMID, NULL);
    /* Of a file that was opened for writing only. */
    int blind = open(path, O_WRONLY);
    DO("mmap_exec-denied", "mmap", mapped(mmap(NULL, 4096, RX, MAP_PRIVATE, blind, 0)), "path=%s\t" PROT, path, RX);
    close(blind);
    DO("memfd_create", "memfd_create", made(got(memfd_create("matrix", MFD_CLOEXEC))), "path=memfd:matrix\tflags=%d", MFD_CLOEXEC);
    DO("memfd_create", "huge", made(got(memfd_create("huge", MFD_HUGETLB))), "path=memfd:huge\tflags=%d", MFD_HUGETLB);
    DO("memfd_create", "int80", made(int80(356, lows("short"), MFD_ALLOW_SEALING)), "path=memfd:short\tflags=%d", MFD_ALLOW_SEALING);
    in_thread(memory_of_thread);
}

static char secret[8], taken[8];
static void *access_of_thread(void *child) {
    struct iovec here = {taken, 8}, there = {secret, 8};
    pid_t other = *(pid_t *)child;
    DO("ptrace", "thread", got(process_vm_readv(other, &here, 1, &there, 1, 0)), "other=%d", other);
    return NULL;
}

static void accesses(void) {
    pid_t other = target();
    struct iovec here = {taken, 8}, there = {secret, 8};
    uint32_t here32[2] = {low(taken, 8), 8}, there32[2] = {here32[0], 8};
    char at[32];
    DO("ptrace", "process_vm_readv", got(process_vm_readv(other, &here, 1, &there, 1, 0)), "other=%d", other);
    DO("ptrace", "process_vm_writev", got(process_vm_writev(other, &here, 1, &there, 1, 0)), "other=%d", other);
    DO("ptrace", "int80-readv", int80(347, other, low(here32, 8), 1, low(there32, 8), 1, 0), "other=%d", other);
    snprintf(at, sizeof at, "/proc/%d/mem", other);
    start("proc-mem");
    long mem = made(got(open(at, O_RDONLY)));
    say("ptrace", "proc-mem", mem, "other=%d", other);
    say("open", "proc-mem", mem, "path=%s\tasked=%s", at, at);
    int pidfd = syscall(SYS_pidfd_open, other, 0);
    DO("ptrace", "pidfd_getfd", made(got(syscall(SYS_pidfd_getfd, pidfd, 1, 0))), "other=%d", other);
    close(pidfd);
    pthread_t thread;
    pthread_create(&thread, NULL, access_of_thread, &other);
    pthread_join(thread, NULL);
    DO("ptrace", "seize", got(ptrace(PTRACE_SEIZE, other, 0, 0)), "other=%d", other);
    end_target(other);
    other = target();
    DO("ptrace", "attach", got(ptrace(PTRACE_ATTACH, other, 0, 0)), "other=%d", other);
    end_target(other);
    other = target();
    DO("ptrace", "int80-attach", int80(26, PTRACE_ATTACH, other, 0, 0), "other=%d", other);
    end_target(other);
    DO("ptrace-denied", "attach", got(ptrace(PTRACE_ATTACH, 1, 0, 0)), "flags=18");
}

static void lets_itself_be_traced(void) {
    DO("ptrace", "traceme", got(ptrace(PTRACE_TRACEME, 0, 0, 0)), "other=%d", getppid());
}
static void lets_itself_be_traced_32(void) {
    DO("ptrace", "int80-traceme", int80(26, PTRACE_TRACEME, 0, 0, 0), "other=%d", getppid());
}

/* ---- credentials ---------------------------------------------------------------------------- */

static void text_to(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    (void)!write(fd, text, strlen(text));
    close(fd);
}

/* Its ids become those of root, in there. */
static void map_ids(int uid, int gid) {
    char map[32];
    snprintf(map, sizeof map, "0 %d 1", uid);
    text_to("/proc/self/uid_map", map);
    text_to("/proc/self/setgroups", "deny");
    snprintf(map, sizeof map, "0 %d 1", gid);
    text_to("/proc/self/gid_map", map);
}

#define CREDS(uid, caps) "mode=%d\tflags=%llu\tpermitted=%llu\tuids=%d,%d,%d", uid, caps, caps, uid, uid, uid

/* What was held is held from then on, too. */
#define REFUSED_CREDS(what, road, call) DO("creds-refused", road, call, "asked=" what "\t" CREDS(uid, 0ull))

static void refused_ids(void) {
    int uid = getuid();
    REFUSED_CREDS("setuid", "setuid", got(setuid(0)));
    REFUSED_CREDS("setreuid", "setreuid", got(setreuid(0, 0)));
    REFUSED_CREDS("setresuid", "setresuid", got(setresuid(0, 0, 0)));
    REFUSED_CREDS("setgid", "setgid", got(setgid(0)));
    REFUSED_CREDS("setregid", "setregid", got(setregid(0, 0)));
    REFUSED_CREDS("setresgid", "setresgid", got(setresgid(0, 0, 0)));
    REFUSED_CREDS("setuid", "int80-setuid", int80(213, 0));
    /* They return what was held before, and no error. */
#define REFUSED_ID(road, id, call) REFUSED_CREDS(road, road, (call) == (id) ? -EPERM : 0)
    REFUSED_ID("setfsuid", uid, setfsuid(0));
    REFUSED_ID("setfsgid", (int)getgid(), setfsgid(0));
    gid_t group = 0;
    uint16_t group16 = 0;
    REFUSED_CREDS("setgroups", "setgroups", got(syscall(SYS_setgroups, 1, &group)));
    REFUSED_CREDS("setgroups", "int80-setgroups", int80(206, 1, low(&group, sizeof group)));
    REFUSED_CREDS("setgroups", "int80-setgroups16", int80(81, 1, low(&group16, sizeof group16)));
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct all[2] = {{.effective = ~0u, .permitted = ~0u}};
    REFUSED_CREDS("capset", "capset", got(syscall(SYS_capset, &head, all)));
    REFUSED_CREDS("capset", "int80-capset", int80(185, low(&head, sizeof head), low(all, sizeof all)));
}

static void capabilities(void) {
    unsigned long long caps = all_capabilities();
    int uid = getuid(), gid = getgid();
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {0};
    DO("creds", "unshare", got(unshare(CLONE_NEWUSER)), CREDS(uid, caps));
    map_ids(uid, gid);
    DO("creds", "setuid", got(syscall(SYS_setuid, 0)), CREDS(uid, caps));
    DO("creds", "setresgid", got(syscall(SYS_setresgid, 0, 0, 0)), CREDS(uid, caps));
    DO("creds", "capset", got(syscall(SYS_capset, &head, none)), CREDS(uid, 0ull));
}

static void capabilities_32(void) {
    unsigned long long caps = all_capabilities();
    int uid = getuid();
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {0};
    DO("creds", "int80-unshare", int80(310, CLONE_NEWUSER), CREDS(uid, caps));
    DO("creds", "int80-capset", int80(185, low(&head, sizeof head), low(none, sizeof none)), CREDS(uid, 0ull));
}

/* Enters the user namespace of a child: one event of credentials and one of the namespace. */
#define ENTER(road, call)                                                        \
    do {                                                                         \
        unsigned long long caps = all_capabilities();                            \
        int ready[2], uid = getuid();                                            \
        char byte;                                                               \
        (void)!pipe(ready);                                                      \
        pid_t child = fork();                                                    \
        if (!child) {                                                            \
            unshare(CLONE_NEWUSER);                                              \
            (void)!write(ready[1], "", 1);                                       \
            for (;;) pause();                                                    \
        }                                                                        \
        (void)!read(ready[0], &byte, 1);                                         \
        int pidfd = syscall(SYS_pidfd_open, child, 0);                           \
        start(road);                                                             \
        long done = call;                                                        \
        say("creds", road, done, CREDS(uid, caps));                              \
        say("tamper", road, done, "asked=setns\tflags=%d", CLONE_NEWUSER);       \
        end_target(child);                                                       \
    } while (0)
static void joining(void) { ENTER("setns-user", got(setns(pidfd, CLONE_NEWUSER))); }
static void joining_32(void) { ENTER("int80-setns-user", int80(346, pidfd, CLONE_NEWUSER)); }

/* ---- tampering ------------------------------------------------------------------------------ */

static void root_of_namespaces(int flags) {
    int uid = getuid(), gid = getgid();
    if (unshare(CLONE_NEWUSER))
        _exit(6);
    map_ids(uid, gid);
    if (unshare(flags))
        _exit(7);
}

#define LAYERS DIR "layers/"
#define STACK DIR "overlay/"

/* What is mapped is a file of a layer, with another inode; on record is the one that was opened, by the file
 * system's device too, whose number has other bits in the kernel. */
static void map_stacked(const char *layer, const char *path, int flags) {
    struct stat info = {0};
    int fd = open(path, flags, 0644);
    fstat(fd, &info);
    unsigned device = major(info.st_dev) << 20 | minor(info.st_dev);
    char road[32];
#define STACKED "path=%s\tinode=%lu\tdev=%u\t" PROT, path, info.st_ino, device, RX
    snprintf(road, sizeof road, "mprotect-%s", layer);
    void *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    DO("mmap_exec", road, got(mprotect(map, 4096, RX)), STACKED);
    snprintf(road, sizeof road, "mmap-%s", layer);
    DO("mmap_exec", road, mapped(mmap(NULL, 4096, RX, MAP_PRIVATE, fd, 0)), STACKED);
    close(fd);
}

/* Of an overlay that a user mounts: a file of the layer below, and one of the layer above. */
static void overlays(void) {
    root_of_namespaces(CLONE_NEWNS);
    const char *directories[] = {LAYERS, LAYERS "lower", LAYERS "upper", LAYERS "work", STACK};
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
        mkdir(directories[i], 0755);
    static const char *const below[] = {"below", "opened", "written"};
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        char path[64];
        snprintf(path, sizeof path, LAYERS "lower/%s", below[i]);
        int fd = open(path, O_CREAT | O_WRONLY, 0644);
        (void)!write(fd, path, sizeof path);
        close(fd);
    }
    /* Mounting it, the kernel opens a file of its own. */
    DO("tamper", "mount-overlay",
       got(mount("overlay", STACK, "overlay", 0, "lowerdir=" LAYERS "lower,upperdir=" LAYERS "upper,workdir=" LAYERS "work,userxattr")),
       "asked=sb_mount\tpath=" DIR "overlay\ttarget=overlay\tflags=0");
    /* Of the layer below: the kernel copies them to the one above first. */
    DO("open", "overlay-copied-up", made(open(STACK "opened", O_RDWR)), PATHS, STACK "opened", STACK "opened");
    WRITE_AT(STACK "written", "overlay-copied-up", text, 9, write(fd, text, 9));
    map_stacked("overlay-lower", STACK "below", O_RDONLY);
    map_stacked("overlay-upper", STACK "above", O_CREAT | O_RDWR);
}

/* Of a packet socket, which only the root of a network namespace may have. */
static void packets(void) {
    root_of_namespaces(CLONE_NEWNET);
    struct ifreq request = {.ifr_name = "lo"};
    int s = socket(AF_PACKET, SOCK_DGRAM, 0);
    ioctl(s, SIOCGIFFLAGS, &request);
    request.ifr_flags |= IFF_UP;
    ioctl(s, SIOCSIFFLAGS, &request);
    struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(0x0800), .sll_ifindex = if_nametoindex("lo"), .sll_halen = 6};
#define PACKET "family=17\tbytes=4\tdata=73656e74"
    DO("send", "packet", got(sendto(s, "sent", 4, 0, (struct sockaddr *)&a, sizeof a)), PACKET);
    struct iovec vec = {"sent", 4};
    struct msghdr message = {.msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &vec, .msg_iovlen = 1};
    struct mmsghdr two[] = {{.msg_hdr = message}, {.msg_hdr = message}};
    DO("send", "packet-sendmmsg-two", got(sendmmsg(s, two, 2, 0)) == 2 ? 4 : -errno, "events=2\t" PACKET);
}

#define TAMPER(what, road, call, ...) DO("tamper", road, call, "asked=" what __VA_ARGS__)
static struct mount_attr nosuid = {.attr_set = MOUNT_ATTR_NOSUID};

static void mounts(void) {
    root_of_namespaces(CLONE_NEWNS);
    TAMPER("setns", "setns", got(setns(open("/proc/self/ns/mnt", O_RDONLY), CLONE_NEWNS)), "\tflags=%d", CLONE_NEWNS);
    TAMPER("sb_mount", "mount", got(mount("none", "/srv", "tmpfs", 0, "")), "\tpath=/srv\ttarget=none\tflags=0");
    TAMPER("sb_mount", "bind", got(mount("/usr", "/mnt", NULL, MS_BIND, NULL)), "\tpath=/mnt\ttarget=/usr\tflags=%d", MS_BIND);
    TAMPER("mount_setattr", "mount_setattr", got(syscall(SYS_mount_setattr, AT_FDCWD, "/mnt", 0, &nosuid, sizeof nosuid)), "\tpath=/mnt");
    int tree = syscall(SYS_open_tree, AT_FDCWD, "/usr/share", OPEN_TREE_CLONE);
    TAMPER("move_mount", "move_mount", got(syscall(SYS_move_mount, tree, "", AT_FDCWD, "/opt", MOVE_MOUNT_F_EMPTY_PATH)), "\tpath=/opt\ttarget=share");
    int made = syscall(SYS_fsopen, "tmpfs", 0);
    syscall(SYS_fsconfig, made, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
    int mount = syscall(SYS_fsmount, made, 0, 0);
    TAMPER("move_mount", "fsmount", got(syscall(SYS_move_mount, mount, "", AT_FDCWD, "/media", MOVE_MOUNT_F_EMPTY_PATH)), "\tpath=/media\ttarget=/");
    TAMPER("sb_umount", "umount", got(umount2("/mnt", MNT_DETACH)), "\tpath=/mnt\tflags=%d", MNT_DETACH);
    /* Its own file system's handles a user may open: of directories. */
    struct { struct file_handle head; char bytes[MAX_HANDLE_SZ]; } handle = {.head.handle_bytes = MAX_HANDLE_SZ};
    int mount_id, there = open("/srv", O_RDONLY | O_DIRECTORY);
    mkdir("/srv/there", 0755);
    name_to_handle_at(AT_FDCWD, "/srv/there", &handle.head, &mount_id, 0);
    long opened;
    DO("open", "by-handle", (opened = got(open_by_handle_at(there, &handle.head, O_RDONLY | O_DIRECTORY))) < 0 ? opened : 0, "path=/srv/there\tflags=%d", O_RDONLY | O_DIRECTORY);
    TAMPER("sb_pivotroot", "pivot_root", got(syscall(SYS_pivot_root, "/srv", "/srv")), "\tpath=/srv");
}

static void mounts_32(void) {
    root_of_namespaces(CLONE_NEWNS);
    int here = open("/proc/self/ns/mnt", O_RDONLY);
    TAMPER("setns", "int80-setns", int80(346, here, CLONE_NEWNS), "\tflags=%d", CLONE_NEWNS);
    TAMPER("sb_mount", "int80-mount", int80(21, lows("none"), lows("/srv"), lows("tmpfs"), 0, lows("")), "\tpath=/srv\ttarget=none\tflags=0");
    TAMPER("mount_setattr", "int80-mount_setattr", int80(442, AT_FDCWD, lows("/srv"), 0, low(&nosuid, sizeof nosuid), sizeof nosuid), "\tpath=/srv");
    int tree = int80(428, AT_FDCWD, lows("/usr/share"), OPEN_TREE_CLONE);
    TAMPER("move_mount", "int80-move_mount", int80(429, tree, lows(""), AT_FDCWD, lows("/opt"), MOVE_MOUNT_F_EMPTY_PATH), "\tpath=/opt\ttarget=share");
    TAMPER("sb_umount", "int80-umount", int80(52, lows("/opt"), MNT_DETACH), "\tpath=/opt\tflags=%d", MNT_DETACH);
    TAMPER("sb_pivotroot", "int80-pivot_root", int80(217, lows("/srv"), lows("/srv")), "\tpath=/srv");
}

static void roots(void) {
    root_of_namespaces(CLONE_NEWNS);
    TAMPER("path_chroot", "chroot", got(chroot("/usr/share/../lib")), "\tpath=/usr/lib");
}
static void roots_32(void) {
    root_of_namespaces(CLONE_NEWNS);
    TAMPER("path_chroot", "int80-chroot", int80(61, lows("/usr/share/../lib")), "\tpath=/usr/lib");
}

/* What is refused for want of a capability: that is what is on record, with the number of the first
 * one that is asked for, and refused as any is. */
#define REFUSED(road, capability, call)                                                             \
    do {                                                                                            \
        start(road);                                                                                \
        long done = call;                                                                           \
        say("tamper-refused", road, done < 0 ? -EPERM : done, "asked=capable\tflags=%d", capability); \
    } while (0)

static void *tampering_of_thread(void *unused) {
    REFUSED("thread", CAP_SYS_BOOT, got(syscall(SYS_reboot, 0xfee1dead, 672274793, 0x1234567, NULL)));
    return unused;
}

static void refused(void) {
    union bpf_attr attr = {0};
    struct perf_event_attr perf = {.size = sizeof perf, .type = PERF_TYPE_SOFTWARE, .exclude_kernel = 1};
    TAMPER("bpf", "bpf", got(syscall(SYS_bpf, BPF_PROG_GET_NEXT_ID, &attr, sizeof attr)), "\tflags=%d", BPF_PROG_GET_NEXT_ID);
    TAMPER("bpf", "int80-bpf", int80(357, BPF_PROG_GET_NEXT_ID, low(&attr, sizeof attr), sizeof attr), "\tflags=%d", BPF_PROG_GET_NEXT_ID);
    REFUSED("perf_event_open", CAP_SYS_ADMIN, got(syscall(SYS_perf_event_open, &perf, 0, -1, -1, 0)));
    REFUSED("int80-perf_event_open", CAP_SYS_ADMIN, int80(336, low(&perf, sizeof perf), 0, -1, -1, 0));
    REFUSED("init_module", CAP_SYS_MODULE, got(syscall(SYS_init_module, "", 0, "")));
    REFUSED("int80-init_module", CAP_SYS_MODULE, int80(128, lows(""), 0, lows("")));
    REFUSED("finit_module", CAP_SYS_MODULE, got(syscall(SYS_finit_module, open("/bin/true", O_RDONLY), "", 0)));
    REFUSED("delete_module", CAP_SYS_MODULE, got(syscall(SYS_delete_module, "erofs", O_NONBLOCK)));
    REFUSED("int80-delete_module", CAP_SYS_MODULE, int80(129, lows("erofs"), O_NONBLOCK));
    REFUSED("reboot", CAP_SYS_BOOT, got(syscall(SYS_reboot, 0xfee1dead, 672274793, 0x1234567, NULL)));
    REFUSED("int80-reboot", CAP_SYS_BOOT, int80(88, 0xfee1dead, 672274793, 0x1234567, 0));
    REFUSED("kexec_load", CAP_SYS_BOOT, got(syscall(SYS_kexec_load, 0, 0, NULL, 0)));
    REFUSED("int80-kexec_load", CAP_SYS_BOOT, int80(283, 0, 0, 0, 0));
    REFUSED("syslog", CAP_SYSLOG, got(syscall(SYS_syslog, 3, low(" ", 2), 1)));
    REFUSED("int80-syslog", CAP_SYSLOG, int80(103, 3, low(" ", 2), 1));
    in_thread(tampering_of_thread);
}

/* Without a namespace of its own nobody may. */
static void refused_mounts(void) {
    int tree = open("/usr", O_PATH), here = open("/proc/self/ns/mnt", O_RDONLY);
    DO("tamper-refused", "mount", got(mount("none", "/srv", "tmpfs", 0, "")), "asked=sb_mount\tpath=/srv\ttarget=none\tflags=0");
    DO("tamper-refused", "setns", got(setns(here, CLONE_NEWNS)), "asked=setns\tflags=%d", CLONE_NEWNS);
    DO("tamper-refused", "mount_setattr", got(syscall(SYS_mount_setattr, AT_FDCWD, "/usr", 0, &nosuid, sizeof nosuid)), "asked=mount_setattr\tpath=/usr");
    REFUSED("chroot", CAP_SYS_CHROOT, got(chroot("/usr")));
    REFUSED("umount", CAP_SYS_ADMIN, got(umount2("/proc", MNT_DETACH)));
    REFUSED("pivot_root", CAP_SYS_ADMIN, got(syscall(SYS_pivot_root, "/usr", "/usr")));
    REFUSED("move_mount", CAP_SYS_ADMIN, got(syscall(SYS_move_mount, tree, "", AT_FDCWD, "/mnt", MOVE_MOUNT_F_EMPTY_PATH)));
    close(tree);
    close(here);
}

int main(void) {
    int stopped = prepare();
    if (stopped)
        return stopped;
    mappings();
    accesses();
    refused_mounts();
    refused();
    static void (*const children[])(void) = {
        lets_itself_be_traced, lets_itself_be_traced_32, refused_ids, capabilities, capabilities_32,
        joining, joining_32, packets, overlays, mounts, mounts_32, roots, roots_32,
    };
    for (size_t i = 0; i < sizeof children / sizeof *children; i++)
        if (!in_child(children[i])) {
            fprintf(stderr, "child %zu did not come to its end\n", i);
            return 5;
        }
    return 0;
}
