// Products of small matrices that fit into the cache, one of them a panel two vectors wide, and e^x.
#pragma once
#include <new>

#include "panels.hpp"

constexpr long kTile = 96;  // places that are multiplied with a panel at a time; a multiple of kRows

inline long ceil_div(long n, long unit) { return (n + unit - 1) / unit; }

// An uninitialised array, aligned to a cache line.
template <class T> struct Memory {
    T* data;
    explicit Memory(long size) : data(static_cast<T*>(::operator new(size * sizeof(T), std::align_val_t(64)))) {}
    Memory(const Memory&) = delete;
    ~Memory() { ::operator delete(data, std::align_val_t(64)); }
    operator T*() const { return data; }
};

// e^x with an error of about one unit in the last place, for x <= 0 up to rounding. Results too small to change a
// sum that contains a 1 are 0: otherwise their products would be denormal numbers, which are slow.
template <class T> Vec<T> exponential(Vec<T> x) {
    constexpr bool kSingle = sizeof(T) == 4;
    typedef std::conditional_t<kSingle, unsigned, unsigned long> Bits __attribute__((vector_size(kBytes)));
    constexpr int kMantissa = kSingle ? 23 : 52, kDegree = kSingle ? 7 : 13;
    constexpr long double kLog2 = 0.693147180559945309417232121458L;
    constexpr long kUnit = kSingle ? 1L << 9 : 1L << 32;  // multiples of `high` are exact
    constexpr T high = T(long(kLog2 * kUnit)) / kUnit, low = T(kLog2 - high), lowest = kSingle ? -64 : -640;
    constexpr T whole = T(3L << (kMantissa - 1));  // adding it rounds to a whole number
    const Vec<T> power = x * T(1 / kLog2) + whole, n = power - whole, f = x - n * high - n * low;
    long double factorial = 1;
    for (int k = 2; k <= kDegree; k++) factorial *= k;
    Vec<T> sum = Vec<T>{} + T(1 / factorial);
#pragma GCC unroll 13
    for (int k = kDegree; k > 0; k--) factorial /= k, sum = sum * f + T(1 / factorial);
    return x < lowest ? Vec<T>{} : (Vec<T>)((Bits)sum + ((Bits)power << kMantissa));  // a NaN stays a NaN
}

// R rows of the left matrix, whose element (i, r) is a[i * Row + r * Step], times W vectors of each row of b.
template <class T, int R, int W, long Row, long Step, class Into>
void block_of_rows(const T* a, const T* b, T* c, long depth, long pitch, Into into) {
    constexpr int L = kLanes<T>;
    Vec<T> sum[R][W] = {};
    for (long r = 0; r < depth; r++) {
        Vec<T> right[W];
        for (int w = 0; w < W; w++) right[w] = load(b + r * pitch + w * L);
#pragma GCC unroll 12
        for (int i = 0; i < R; i++)
            for (int w = 0; w < W; w++) sum[i][w] += a[i * Row + r * Step] * right[w];
    }
    for (int i = 0; i < R; i++)
        for (int w = 0; w < W; w++) {
            T* to = c + i * pitch + w * L;
            store(to, into(load(to), sum[i][w], w));
        }
}

// c (rows, pitch) = into(c, left (rows, depth) @ b (depth, pitch)), W vectors of each row of b and c.
template <class T, int W, long Row, long Step, class Into>
void multiply(const T* a, const T* b, T* c, long rows, long depth, long pitch, Into into) {
    long i = 0;
    for (; i + kRows <= rows; i += kRows)
        block_of_rows<T, kRows, W, Row, Step>(a + i * Row, b, c + i * pitch, depth, pitch, into);
    for (; i + 4 <= rows; i += 4)
        block_of_rows<T, 4, W, Row, Step>(a + i * Row, b, c + i * pitch, depth, pitch, into);
    for (; i < rows; i++) block_of_rows<T, 1, W, Row, Step>(a + i * Row, b, c + i * pitch, depth, pitch, into);
}

// How `multiply` combines an element of c with the new sum.
template <class T> struct Put {
    Vec<T> operator()(Vec<T>, Vec<T> sum, int) const { return sum; }
};
template <class T> struct Add {
    Vec<T> operator()(Vec<T> old, Vec<T> sum, int) const { return old + sum; }
};
template <class T> struct ShrinkAndAdd {
    Vec<T> by[2];
    Vec<T> operator()(Vec<T> old, Vec<T> sum, int w) const { return old * by[w] + sum; }
};

// Copies the places from `at` of a matrix (rows, places) to (rows, wide), with zeros after the last place.
template <class T> void cut(const T* from, long rows, long places, long at, long wide, T* to) {
    const long count = std::min(wide, places - at);
    for (long r = 0; r < rows; r++) {
        std::memcpy(to + r * wide, from + r * places + at, count * sizeof(T));
        std::fill(to + r * wide + count, to + (r + 1) * wide, T(0));
    }
}

// The opposite of cut().
template <class T> void paste(const T* from, long rows, long places, long at, long wide, T* to) {
    const long count = std::min(wide, places - at);
    for (long r = 0; r < rows; r++) std::memcpy(to + r * places + at, from + r * wide, count * sizeof(T));
}
