// Softmax attention between feature maps and its gradient; only one panel of the map is in memory at a time.
//
// Features are matrices (channels, places) in torch's layout: query (d, L), key (d, M), value (e, M), output (e, L).
// The lanes of a vector are neighbouring places. In the forward pass these are queries, so that the maximum and the
// sum of a row of the map need no operations across lanes. In the backward pass they are keys, so that of the five
// products only the gradient of the query, which is small, is summed over tasks.
#include <limits>

#include "tiles.hpp"

namespace {

constexpr long kChunk = 512;  // places for each task of the small loops before and after the products

struct Sizes {
    long N, d, e, L, M;
};

// Number of panels that are multiplied with a tile: as many as fit into the L2 cache, but with work for all threads.
template <class T> long panels_at_once(long places, long rows, const Sizes& s, long threads) {
    const long fit = 256 * 1024 / (rows * kPanel<T> * long(sizeof(T)));
    return std::clamp(std::min(fit, s.N * ceil_div(places, kPanel<T>) / (4 * threads)), 1L, 16L);
}

// The output for up to `most` panels of queries, with the memory that one thread needs.
template <class T> struct Forward {
    static constexpr long N = kPanel<T>, L = kLanes<T>;
    const Sizes s;
    const long most;
    Memory<T> key{s.d * kTile}, value{s.e * kTile}, map{kTile * N};
    Memory<T> query{most * s.d * N}, output{most * s.e * N}, top{most * N}, total{most * N};

    // Replaces logits by e^(logit - maximum so far); returns the factor for sums that used an earlier maximum.
    ShrinkAndAdd<T> weigh(long keys, T* top, T* total) const {
        Vec<T> most[2], sum[2] = {};
        ShrinkAndAdd<T> shrink;
        for (int w = 0; w < 2; w++) most[w] = load(top + w * L);
        for (long m = 0; m < keys; m++)
            for (int w = 0; w < 2; w++) {
                const Vec<T> logit = load(map + m * N + w * L);
                most[w] = logit > most[w] ? logit : most[w];
            }
        for (long m = 0; m < keys; m++)
            for (int w = 0; w < 2; w++) {
                T* at = map + m * N + w * L;
                const Vec<T> weight = exponential<T>(load(at) - most[w]);
                store(at, weight), sum[w] += weight;
            }
        for (int w = 0; w < 2; w++) {
            shrink.by[w] = exponential<T>(load(top + w * L) - most[w]);
            store(top + w * L, most[w]), store(total + w * L, load(total + w * L) * shrink.by[w] + sum[w]);
        }
        return shrink;
    }

    void tile(long keys, long panels) const {
        for (long p = 0; p < panels; p++) {
            multiply<T, 2, 1, kTile>(key, query + p * s.d * N, map, keys, s.d, N, Put<T>());
            const auto shrink = weigh(keys, top + p * N, total + p * N);
            multiply<T, 2, kTile, 1>(value, map, output + p * s.e * N, s.e, keys, N, shrink);
        }
    }

    // Panels of one image, from `first`.
    void run(const T* q, const T* k, const T* v, T* o, T* stats, long first) const {
        const long panels = std::min(most, ceil_div(s.L, N) - first);
        for (long p = 0; p < panels; p++) cut(q, s.d, s.L, (first + p) * N, N, query + p * s.d * N);
        std::fill(output.data, output + panels * s.e * N, T(0));
        std::fill(top.data, top + panels * N, std::numeric_limits<T>::lowest());
        std::fill(total.data, total + panels * N, T(0));
        for (long m = 0; m < s.M; m += kTile) {
            cut(k, s.d, s.M, m, kTile, key.data), cut(v, s.e, s.M, m, kTile, value.data);
            tile(std::min(kTile, s.M - m), panels);
        }
        for (long i = 0; i < panels * N; i++) total[i] = 1 / total[i];
        for (long p = 0; p < panels; p++) {
            for (long row = p * s.e; row < (p + 1) * s.e; row++)
                for (long i = 0; i < N; i++) output[row * N + i] *= total[p * N + i];
            paste(output + p * s.e * N, s.e, s.L, (first + p) * N, N, o);
            paste(top + p * N, 1, s.L, (first + p) * N, N, stats);
            paste(total + p * N, 1, s.L, (first + p) * N, N, stats + s.L);
        }
    }
};

// The gradients for up to `most` panels of keys and values, with the memory that one thread needs.
template <class T> struct Backward {
    static constexpr long N = kPanel<T>, L = kLanes<T>;
    const Sizes s;
    const long most, wide = ceil_div(s.d, L) * L;  // a row of the query's gradient, in whole vectors
    Memory<T> query{s.d * kTile}, grad{s.e * kTile}, map{kTile * N}, dmap{kTile * N}, turned{most * N * wide};
    Memory<T> key{most * s.d * N}, value{most * s.e * N}, dkey{most * s.d * N}, dvalue{most * s.e * N};

    // Panel p with `count` queries, which have `stats`, `dot` (the sum of grad * output) and dq (count, wide).
    void panel(long p, long count, long keys, const T* stats, const T* dot, T* dq) const {
        multiply<T, 2, 1, kTile>(query, key + p * s.d * N, map, count, s.d, N, Put<T>());
        multiply<T, 2, 1, kTile>(grad, value + p * s.e * N, dmap, count, s.e, N, Put<T>());
        for (long l = 0; l < count; l++)
            for (long at = l * N; at < (l + 1) * N; at += L) {
                const Vec<T> weight = exponential<T>(load(map + at) - stats[l]) * stats[s.L + l];
                store(map + at, weight), store(dmap + at, weight * (load(dmap + at) - dot[l]));
            }
        multiply<T, 2, kTile, 1>(grad, map, dvalue + p * s.e * N, s.e, count, N, Add<T>());
        multiply<T, 2, kTile, 1>(query, dmap, dkey + p * s.d * N, s.d, count, N, Add<T>());
        for (long w = 0; w < wide; w += L)
            multiply<T, 1, N, 1>(dmap, turned + p * N * wide + w, dq + w, count, keys, wide, Add<T>());
    }

    // Panels `first` to `last` of one image; their part of the gradient of the query is added to dq (L, wide).
    void run(const T* go, const T* q, const T* k, const T* v, const T* stats, const T* dot, T* dq, T* dk, T* dv,
             long first, long last) const {
        std::fill(turned.data, turned + most * N * wide, T(0));
        for (long p = 0; p < last - first; p++) {
            cut(k, s.d, s.M, (first + p) * N, N, key + p * s.d * N);
            cut(v, s.e, s.M, (first + p) * N, N, value + p * s.e * N);
            for (long i = 0; i < s.d * N; i++) turned[(p * N + i % N) * wide + i / N] = key[p * s.d * N + i];
        }
        std::fill(dkey.data, dkey + most * s.d * N, T(0));
        std::fill(dvalue.data, dvalue + most * s.e * N, T(0));
        for (long l = 0; l < s.L; l += kTile) {
            cut(q, s.d, s.L, l, kTile, query.data), cut(go, s.e, s.L, l, kTile, grad.data);
            const long count = std::min(kTile, s.L - l);
            for (long p = 0; p < last - first; p++)
                panel(p, count, std::min(N, s.M - (first + p) * N), stats + l, dot + l, dq + l * wide);
        }
        for (long p = 0; p < last - first; p++) {
            paste(dkey + p * s.d * N, s.d, s.M, (first + p) * N, N, dk);
            paste(dvalue + p * s.e * N, s.e, s.M, (first + p) * N, N, dv);
        }
    }
};

template <class T>
void forward(const T* q, const T* k, const T* v, T* o, T* stats, const Sizes& s, long threads) {
    const long panels = ceil_div(s.L, kPanel<T>), most = panels_at_once<T>(s.L, s.d + s.e, s, threads);
    const long groups = ceil_div(panels, most);
#pragma omp parallel num_threads(threads)
    {
        const Forward<T> thread{s, most};
#pragma omp for schedule(dynamic)
        for (long i = 0; i < s.N * groups; i++) {
            const long n = i / groups;
            thread.run(q + n * s.d * s.L, k + n * s.d * s.M, v + n * s.e * s.M, o + n * s.e * s.L,
                       stats + 2 * n * s.L, i % groups * most);
        }
    }
}

// Sums of grad * output over the channels, for kChunk places from `start`.
template <class T> void dots(const T* go, const T* o, T* dot, const Sizes& s, long start) {
    const long end = std::min(s.L, start + kChunk);
    std::fill(dot + start, dot + end, T(0));
    for (long c = 0; c < s.e; c++)
        for (long l = start; l < end; l++) dot[l] += go[c * s.L + l] * o[c * s.L + l];
}

// The parts (parts, L, wide) of the gradient of the query -> their sum (d, L), for kChunk places from `start`.
template <class T> void gather(const T* shares, long parts, long wide, T* dq, const Sizes& s, long start) {
    for (long l = start; l < std::min(s.L, start + kChunk); l++)
        for (long c = 0; c < s.d; c++) {
            T sum = 0;
            for (long i = 0; i < parts; i++) sum += shares[(i * s.L + l) * wide + c];
            dq[c * s.L + l] = sum;
        }
}

// The keys of an image are split into parts, each with its own gradient of the query. These are summed in a fixed
// order, so that the result does not depend on the threads.
template <class T>
void backward(const T* go, const T* q, const T* k, const T* v, const T* o, const T* stats, T* dq, T* dk, T* dv,
              const Sizes& s, long threads) {
    const long panels = ceil_div(s.M, kPanel<T>), most = panels_at_once<T>(s.M, 2 * (s.d + s.e), s, threads);
    const long parts = std::min(panels, ceil_div(4 * threads, s.N)), wide = ceil_div(s.d, kLanes<T>) * kLanes<T>;
    Memory<T> dot(s.N * s.L), shares(s.N * parts * s.L * wide);
#pragma omp parallel num_threads(threads)
    {
        const Backward<T> thread{s, most};
#pragma omp for collapse(2) schedule(dynamic)
        for (long n = 0; n < s.N; n++)
            for (long start = 0; start < s.L; start += kChunk)
                dots(go + n * s.e * s.L, o + n * s.e * s.L, dot + n * s.L, s, start);
#pragma omp for schedule(dynamic)
        for (long i = 0; i < s.N * parts; i++) {
            const long n = i / parts, end = panels * (i % parts + 1) / parts;
            std::fill(shares + i * s.L * wide, shares + (i + 1) * s.L * wide, T(0));
            for (long p = panels * (i % parts) / parts; p < end; p += most)
                thread.run(go + n * s.e * s.L, q + n * s.d * s.L, k + n * s.d * s.M, v + n * s.e * s.M,
                           stats + 2 * n * s.L, dot + n * s.L, shares + i * s.L * wide, dk + n * s.d * s.M,
                           dv + n * s.e * s.M, p, std::min(end, p + most));
        }
#pragma omp for collapse(2) schedule(dynamic)
        for (long n = 0; n < s.N; n++)
            for (long start = 0; start < s.L; start += kChunk)
                gather(shares + n * parts * s.L * wide, parts, wide, dq + n * s.d * s.L, s, start);
    }
}

}  // namespace

#define FOR_TYPE(T, name)                                                                                        \
    extern "C" void attend_##name(const T* q, const T* k, const T* v, T* o, T* stats, const Sizes& s, long threads) { \
        forward<T>(q, k, v, o, stats, s, threads);                                                               \
    }                                                                                                            \
    extern "C" void attend_grad_##name(const T* go, const T* q, const T* k, const T* v, const T* o,              \
                                       const T* stats, T* dq, T* dk, T* dv, const Sizes& s, long threads) {      \
        backward<T>(go, q, k, v, o, stats, dq, dk, dv, s, threads);                                              \
    }
FOR_TYPE(float, float)
FOR_TYPE(double, double)
