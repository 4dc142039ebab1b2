// Instance norm without weights, with or without ReLU, and its gradient; each plane stays in the cache.
#include <cmath>
#include <limits>

#include "panels.hpp"

namespace {

// Sums two functions of element i over a plane; sums of blocks are added in double precision.
template <class T, class F> void sums(long size, F f, double (&total)[2]) {
    constexpr int L = kLanes<T>, kBlock = 64 * L;
    total[0] = total[1] = 0;
    for (long start = 0; start < size; start += kBlock) {
        Vec<T> part[2][2] = {};
        const long end = std::min<long>(size, start + kBlock);
        long i = start;
        for (; i + 2 * L <= end; i += 2 * L)
            for (int w = 0; w < 2; w++) f(i + w * L, L, part[0][w], part[1][w]);
        for (; i < end; i += L) f(i, std::min<long>(L, end - i), part[0][0], part[1][0]);
        for (int k = 0; k < 2; k++)
            for (int lane = 0; lane < L; lane++) total[k] += double(part[k][0][lane]) + double(part[k][1][lane]);
    }
}

template <class T> auto some(const T* p, long count) { return Simd<T, kLanes<T>>::load_some(p, count); }

// y = max((x - mean) / sqrt(var + eps), floor), with floor 0 for ReLU, else -infinity; stats = (mean, 1 / deviation).
template <class T> void plane_norm(const T* x, T* y, T* stats, long size, double eps, T floor) {
    double total[2], squares[2];
    sums<T>(size, [=](long i, long n, Vec<T>& a, Vec<T>&) { a += some(x + i, n); }, total);
    const T mean = T(total[0] / size);
    sums<T>(size, [=](long i, long n, Vec<T>& a, Vec<T>&) {
        Vec<T> d = some(x + i, n) - mean;
        for (int lane = n; lane < kLanes<T>; lane++) d[lane] = 0;
        a += d * d;
    }, squares);
    const T scale = T(1 / std::sqrt(squares[0] / size + eps));
    for (long i = 0; i < size; i++) {
        const T v = (x[i] - mean) * scale;
        y[i] = v < floor ? floor : v;  // a NaN stays a NaN
    }
    stats[0] = mean, stats[1] = scale;
}

// dx = scale (g - mean(g) - z mean(g z)) with z the normalised x and g = dy where z > floor.
template <class T> void plane_grad(const T* gy, const T* x, const T* stats, T* gx, long size, T floor) {
    const T mean = stats[0], scale = stats[1];
    double total[2];
    sums<T>(size, [=](long i, long n, Vec<T>& a, Vec<T>& b) {
        const Vec<T> z = (some(x + i, n) - mean) * scale, g = z > floor ? some(gy + i, n) : Vec<T>{};
        a += g;
        b += g * z;
    }, total);
    const T middle = T(total[0] / size), slope = T(total[1] / size);
    for (long i = 0; i < size; i++) {
        const T z = (x[i] - mean) * scale, g = z > floor ? gy[i] : T(0);
        gx[i] = scale * (g - middle - z * slope);
    }
}

template <class T> T floor_of(long relu) { return relu ? T(0) : -std::numeric_limits<T>::infinity(); }

}  // namespace

#define FOR_TYPE(T, name)                                                                                       \
    extern "C" void norm_##name(const T* x, T* y, T* stats, long planes, long size, long relu, double eps,      \
                                long threads) {                                                                  \
        _Pragma("omp parallel for schedule(dynamic, 4) num_threads(threads)")                                   \
        for (long i = 0; i < planes; i++)                                                                       \
            plane_norm<T>(x + i * size, y + i * size, stats + 2 * i, size, eps, floor_of<T>(relu));             \
    }                                                                                                           \
    extern "C" void norm_grad_##name(const T* gy, const T* x, const T* stats, T* gx, long planes, long size,    \
                                     long relu, long threads) {                                                  \
        _Pragma("omp parallel for schedule(dynamic, 4) num_threads(threads)")                                   \
        for (long i = 0; i < planes; i++)                                                                       \
            plane_grad<T>(gy + i * size, x + i * size, stats + 2 * i, gx + i * size, size, floor_of<T>(relu));  \
    }
FOR_TYPE(float, float)
FOR_TYPE(double, double)
