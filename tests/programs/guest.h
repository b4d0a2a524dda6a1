/* What the programs that run in the guest have in common. */
#pragma once
#include <errno.h>
#include <linux/io_uring.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* libc's wrappers return -1 and set errno, raw calls too; int 0x80 and the ring return it negative. */
static long got(long result) { return result < 0 ? -errno : result; }

static void begin(const char *road) { prctl(PR_SET_NAME, road); }

/* They attack, and connect to addresses of documentation: nothing of it where there is a network. */
static int alone(void) {
    struct if_nameindex *interface = if_nameindex();
    for (; interface && interface->if_index; interface++)
        if (strcmp(interface->if_name, "lo")) {
            fprintf(stderr, "this machine has a network (%s): run it in the VM\n", interface->if_name);
            return 0;
        }
    return 1;
}

/* io_uring, one request at a time, without its library. */
struct ring {
    int fd;
    /* Enters it with so many requests, until there is an answer. */
    long (*enter)(int fd, unsigned requests);
    unsigned *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_mask;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
};

static long ring_enter(int fd, unsigned requests) {
    return got(syscall(SYS_io_uring_enter, fd, requests, 1, IORING_ENTER_GETEVENTS, NULL, 0));
}

/* Maps what was set up with these parameters; the descriptor may be a negative errno. */
static long ring_map(struct ring *new, long fd, const struct io_uring_params *p) {
    if (fd < 0)
        return fd;
    size_t size = p->sq_off.array + p->sq_entries * 4;
    size_t size2 = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
    char *all = mmap(NULL, size > size2 ? size : size2, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                     fd, IORING_OFF_SQ_RING);
    new->fd = fd;
    new->sqes = mmap(NULL, p->sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQES);
    new->sq_tail = (unsigned *)(all + p->sq_off.tail);
    new->sq_mask = (unsigned *)(all + p->sq_off.ring_mask);
    new->sq_array = (unsigned *)(all + p->sq_off.array);
    new->cq_head = (unsigned *)(all + p->cq_off.head);
    new->cq_mask = (unsigned *)(all + p->cq_off.ring_mask);
    new->cqes = (struct io_uring_cqe *)(all + p->cq_off.cqes);
    return 0;
}

static long uring_by(struct ring *by, struct io_uring_sqe sqe) {
    if (by->fd <= 0)
        return -ENOSYS;
    unsigned tail = *by->sq_tail, index = tail & *by->sq_mask;
    by->sqes[index] = sqe;
    by->sq_array[index] = index;
    __atomic_store_n(by->sq_tail, tail + 1, __ATOMIC_RELEASE);
    long entered = by->enter(by->fd, 1);
    if (entered < 0)
        return entered;
    unsigned head = *by->cq_head;
    struct io_uring_cqe *cqe = &by->cqes[head & *by->cq_mask];
    long result = cqe->res, more = cqe->flags & IORING_CQE_F_MORE;
    __atomic_store_n(by->cq_head, head + 1, __ATOMIC_RELEASE);
    /* A send without a copy says once more when the memory is free again. */
    if (more) {
        by->enter(by->fd, 0);
        __atomic_store_n(by->cq_head, head + 2, __ATOMIC_RELEASE);
    }
    return result;
}

/* The usual one. */
static struct ring ring = {.enter = ring_enter};

static long ring_open(void) {
    struct io_uring_params p = {0};
    return ring_map(&ring, got(syscall(SYS_io_uring_setup, 4, &p)), &p);
}

static long uring(struct io_uring_sqe sqe) { return uring_by(&ring, sqe); }
#define SQE(op, ...) ((struct io_uring_sqe){.opcode = op, __VA_ARGS__})
#define PTR(p) ((uint64_t)(uintptr_t)(p))
