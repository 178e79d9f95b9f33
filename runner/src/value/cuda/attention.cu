// Rotary positions and causal attention over packed spans. Behind kernels.cu in one program.
//
// Heads lie apart: [heads + 2·kv_heads, rows, hd], the queries (rotated and scaled by 1/√hd), the keys (rotated) and the
// values. A block works on a tile of at most T rows of one span and one head, and meets the other rows T at a time: no
// matrix is larger than T × T.

// Dynamic shared memory, by parts.
#ifndef SHARED_ROOM
#define SHARED_ROOM(name) extern __shared__ Real name[]
#endif

// Fused rows [rows, (heads + 2·kv_heads)·hd] to heads, or, with `back`, the transpose of this linear map. A block a row.
extern "C" __global__ void split_heads(const Real *in, Real *out, const Real *cosines, const Real *sines,
                                       const Label *positions, size_t rows, size_t heads, size_t kv_heads, size_t hd,
                                       size_t half, size_t per_head, Real scale, size_t back) {
    size_t row = blockIdx.x, slots = heads + 2 * kv_heads;
    const Real *cosine = cosines + positions[row] * half, *sine = sines + positions[row] * half;
    for (size_t at = threadIdx.x; at < slots * hd; at += blockDim.x) {
        size_t slot = at / hd, i = at % hd;
        // Where the head is in a fused row: for each head its query, key and value, or all of a kind together.
        size_t column = per_head ? 3 * (slot % heads) + slot / heads : slot;
        size_t fused = row * slots * hd + column * hd, apart = (slot * rows + row) * hd;
        const Real *x = in + (back ? apart : fused);
        Real y = x[i];
        if (slot < heads + kv_heads && i < 2 * half) {
            size_t pair = i < half ? i : i - half;
            Real s = back ? -sine[pair] : sine[pair];
            y = i < half ? y * cosine[pair] - x[i + half] * s : y * cosine[pair] + x[i - half] * s;
        }
        if (slot < heads) y *= scale;
        out[(back ? fused : apart) + i] = y;
    }
}

// A tile of query rows: its first row and their number, the first row of their span, and the rows of the parent.
struct QueryTile {
    Label first, count, own, prefix, prefix_count;
};

// The c-th row that is seen from a tile.
__device__ size_t seen_row(const QueryTile &t, size_t c) {
    return c < t.prefix_count ? t.prefix + c : t.own + (c - t.prefix_count);
}

__device__ Real dot(const Real *a, const Real *b, size_t n) {
    Real sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

// out [rows, heads·hd] and log Σ e^score [heads, rows]. A block a tile and head.
extern "C" __global__ void attention(const Real *x, const Label *tiles, Real *out, Real *log_sums, size_t rows, size_t heads,
                                     size_t kv_heads, size_t hd, size_t T) {
    QueryTile t = ((const QueryTile *)tiles)[blockIdx.x / heads];
    size_t head = blockIdx.x % heads, kv = heads + head / (heads / kv_heads);
    const Real *q = x + (head * rows + t.first) * hd, *k = x + kv * rows * hd, *v = k + kv_heads * rows * hd;
    SHARED_ROOM(room);
    // A row more than hd apart: threads side by side read different banks.
    Real *queries = room, *sums = queries + T * hd, *keys = sums + T * hd, *values = keys + T * (hd + 1);
    Real *p = values + T * (hd + 1), *most = p + T * T, *total = most + T, *shrink = total + T;
    for (size_t e = threadIdx.x; e < T * hd; e += blockDim.x) {
        queries[e] = e / hd < t.count ? q[e] : 0;
        sums[e] = 0;
    }
    for (size_t i = threadIdx.x; i < T; i += blockDim.x) {
        most[i] = MINUS_INFINITY;
        total[i] = 0;
    }
    size_t before = t.prefix_count + t.first - t.own; // columns that all queries of the tile see, without the first's own
    size_t columns = before + t.count;
    for (size_t c = 0; c < columns; c += T) {
        __syncthreads();
        for (size_t e = threadIdx.x; e < T * hd; e += blockDim.x) {
            size_t j = e / hd, i = e % hd, row = c + j < columns ? seen_row(t, c + j) : 0;
            keys[j * (hd + 1) + i] = c + j < columns ? k[row * hd + i] : 0;
            values[j * (hd + 1) + i] = c + j < columns ? v[row * hd + i] : 0;
        }
        __syncthreads();
        for (size_t e = threadIdx.x; e < T * T; e += blockDim.x) {
            size_t i = e / T, j = e % T;
            bool seen = i < t.count && c + j <= before + i;
            p[e] = seen ? dot(queries + i * hd, keys + j * (hd + 1), hd) : MINUS_INFINITY;
        }
        __syncthreads();
        for (size_t i = threadIdx.x; i < t.count; i += blockDim.x) {
            Real *row = p + i * T, largest = most[i], sum = 0;
            for (size_t j = 0; j < T; j++) largest = row[j] > largest ? row[j] : largest;
            for (size_t j = 0; j < T; j++) sum += row[j] = exp(row[j] - largest);
            shrink[i] = exp(most[i] - largest);
            total[i] = total[i] * shrink[i] + sum;
            most[i] = largest;
        }
        __syncthreads();
        for (size_t e = threadIdx.x; e < t.count * hd; e += blockDim.x) {
            size_t i = e / hd, d = e % hd;
            Real sum = sums[e] * shrink[i];
            for (size_t j = 0; j < T; j++) sum += p[i * T + j] * values[j * (hd + 1) + d];
            sums[e] = sum;
        }
    }
    // Each thread has the sums that it reads.
    for (size_t e = threadIdx.x; e < t.count * hd; e += blockDim.x) {
        size_t i = e / hd, d = e % hd;
        out[((t.first + i) * heads + head) * hd + d] = sums[e] / total[i];
    }
    for (size_t i = threadIdx.x; i < t.count; i += blockDim.x)
        log_sums[head * rows + t.first + i] = most[i] + log(total[i]);
}

// Gradients of the queries, into their place in dx, and ⟨out, grad⟩ [heads, rows] of every row. A block a tile and head.
extern "C" __global__ void attention_queries(const Real *x, const Label *tiles, const Real *out, const Real *grad,
                                             const Real *log_sums, Real *means, Real *dx, size_t rows, size_t heads,
                                             size_t kv_heads, size_t hd, size_t T) {
    QueryTile t = ((const QueryTile *)tiles)[blockIdx.x / heads];
    size_t head = blockIdx.x % heads, kv = heads + head / (heads / kv_heads);
    const Real *q = x + (head * rows + t.first) * hd, *k = x + kv * rows * hd, *v = k + kv_heads * rows * hd;
    SHARED_ROOM(room);
    Real *queries = room, *grads = queries + T * hd, *sums = grads + T * hd, *keys = sums + T * hd;
    Real *values = keys + T * (hd + 1), *ds = values + T * (hd + 1), *mean = ds + T * T;
    for (size_t e = threadIdx.x; e < T * hd; e += blockDim.x) {
        size_t i = e / hd, d = e % hd;
        queries[e] = i < t.count ? q[e] : 0;
        grads[e] = i < t.count ? grad[((t.first + i) * heads + head) * hd + d] : 0;
        sums[e] = 0;
    }
    __syncthreads();
    for (size_t i = threadIdx.x; i < t.count; i += blockDim.x) {
        mean[i] = dot(out + ((t.first + i) * heads + head) * hd, grads + i * hd, hd);
        means[head * rows + t.first + i] = mean[i];
    }
    size_t before = t.prefix_count + t.first - t.own, columns = before + t.count;
    for (size_t c = 0; c < columns; c += T) {
        __syncthreads();
        for (size_t e = threadIdx.x; e < T * hd; e += blockDim.x) {
            size_t j = e / hd, i = e % hd, row = c + j < columns ? seen_row(t, c + j) : 0;
            keys[j * (hd + 1) + i] = c + j < columns ? k[row * hd + i] : 0;
            values[j * (hd + 1) + i] = c + j < columns ? v[row * hd + i] : 0;
        }
        __syncthreads();
        for (size_t e = threadIdx.x; e < T * T; e += blockDim.x) {
            size_t i = e / T, j = e % T;
            ds[e] = 0;
            if (i < t.count && c + j <= before + i) {
                Real score = dot(queries + i * hd, keys + j * (hd + 1), hd);
                Real along = dot(grads + i * hd, values + j * (hd + 1), hd);
                ds[e] = exp(score - log_sums[head * rows + t.first + i]) * (along - mean[i]);
            }
        }
        __syncthreads();
        for (size_t e = threadIdx.x; e < t.count * hd; e += blockDim.x) {
            Real sum = sums[e];
            for (size_t j = 0; j < T; j++) sum += ds[e / hd * T + j] * keys[j * (hd + 1) + e % hd];
            sums[e] = sum;
        }
    }
    // Each thread has the sums that it reads.
    for (size_t e = threadIdx.x; e < t.count * hd; e += blockDim.x) dx[(head * rows + t.first) * hd + e] = sums[e];
}

// A tile of key rows: its first row and their number, the end of their span, and which spans of rows lie behind it.
struct KeyTile {
    Label first, count, end, from_child, to_child;
};

// Gradients of the keys and values, into their places in dx. A block a tile and key head.
extern "C" __global__ void attention_keys(const Real *x, const Label *tiles, const Label *children, const Real *grad,
                                          const Real *log_sums, const Real *means, Real *dx, size_t rows, size_t heads,
                                          size_t kv_heads, size_t hd, size_t T) {
    KeyTile t = ((const KeyTile *)tiles)[blockIdx.x / kv_heads];
    size_t kv = blockIdx.x % kv_heads, group = heads / kv_heads;
    size_t key_at = ((heads + kv) * rows + t.first) * hd, value_at = key_at + kv_heads * rows * hd;
    SHARED_ROOM(room);
    Real *keys = room, *values = keys + T * (hd + 1), *queries = values + T * (hd + 1), *grads = queries + T * (hd + 1);
    Real *key_sums = grads + T * (hd + 1), *value_sums = key_sums + T * hd, *p = value_sums + T * hd, *ds = p + T * T;
    for (size_t e = threadIdx.x; e < T * hd; e += blockDim.x) {
        size_t j = e / hd, d = e % hd;
        keys[j * (hd + 1) + d] = j < t.count ? x[key_at + e] : 0;
        values[j * (hd + 1) + d] = j < t.count ? x[value_at + e] : 0;
        key_sums[e] = value_sums[e] = 0;
    }
    for (size_t head = kv * group; head < (kv + 1) * group; head++) {
        // The span's own rows from the tile on, then those of every span behind it.
        for (size_t range = 0; range <= t.to_child - t.from_child; range++) {
            const Label *child = children + 2 * (t.from_child + range - 1);
            size_t first = range == 0 ? t.first : child[0], end = range == 0 ? t.end : first + child[1];
            for (size_t r = first; r < end; r += T) {
                __syncthreads();
                for (size_t e = threadIdx.x; e < T * hd; e += blockDim.x) {
                    size_t i = e / hd, d = e % hd, row = r + i;
                    queries[i * (hd + 1) + d] = row < end ? x[(head * rows + row) * hd + d] : 0;
                    grads[i * (hd + 1) + d] = row < end ? grad[(row * heads + head) * hd + d] : 0;
                }
                __syncthreads();
                for (size_t e = threadIdx.x; e < T * T; e += blockDim.x) {
                    size_t i = e / T, j = e % T, row = r + i;
                    p[e] = ds[e] = 0;
                    // The rows of a span behind this one come later too.
                    if (row < end && j < t.count && row >= t.first + j) {
                        Real score = dot(queries + i * (hd + 1), keys + j * (hd + 1), hd);
                        Real along = dot(grads + i * (hd + 1), values + j * (hd + 1), hd);
                        p[e] = exp(score - log_sums[head * rows + row]);
                        ds[e] = p[e] * (along - means[head * rows + row]);
                    }
                }
                __syncthreads();
                for (size_t e = threadIdx.x; e < t.count * hd; e += blockDim.x) {
                    size_t j = e / hd, d = e % hd;
                    Real key_sum = key_sums[e], value_sum = value_sums[e];
                    for (size_t i = 0; i < T; i++) {
                        key_sum += ds[i * T + j] * queries[i * (hd + 1) + d];
                        value_sum += p[i * T + j] * grads[i * (hd + 1) + d];
                    }
                    key_sums[e] = key_sum;
                    value_sums[e] = value_sum;
                }
            }
        }
    }
    // Each thread has the sums that it reads.
    for (size_t e = threadIdx.x; e < t.count * hd; e += blockDim.x) {
        dx[key_at + e] = key_sums[e];
        dx[value_at + e] = value_sums[e];
    }
}
