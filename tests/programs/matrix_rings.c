/* Rings of io_uring in other ways than the usual: made or entered by calls of 32 bits, with descriptors of their
 * own, looked after by a thread of the kernel's. */
#include "matrix.h"

/* ---- 32 bits -------------------------------------------------------------------------------- */

static long ring_enter_32(int fd, unsigned requests) {
    return int80(426, fd, requests, 1, IORING_ENTER_GETEVENTS, 0, 0);
}

/* Made by a call of 32 bits, it takes structures of 32 bits. */
static struct ring short_ring = {.enter = ring_enter_32};

static long short_ring_open(void) {
    struct io_uring_params none = {0}, *p = (struct io_uring_params *)low(&none, sizeof none);
    return ring_map(&short_ring, int80(425, 4, (long)p), p);
}

static void of_32_bits(void) {
    struct iovec pieces[] = {{NULL, 0}, {(void *)text, 1}, {(void *)text + 1, 8}};
    uint32_t pieces32[] = {0, 0, low(text, 1), 1, low(text + 1, 8), 8};
    /* How it was made counts, and not how it is entered. */
    struct ring made_32 = short_ring, entered_32 = ring;
    made_32.enter = ring_enter;
    entered_32.enter = ring_enter_32;
    const char *path = name("open", "int80-io_uring");
    DO("open", "int80-io_uring", made(uring_by(&short_ring, SQE(IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = PTR(path), .len = 0644, .open_flags = O_CREAT | O_WRONLY))), PATHS "\tflags=%d\tcreated=1\tmode=420", path, path, O_CREAT | O_WRONLY);
    path = name("open-absent", "int80-io_uring");
    DO("open-absent", "int80-io_uring", made(uring_by(&short_ring, SQE(IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = PTR(path)))), ASKED "\tflags=0", path);
    WRITE("int80-io_uring", uring_by(&short_ring, SQE(IORING_OP_WRITE, .fd = fd, .addr = low(text, 9), .len = 9)));
    WRITE("int80-io_uring-writev", uring_by(&short_ring, SQE(IORING_OP_WRITEV, .fd = fd, .addr = low(pieces32, sizeof pieces32), .len = 3)));
    WRITE("io_uring-made-by-int80", uring_by(&made_32, SQE(IORING_OP_WRITEV, .fd = fd, .addr = PTR(pieces32), .len = 3)));
    WRITE("io_uring-entered-by-int80", uring_by(&entered_32, SQE(IORING_OP_WRITEV, .fd = fd, .addr = PTR(pieces), .len = 3)));
}

/* ---- descriptors of its own ----------------------------------------------------------------- */

/* Waits until nobody has it open for writing any more: only then it may have a lease for reading. What a ring
 * holds it lets go when all that used it has ended. */
static void until_closed(const char *path) {
    int fd = open(path, O_RDONLY);
    for (int turn = 0; turn < 5000 && fcntl(fd, F_SETLEASE, F_RDLCK) && errno == EAGAIN; turn++)
        usleep(1000);
    close(fd);
}

/* The file is put into this slot of the ring, or into one that it chooses: no process has a descriptor of it. */
static void direct(const char *road, unsigned slot) {
    const char *path = name("open", road);
    start(road);
    long opened = uring(SQE(IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = PTR(path), .len = 0644, .open_flags = O_CREAT | O_WRONLY, .file_index = slot));
    say("open", road, made(opened), PATHS "\tflags=%d\tcreated=1\tmode=420", path, path, O_CREAT | O_WRONLY);
    unsigned index = slot == IORING_FILE_INDEX_ALLOC ? opened : slot - 1;
    start(road);
    long done = uring(SQE(IORING_OP_WRITE, .fd = index, .flags = IOSQE_FIXED_FILE, .addr = PTR(text), .len = 9));
    uring(SQE(IORING_OP_CLOSE, .file_index = index + 1));
    until_closed(path);
    say("write", road, done, "path=%s\tbytes=%ld\tdata=%s", path, done, hex(text, 9));
}

static void directs(void) {
    int slots[] = {-1, -1, -1, -1};
    syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_FILES, slots, 4);
    direct("io_uring-slot", 2);
    direct("io_uring-chosen-slot", IORING_FILE_INDEX_ALLOC);
}

/* ---- polled --------------------------------------------------------------------------------- */

static long ring_wake(int fd, unsigned requests) {
    return got(syscall(SYS_io_uring_enter, fd, requests, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP, NULL, 0));
}

static struct ring poller = {.enter = ring_wake};

static long poller_open(void) {
    struct io_uring_params p = {.flags = IORING_SETUP_SQPOLL, .sq_thread_idle = 1};
    return ring_map(&poller, got(syscall(SYS_io_uring_setup, 4, &p)), &p);
}

static const char *shared;
static void ask_poller(void) {
    if (uring_by(&poller, SQE(IORING_OP_MKDIRAT, .fd = AT_FDCWD, .addr = PTR(shared), .len = 0700)))
        _exit(1);
}

/* Who does it: the thread that looks for requests, or one that it has for what may take long. Both are the
 * kernel's own, and threads of the process that made the ring. */
#define BY_POLLER "\tthread=iou-sqp, other"
#define BY_WORKER "\tthread=iou-wrk, other"

static void polled(void) {
    /* Asked for relatively: below its own directory the kernel finds it at once. */
    const char *path = touch(name("open", "io_uring-polled"));
    start("io_uring-polled");
    long fd = uring_by(&poller, SQE(IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = PTR(relative(path)), .open_flags = O_WRONLY));
    say("open", "io_uring-polled", made(fd), PATHS "\tflags=%d\tcreated=0" BY_POLLER, path, relative(path), O_WRONLY);
    start("io_uring-polled");
    long done = uring_by(&poller, SQE(IORING_OP_WRITE, .fd = fd, .addr = PTR(text), .len = 9));
    uring_by(&poller, SQE(IORING_OP_CLOSE, .fd = fd));
    until_closed(path);
    say("write", "io_uring-polled", done, "path=%s\tbytes=%ld\tdata=%s" BY_POLLER, path, done, hex(text, 9));
    DO("unlink", "io_uring-polled", uring_by(&poller, SQE(IORING_OP_UNLINKAT, .fd = AT_FDCWD, .addr = PTR(path))), PATHS BY_WORKER, path, path);
    /* Another process writes the request into the memory that it shares: who made the ring does it. */
    shared = name("mkdir", "io_uring-shared");
    DO("mkdir", "io_uring-shared", in_child(ask_poller) ? 0 : -EIO, PATHS "\tmode=%d" BY_WORKER, shared, shared, 0700);
    close(poller.fd);
}

int main(void) {
    int stopped = prepare();
    if (stopped)
        return stopped;
    if (short_ring_open() < 0 || poller_open() < 0) {
        fprintf(stderr, "no such ring\n");
        return 5;
    }
    of_32_bits();
    directs();
    polled();
    return 0;
}
