// Does one thing as fast as it can, and tells how long that took.
//
//     loop WHAT AMOUNT [THREADS [LENGTH]]
//
// WHAT     getppid, or access of a path of LENGTH bytes (system calls); function (bench_function);
//          usdt (bench:event); ticker (malloc, now and then)
// AMOUNT   calls of each thread, or a time as in 500ms
//
// Thread n is bound to CPU n modulo their number, so that runs are alike. Writes
//     CALLS CPU_NANOSECONDS NANOSECONDS
// with the calls and the CPU time of all threads; CPU time, since others may use the machine too.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "usdt.h"

// Between two looks at the clock.
#define BATCH 64

static const char *what;
static long amount, limit_ns;
static char path[4096];
static volatile long sink;
static pthread_barrier_t barrier;

struct thread {
    pthread_t id;
    long number, calls, cpu_ns;
};

__attribute__((noipa)) void bench_function(long n) { sink = n; }

static void usdt(long n) { USDT("bench", "event", n); }

static void getppid_call(long n) {
    (void)n;
    syscall(SYS_getppid);
}

static void access_call(long n) {
    (void)n;
    syscall(SYS_access, path, 0);
}

static void tick(long n) {
    struct timespec pause = {.tv_nsec = 200 * 1000};
    void *volatile memory = malloc(64 + n % 64);
    free(memory);
    nanosleep(&pause, NULL);
}

static long now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * 1000000000 + time.tv_nsec;
}

static void (*chosen(void))(long) {
    if (!strcmp(what, "getppid"))
        return getppid_call;
    if (!strcmp(what, "access"))
        return access_call;
    if (!strcmp(what, "function"))
        return bench_function;
    if (!strcmp(what, "usdt"))
        return usdt;
    if (!strcmp(what, "ticker"))
        return tick;
    exit(2);
}

static void *run(void *argument) {
    struct thread *self = argument;
    void (*once)(long) = chosen();
    cpu_set_t cpu;
    CPU_ZERO(&cpu);
    CPU_SET(self->number % sysconf(_SC_NPROCESSORS_ONLN), &cpu);
    sched_setaffinity(0, sizeof cpu, &cpu);
    pthread_barrier_wait(&barrier);
    long start = now(CLOCK_MONOTONIC), cpu_start = now(CLOCK_THREAD_CPUTIME_ID);
    do {
        long until = limit_ns ? self->calls + BATCH : amount;
        while (self->calls < until)
            once(self->calls++);
    } while (limit_ns && now(CLOCK_MONOTONIC) - start < limit_ns);
    self->cpu_ns = now(CLOCK_THREAD_CPUTIME_ID) - cpu_start;
    return NULL;
}

int main(int argc, char **argv) {
    static struct thread threads[64];
    if (argc < 3)
        return 2;
    what = argv[1];
    char *unit;
    amount = strtol(argv[2], &unit, 10);
    limit_ns = strcmp(unit, "ms") ? 0 : amount * 1000000;
    int count = argc > 3 ? atoi(argv[3]) : 1;
    int length = argc > 4 ? atoi(argv[4]) : 8;
    if (count < 1 || count > 64 || length < 1 || length >= (int)sizeof path)
        return 2;
    // Short components: a long one would end the call early.
    for (int i = 0; i < length; i++)
        path[i] = i % 2 ? '/' : 'a';
    pthread_barrier_init(&barrier, NULL, count);
    long start = now(CLOCK_MONOTONIC), calls = 0, cpu_ns = 0;
    for (int i = 0; i < count; i++) {
        threads[i].number = i;
        pthread_create(&threads[i].id, NULL, run, &threads[i]);
    }
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i].id, NULL);
        calls += threads[i].calls;
        cpu_ns += threads[i].cpu_ns;
    }
    printf("%ld %ld %ld\n", calls, cpu_ns, now(CLOCK_MONOTONIC) - start);
    return 0;
}
