// Vectors of this machine's width, and products of matrices that are stored in panels.
//
// A matrix (rows, n) in panels is ceil(n / kPanel) blocks of (rows, kPanel), so that the inner loop of a product
// reads contiguous memory. The vector extension of g++ and clang makes the code portable between CPUs.
#pragma once
#ifdef __AVX512F__
#include <immintrin.h>
#endif
#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#ifdef __AVX512F__
constexpr int kBytes = 64, kRows = 12;  // 12 x 2 sums, 2 operands and 1 factor fit into 32 registers
#else
constexpr int kBytes = 32, kRows = 6;
#endif
template <class T> constexpr int kLanes = kBytes / sizeof(T);
template <class T> constexpr int kPanel = 2 * kLanes<T>;

template <class T, int L> struct Simd {
    typedef T Vec __attribute__((vector_size(L * sizeof(T))));
    typedef T Unaligned __attribute__((vector_size(L * sizeof(T)), aligned(alignof(T)), may_alias));
    static Vec load(const T* p) { return *reinterpret_cast<const Unaligned*>(p); }
    static void store(T* p, Vec v) { *reinterpret_cast<Unaligned*>(p) = v; }
    // Loads the first `count` lanes; the others are 0.
    static Vec load_some(const T* p, long count) {
        if (count == L) return load(p);
        Vec v = {};
#ifdef __AVX512VL__
        const unsigned mask = (1u << count) - 1;
        if constexpr (sizeof(T) == 4 && L == 16) return (Vec)_mm512_maskz_loadu_ps(mask, p);
        if constexpr (sizeof(T) == 4 && L == 8) return (Vec)_mm256_maskz_loadu_ps(mask, p);
#endif
        std::memcpy(&v, p, count * sizeof(T));
        return v;
    }
    static void store_some(T* p, Vec v, long count) {
        if (count == L) return store(p, v);
#ifdef __AVX512VL__
        const unsigned mask = (1u << count) - 1;
        if constexpr (sizeof(T) == 4 && L == 16) return _mm512_mask_storeu_ps(p, mask, (__m512)v);
        if constexpr (sizeof(T) == 4 && L == 8) return _mm256_mask_storeu_ps(p, mask, (__m256)v);
#endif
        std::memcpy(p, &v, count * sizeof(T));
    }
    // A non-temporal store of one whole cache line, for data that is read much later; `p` is aligned to 64 bytes.
    // These stores are weakly ordered: call fence_streams() before another thread may read the data.
    static void stream(T* p, Vec v) {
#ifdef __AVX512F__
        if constexpr (sizeof(Vec) == 64) return _mm512_stream_si512(reinterpret_cast<__m512i*>(p), (__m512i)v);
#endif
        store(p, v);
    }
};

template <class T> using Vec = typename Simd<T, kLanes<T>>::Vec;
template <class T> Vec<T> load(const T* p) { return Simd<T, kLanes<T>>::load(p); }
template <class T> void store(T* p, Vec<T> v) { Simd<T, kLanes<T>>::store(p, v); }

// Orders the stores of Simd::stream() before the barrier that hands their data to other threads.
inline void fence_streams() {
#ifdef __AVX512F__
    _mm_sfence();
#endif
}

// One step of a transposition: blocks of `Size` lanes are swapped between two rows.
template <int Size, int High, class V, int... I> V exchange(V a, V b, std::integer_sequence<int, I...>) {
    constexpr int L = sizeof...(I);
    return __builtin_shufflevector(a, b, ((I & Size) ? L + (High ? I : I - Size) : (High ? I + Size : I))...);
}

template <int Size, class V, int L> void transpose(V (&rows)[L]) {
    if constexpr (Size < L) {
        using Order = std::make_integer_sequence<int, L>;
        for (int i = 0; i < L; i++)
            if (!(i & Size)) {
                V a = rows[i], b = rows[i + Size];
                rows[i] = exchange<Size, 0>(a, b, Order());
                rows[i + Size] = exchange<Size, 1>(a, b, Order());
            }
        transpose<2 * Size>(rows);
    }
}

// A matrix in panels; at(row, column) is the address of an element.
template <class T> struct Panels {
    T* data;
    long rows;
    T* at(long row, long column) const {
        constexpr long N = kPanel<T>;
        return data + column / N * N * rows + row * N + column % N;
    }
};

// c[i][:] (+)= sum over r of a[r][i] * b[r][:], R rows of one panel.
template <class T, int R> void kernel(const T* a, const T* b, T* c, long depth, bool add) {
    constexpr int L = kLanes<T>, N = kPanel<T>;
    Vec<T> sum[R][2] = {};
    if (add)
        for (int i = 0; i < R; i++)
            for (int w = 0; w < 2; w++) sum[i][w] = load(c + i * N + w * L);
    for (long r = 0; r < depth; r++) {
        const Vec<T> left = load(b + r * N), right = load(b + r * N + L);
        __builtin_prefetch(b + (r + 16) * N);
        __builtin_prefetch(b + (r + 16) * N + L);
#pragma GCC unroll 12
        for (int i = 0; i < R; i++) {
            sum[i][0] += a[r * R + i] * left;
            sum[i][1] += a[r * R + i] * right;
        }
    }
    for (int i = 0; i < R; i++)
        for (int w = 0; w < 2; w++) store(c + i * N + w * L, sum[i][w]);
}

enum class Contiguous { rows, columns };

// Copies R rows of the left matrix, interleaved; `Order` says where its elements are contiguous.
template <class T, int R, Contiguous Order, class At> void interleave(At at, long m, long r0, long depth, T* to) {
    constexpr int L = kLanes<T>;
    if constexpr (Order == Contiguous::columns)
        for (long r = 0; r < depth; r++) std::memcpy(to + r * R, at(m, r0 + r), R * sizeof(T));
    else
        for (long r = 0; r < depth; r += L) {
            Vec<T> block[L] = {};
            for (int i = 0; i < std::min(R, L); i++) block[i] = load<T>(at(m + i, r0 + r));
            transpose<1>(block);
            for (int i = L; i < R; i++)
                for (int lane = 0; lane < L; lane++) to[(r + lane) * R + i] = at(m + i, r0 + r)[lane];
            for (int lane = 0; lane < L; lane++) std::memcpy(to + (r + lane) * R, &block[lane], std::min(R, L) * sizeof(T));
        }
}

template <class T, int R, Contiguous Order, class At>
void some_rows(At at, long m, Panels<T> b, long r0, long depth, Panels<T> c, long n0, long n1, T* left, bool add) {
    interleave<T, R, Order>(at, m, r0, depth, left);  // once for all panels of B
    for (long n = n0; n < n1; n += kPanel<T>) kernel<T, R>(left, b.at(r0, n), c.at(m, n), depth, add);
}

// C (M, n) (+)= left (M, depth) @ B (depth, n), in blocks of B that fit into the L2 cache. at(row, r) is the address
// of an element of the left matrix, whose rows (then readable beyond the last element) or columns are contiguous.
template <class T, Contiguous Order, class At>
void product(At at, Panels<T> b, Panels<T> c, long M, long depth, long n, bool add = false) {
    constexpr long kDepth = 512, kBlock = 256 * 1024 / sizeof(T);
    alignas(64) T left[(kDepth + kLanes<T>) * kRows];
    for (long r = 0; r < depth; r += kDepth) {
        const long some = std::min(kDepth, depth - r), wide = std::max(kBlock / some / kPanel<T>, 1L) * kPanel<T>;
        for (long n0 = 0; n0 < n; n0 += wide) {
            const long n1 = std::min(n, n0 + wide);
            long m = 0;
            for (; m + kRows <= M; m += kRows) some_rows<T, kRows, Order>(at, m, b, r, some, c, n0, n1, left, add || r);
            for (; m + 4 <= M; m += 4) some_rows<T, 4, Order>(at, m, b, r, some, c, n0, n1, left, add || r);
            for (; m < M; m++) some_rows<T, 1, Order>(at, m, b, r, some, c, n0, n1, left, add || r);
        }
    }
}

// V (rows, n) in panels of n -> its transpose (n, rows) in panels of rows; `to` has space for whole panels.
template <class T> void transpose_panels(Panels<T> v, long n, Panels<T> to) {
    constexpr int L = kLanes<T>;
    for (long p = 0; p < n; p += L)
        for (long c = 0; c < v.rows; c += L) {
            Vec<T> block[L];
            for (int i = 0; i < L; i++) block[i] = load<T>(v.at(std::min(c + i, v.rows - 1), p));
            transpose<1>(block);
            for (int i = 0; i < L && p + i < n; i++) store(to.at(p + i, c), block[i]);
        }
}
