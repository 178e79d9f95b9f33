// The operations of `value` for one number type: `Real` is float or double, named by whoever compiles this.
//
// Blocks are one-dimensional with a power of two threads, at most 256; every kernel is right for any such number.
// Sums have an order that depends on the shapes and on the number of threads, never on which thread comes first:
// the same input gives the same bits.

typedef unsigned int Label;

#define MOST_THREADS 256
#define MINUS_INFINITY ((Real)__int_as_float(0xff800000))

// ---- what the threads of a block do together

// The sum over the threads of a block, for all of them.
template <typename T> __device__ T block_sum(T x) {
    __shared__ T room[MOST_THREADS];
    room[threadIdx.x] = x;
    for (unsigned width = blockDim.x / 2; width > 0; width /= 2) {
        __syncthreads();
        if (threadIdx.x < width) room[threadIdx.x] += room[threadIdx.x + width];
    }
    __syncthreads();
    T total = room[0];
    __syncthreads();
    return total;
}

// Sums of the columns of x [rows, d], `chunk` rows at a time: out [rows / chunk, d]. A thread a column and chunk.
extern "C" __global__ void column_sums(const Real *x, Real *out, size_t rows, size_t d, size_t chunk) {
    size_t tiles = (d + blockDim.x - 1) / blockDim.x;
    size_t column = blockIdx.x % tiles * blockDim.x + threadIdx.x, part = blockIdx.x / tiles;
    if (column >= d) return;
    size_t end = (part + 1) * chunk < rows ? (part + 1) * chunk : rows;
    Real sum = 0;
    for (size_t row = part * chunk; row < end; row++) sum += x[row * d + column];
    out[part * d + column] = sum;
}

// The sum of squares of `chunk` numbers of x, in the type of the numbers. A block a chunk.
extern "C" __global__ void squares(const Real *x, Real *out, size_t n, size_t chunk) {
    size_t start = blockIdx.x * chunk, end = start + chunk < n ? start + chunk : n;
    double sum = 0;
    for (size_t i = start + threadIdx.x; i < end; i += blockDim.x) sum += (double)x[i] * x[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) out[blockIdx.x] = (Real)sum;
}

// y += bias in every row. A block a row.
extern "C" __global__ void add_bias(Real *y, const Real *bias, size_t d) {
    y += blockIdx.x * d;
    for (size_t i = threadIdx.x; i < d; i += blockDim.x) y[i] += bias[i];
}

// ---- layer and root-mean-square normalisation. A block a row.

struct Moments {
    Real mean, r;
};

// Mean (0 unless centred) and reciprocal deviation of a row.
__device__ Moments moments(const Real *x, size_t d, size_t centred, Real eps) {
    Real sum = 0, square = 0;
    if (centred) {
        for (size_t i = threadIdx.x; i < d; i += blockDim.x) sum += x[i];
        sum = block_sum(sum) / d;
    }
    for (size_t i = threadIdx.x; i < d; i += blockDim.x) square += (x[i] - sum) * (x[i] - sum);
    return {sum, 1 / sqrt(block_sum(square) / d + eps)};
}

// x̂∘w + b; no b adds nothing.
extern "C" __global__ void normalise(const Real *x, const Real *w, const Real *b, Real *y, size_t d, size_t centred, Real eps) {
    x += blockIdx.x * d;
    y += blockIdx.x * d;
    Moments m = moments(x, d, centred, eps);
    for (size_t i = threadIdx.x; i < d; i += blockDim.x) y[i] = (x[i] - m.mean) * m.r * w[i] + (b ? b[i] : 0);
}

// The derivative of x̂ by x, a symmetric map, applied to g∘w (g, without w); and the rows' moments [rows, 2].
extern "C" __global__ void norm_derivative(const Real *x, const Real *w, const Real *g, Real *dx, Real *kept, size_t d,
                                           size_t centred, Real eps) {
    x += blockIdx.x * d;
    g += blockIdx.x * d;
    dx += blockIdx.x * d;
    Moments m = moments(x, d, centred, eps);
    Real shift = 0, along = 0;
    for (size_t i = threadIdx.x; i < d; i += blockDim.x) {
        Real u = w ? g[i] * w[i] : g[i];
        shift += u;
        along += u * (x[i] - m.mean) * m.r;
    }
    shift = block_sum(shift) / d;
    along = block_sum(along) / d;
    if (!centred) shift = 0;
    for (size_t i = threadIdx.x; i < d; i += blockDim.x) {
        Real u = w ? g[i] * w[i] : g[i];
        dx[i] = m.r * (u - shift - (x[i] - m.mean) * m.r * along);
    }
    if (threadIdx.x == 0) {
        kept[2 * blockIdx.x] = m.mean;
        kept[2 * blockIdx.x + 1] = m.r;
    }
}

// Σ g∘x̂ and Σ g over `chunk` rows, side by side: out [rows / chunk, 2d]. A thread a column and chunk.
extern "C" __global__ void norm_vector_gradients(const Real *x, const Real *g, const Real *kept, Real *out, size_t rows,
                                                 size_t d, size_t chunk) {
    size_t tiles = (d + blockDim.x - 1) / blockDim.x;
    size_t column = blockIdx.x % tiles * blockDim.x + threadIdx.x, part = blockIdx.x / tiles;
    if (column >= d) return;
    size_t end = (part + 1) * chunk < rows ? (part + 1) * chunk : rows;
    Real dw = 0, db = 0;
    for (size_t row = part * chunk; row < end; row++) {
        Real u = g[row * d + column];
        dw += u * (x[row * d + column] - kept[2 * row]) * kept[2 * row + 1];
        db += u;
    }
    out[part * 2 * d + column] = dw;
    out[part * 2 * d + d + column] = db;
}

// ---- activations. A thread a number.

struct Curve {
    Real value, slope;
};

__device__ Real sigmoid(Real x) {
    Real e = exp(-fabs(x)), high = 1 / (1 + e);
    return x < 0 ? e * high : high;
}

// The activation and its slope: 0 is x·Φ(x), 1 its tanh approximation, 2 is x·σ(x), 3 is max(x, 0).
__device__ Curve curve(Real x, size_t which) {
    if (which == 0) {
        Real phi = (Real)0.5 * erfc(-x * (Real)0.70710678118654752440);
        Real density = (Real)0.39894228040143267794 * exp((Real)-0.5 * x * x);
        return {x * phi, phi + x * density};
    }
    if (which == 1) {
        Real scale = (Real)1.59576912160573071176, cubic = (Real)0.044715; // 2·√(2/π)
        Real s = sigmoid(scale * (x + cubic * x * x * x));
        return {x * s, s + x * s * (1 - s) * scale * (1 + 3 * cubic * x * x)};
    }
    if (which == 2) {
        Real s = sigmoid(x);
        return {x * s, s + x * s * (1 - s)};
    }
    return x > 0 ? Curve{x, 1} : Curve{0, 0};
}

// f(x), or f'(x)·u where there is a u.
extern "C" __global__ void activate(const Real *x, const Real *u, Real *y, size_t n, size_t which) {
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    Curve c = curve(x[i], which);
    y[i] = u ? c.slope * u[i] : c.value;
}

// ---- the head. A block a row of logits.

// A row's largest logit, the first label that has it, and the largest of the other labels.
struct Top {
    Real best, second;
    size_t label;
};

__device__ Top better(Top a, Top b) {
    if (b.best > a.best || (b.best == a.best && b.label < a.label)) {
        Top swap = a;
        a = b;
        b = swap;
    }
    if (b.best > a.second) a.second = b.best;
    return a;
}

// NaN is passed over; a row without a number above −∞ has the label `vocabulary`.
__device__ Top top(const Real *z, size_t vocabulary) {
    __shared__ Top room[MOST_THREADS];
    Top t = {MINUS_INFINITY, MINUS_INFINITY, vocabulary};
    for (size_t v = threadIdx.x; v < vocabulary; v += blockDim.x) {
        if (z[v] > t.best) {
            t.second = t.best;
            t.best = z[v];
            t.label = v;
        } else if (z[v] > t.second) {
            t.second = z[v];
        }
    }
    room[threadIdx.x] = t;
    for (unsigned width = blockDim.x / 2; width > 0; width /= 2) {
        __syncthreads();
        if (threadIdx.x < width) room[threadIdx.x] = better(room[threadIdx.x], room[threadIdx.x + width]);
    }
    __syncthreads();
    t = room[0];
    __syncthreads();
    return t;
}

// What `TokenStats` says of a row and its label, in the order of its fields: stats [rows, 8]; log π(label) once
// more in logp. The labels but the argmax are summed relative to the largest of them, so that nothing is flushed and
// 1 − max π is no difference. A row with NaN or +∞, or without a finite logit, has NaN everywhere and argmax 0.
extern "C" __global__ void token_stats(const Real *z, const Label *labels, Real *stats, Real *logp, size_t vocabulary) {
    z += blockIdx.x * vocabulary;
    stats += 8 * blockIdx.x;
    Top t = top(z, vocabulary);
    bool alone = t.second == MINUS_INFINITY;
    Real runner_up = alone ? 0 : t.second;
    double mass = 0, squares = 0, moment = 0;
    for (size_t v = threadIdx.x; v < vocabulary; v += blockDim.x) {
        if (v == t.label) continue;
        Real x = z[v] - runner_up, e = exp(x);
        mass += e;
        squares += (double)e * e;
        if (e > 0) moment += (double)x * e;
    }
    mass = block_sum(mass);
    squares = block_sum(squares);
    moment = block_sum(moment);
    if (threadIdx.x != 0) return;

    double best = t.best, log_mass = MINUS_INFINITY;
    if (!(best - best == 0) || mass != mass) { // not finite
        Real nothing = MINUS_INFINITY - MINUS_INFINITY;
        for (int i = 0; i < 8; i++) stats[i] = i == 1 ? 0 : nothing;
        logp[blockIdx.x] = nothing;
        return;
    }
    if (!alone) {
        double offset = (double)t.second - best, scale = exp(offset);
        log_mass = offset + log(mass);
        moment = scale * moment + scale * offset * mass;
        squares *= scale * scale;
        mass *= scale;
    }
    double log_total = log1p(mass), total = 1 + mass;
    logp[blockIdx.x] = stats[0] = (Real)((double)z[labels[blockIdx.x]] - best - log_total);
    stats[1] = (Real)t.label;
    stats[2] = (Real)-log_total;
    stats[3] = (Real)(mass > 1 ? -log1p(1 / mass) : log_mass - log_total);
    stats[4] = (Real)((1 + squares) / (total * total));
    stats[5] = (Real)(squares / (total * total));
    stats[6] = (Real)(log_total - moment / total);
    stats[7] = (Real)(best + log_total);
}

// −g·(π − e_y) in the place of the logits, with log Σ eᶻ from their statistics.
extern "C" __global__ void residual(Real *z, const Label *labels, const Real *stats, const Real *g, size_t vocabulary) {
    z += blockIdx.x * vocabulary;
    Real weight = -g[blockIdx.x], log_z = stats[8 * blockIdx.x + 7];
    size_t label = labels[blockIdx.x];
    for (size_t v = threadIdx.x; v < vocabulary; v += blockDim.x) {
        Real share = weight * exp(z[v] - log_z);
        z[v] = v == label ? share - weight : share;
    }
}

// ---- the optimiser, in place. A thread a number.

extern "C" __global__ void rmsprop(Real *p, const Real *g, Real *v, size_t n, Real clip, Real keep, Real take, Real rate,
                                   Real eps) {
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    Real clipped = g[i] * clip;
    v[i] = v[i] * keep + clipped * clipped * take;
    p[i] -= g[i] * rate / (sqrt(v[i]) + eps);
}

extern "C" __global__ void adamw(Real *p, const Real *g, Real *v, Real *m, size_t n, Real clip, Real keep, Real take,
                                 Real take_first, Real decay, Real rate, Real root_scale, Real eps) {
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    Real clipped = g[i] * clip;
    m[i] += (clipped - m[i]) * take_first;
    v[i] = v[i] * keep + clipped * clipped * take;
    p[i] = p[i] * decay - m[i] * rate / (sqrt(v[i]) * root_scale + eps);
}

extern "C" __global__ void sgd(Real *p, const Real *g, Real *v, size_t n, Real clip, Real momentum, Real weight_decay,
                               Real rate) {
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    v[i] = v[i] * momentum + (g[i] * clip + p[i] * weight_decay);
    p[i] -= v[i] * rate;
}
