// A program with many symbols, and many stacks.
//
//     symbols COUNT
//
// Calls bench_leaf once from each of COUNT (at most 100,000) different stacks that lead through eight
// of its 50,000 functions fn_00000 to fn_49999. Its 2,000 functions pair_0000 to pair_1999 are there
// to be attached to: each name's number of digits makes patterns of 10, 100, 1,000 and more of them.
#include <stdlib.h>

#define TEN(X, n) X(n##0) X(n##1) X(n##2) X(n##3) X(n##4) X(n##5) X(n##6) X(n##7) X(n##8) X(n##9)
#define HUNDRED(X, n)                                                                              \
    TEN(X, n##0) TEN(X, n##1) TEN(X, n##2) TEN(X, n##3) TEN(X, n##4)                               \
    TEN(X, n##5) TEN(X, n##6) TEN(X, n##7) TEN(X, n##8) TEN(X, n##9)
#define THOUSAND(X, n)                                                                             \
    HUNDRED(X, n##0) HUNDRED(X, n##1) HUNDRED(X, n##2) HUNDRED(X, n##3) HUNDRED(X, n##4)           \
    HUNDRED(X, n##5) HUNDRED(X, n##6) HUNDRED(X, n##7) HUNDRED(X, n##8) HUNDRED(X, n##9)
#define TEN_THOUSAND(X, n)                                                                         \
    THOUSAND(X, n##0) THOUSAND(X, n##1) THOUSAND(X, n##2) THOUSAND(X, n##3) THOUSAND(X, n##4)      \
    THOUSAND(X, n##5) THOUSAND(X, n##6) THOUSAND(X, n##7) THOUSAND(X, n##8) THOUSAND(X, n##9)
#define ALL(X)                                                                                     \
    TEN_THOUSAND(X, 0) TEN_THOUSAND(X, 1) TEN_THOUSAND(X, 2) TEN_THOUSAND(X, 3) TEN_THOUSAND(X, 4)

#define FUNCTIONS 50000
#define DEPTH 8

static volatile long sink;
static void next(long seed, int depth);

__attribute__((noipa)) void bench_leaf(void) { sink++; }

// More than a jump, so that each is a frame of its own.
#define DEFINE(n)                                                                                  \
    void fn_##n(long seed, int depth) {                                                            \
        next(seed, depth);                                                                         \
        sink++;                                                                                    \
    }
ALL(DEFINE)

#define PAIR(n)                                                                                    \
    void pair_##n(void) { sink++; }
THOUSAND(PAIR, 0)
THOUSAND(PAIR, 1)

#define NAME(n) fn_##n,
static void (*const functions[])(long, int) = {ALL(NAME)};

// Seeds below 50,000 differ at every depth; one 50,000 above differs from any of them at some.
__attribute__((noipa)) static void next(long seed, int depth) {
    if (depth)
        functions[(seed * 7919 + depth * 10007 + seed / FUNCTIONS * depth * 31) % FUNCTIONS](seed, depth - 1);
    else
        bench_leaf();
    sink++;
}

int main(int argc, char **argv) {
    if (argc < 2)
        return 2;
    for (long seed = 0; seed < atol(argv[1]); seed++)
        next(seed, DEPTH);
    return 0;
}
