// Compiles the kernels as C++ for a processor. A block's threads take turns: each runs up to the next barrier, in rising
// and falling order by turns, so that a barrier that is missing shows in the same way every time. Blocks run one after another.

#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static

struct Index {
    unsigned x;
};
static Index threadIdx, blockIdx, blockDim;

struct Turn {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(64 << 10);
    bool done;
};
static std::vector<Turn> turns;
static ucontext_t scheduler;
static std::function<void()> body;

static void __syncthreads() { swapcontext(&turns[threadIdx.x].context, &scheduler); }

static void run_thread() {
    body();
    turns[threadIdx.x].done = true;
}

static void run_block(unsigned threads) {
    turns.resize(threads);
    for (Turn &turn : turns) {
        turn.done = false;
        getcontext(&turn.context);
        turn.context.uc_stack.ss_sp = turn.stack.data();
        turn.context.uc_stack.ss_size = turn.stack.size();
        turn.context.uc_link = &scheduler;
        makecontext(&turn.context, run_thread, 0);
    }
    bool left = true;
    for (unsigned phase = blockIdx.x; left; phase++) {
        left = false;
        for (unsigned i = 0; i < threads; i++) {
            threadIdx.x = phase % 2 ? threads - 1 - i : i;
            Turn &turn = turns[threadIdx.x];
            if (!turn.done) swapcontext(&scheduler, &turn.context);
            left |= !turn.done;
        }
    }
}

// Dynamic shared memory: NaN at first, and nothing may be written behind its end.
#define ROOM (48 << 10)
#define GUARD 64
static Real shared_room[ROOM + GUARD];
#define SHARED_ROOM(name) Real *name = shared_room

static float __int_as_float(unsigned bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

using std::erfc, std::exp, std::fabs, std::log, std::log1p, std::sqrt;

template <class A> char kind(A *) { return 'p'; }
inline char kind(size_t) { return 's'; }
inline char kind(Real) { return 'r'; }

template <class... A, size_t... I>
std::string run(void (*kernel)(A...), const char *kinds, unsigned blocks, unsigned threads, size_t shared, void **args,
                std::index_sequence<I...>) {
    std::string expected{kind(A{})...};
    if (expected != kinds) return "a kernel of (" + expected + ") is called with (" + kinds + ")";
    if (shared > ROOM) return "more shared memory than there is";
    const Real untouched = 12345;
    blockDim.x = threads;
    body = [=] { kernel(*(A *)args[I]...); };
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) {
        for (size_t i = 0; i < shared + GUARD; i++) shared_room[i] = i < shared ? (Real)NAN : untouched;
        run_block(threads);
        for (size_t i = shared; i < shared + GUARD; i++)
            if (shared_room[i] != untouched) return "a write behind the shared memory";
    }
    return "";
}

template <class... A>
std::string entry(void (*kernel)(A...), const char *kinds, unsigned blocks, unsigned threads, size_t shared, void **args) {
    return run(kernel, kinds, blocks, threads, shared, args, std::index_sequence_for<A...>());
}
