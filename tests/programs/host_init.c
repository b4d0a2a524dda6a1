/* The first process of a machine whose kernel traces itself: the image under a writable layer, as root
 * has it on any Linux, and in it /files/script, which root runs. */
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int failed, const char *what) {
    if (failed) {
        perror(what);
        sleep(1);
        reboot(RB_AUTOBOOT);
    }
}

static void put(const char *kind, const char *from, const char *on, unsigned long flags, const char *data) {
    mkdir(on, 0755);
    must(mount(from, on, kind, flags, data), on);
}

static void load_modules(void) {
    char name[256], path[300];
    FILE *order = fopen("/modules/order", "r");
    must(!order, "/modules/order");
    while (fscanf(order, "%255s", name) == 1) {
        snprintf(path, sizeof path, "/modules/%s", name);
        int module = open(path, O_RDONLY);
        must(module < 0 || syscall(SYS_finit_module, module, "", 0), path);
        close(module);
    }
    fclose(order);
}

static void loopback_up(void) {
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int any = socket(AF_INET, SOCK_DGRAM, 0);
    must(ioctl(any, SIOCSIFFLAGS, &request), "lo");
    close(any);
}

static void enter_tree(void) {
    put("erofs", "/dev/vda", "/lower", MS_RDONLY, NULL);
    put("tmpfs", "tmpfs", "/rw", 0, "mode=755");
    mkdir("/rw/upper", 0755);
    mkdir("/rw/work", 0755);
    put("overlay", "overlay", "/tree", 0, "lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work");
    put("tmpfs", "tmpfs", "/tree/tmp", 0, "mode=1777");
    put(NULL, "/files", "/tree/mnt", MS_BIND, NULL);
    put(NULL, "/dev", "/tree/dev", MS_MOVE, NULL);
    put(NULL, "/proc", "/tree/proc", MS_MOVE, NULL);
    put(NULL, "/sys", "/tree/sys", MS_MOVE, NULL);
    put("devpts", "devpts", "/tree/dev/pts", 0, "ptmxmode=666");
    put("tmpfs", "tmpfs", "/tree/dev/shm", 0, "mode=1777");
    must(chdir("/tree") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"), "/tree");
}

int main(void) {
    put("devtmpfs", "devtmpfs", "/dev", 0, NULL);
    put("proc", "proc", "/proc", 0, NULL);
    put("sysfs", "sysfs", "/sys", 0, NULL);
    load_modules();
    loopback_up();
    enter_tree();
    pid_t script = fork();
    must(script < 0, "fork");
    if (!script) {
        execl("/bin/sh", "sh", "/mnt/script", NULL);
        must(1, "/mnt/script");
    }
    while (wait(NULL) != script)
        ;
    sync();
    reboot(RB_AUTOBOOT);
}
