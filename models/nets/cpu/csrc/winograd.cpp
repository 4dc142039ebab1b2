// Winograd convolution on the CPU: Y = A^T [ sum over channels of (G g G^T) * (B^T d B) ] A and its adjoints.
//
// 3x3 with stride 1 uses F(4x4, 3x3). 4x4 with stride 2 and zero padding of 1 equals 2x2 with stride 1 over the four
// phases of the image, pixels (2r + a - 1, 2j + b - 1) for a, b in {0, 1}, as separate channels: F(4x4, 2x2). The
// matrix products between the transforms have 1/4 and 1/2.56 of the multiplications of the direct convolution.
//
// The C interface needs no headers of torch, so it compiles in seconds and fits every version of torch. Loops are
// dynamic, so that a thread that loses its core for a while does not delay the others much. Batches are split into
// blocks whose transforms fit into the last-level cache.
#include "transforms.hpp"

namespace {

enum Kind : long { kUnpadded, kZeros, kReflected, kHalving };

struct Shape {
    long N, C, K, H, W, kind;
};

constexpr long kCache = 24 << 20;  // bytes of V and M together for one block of images

template <class T> constexpr int kHalf = std::min(kLanes<T>, std::max(kLanes<T> / 2, 8));  // half a vector, if that has 8 lanes or more

// All sizes that follow from a shape; the matrices of U, V and M are `step_*` elements apart.
template <class T, class F, int Step> struct Layout {
    static constexpr int Products = F::Tile * F::Tile, Taps = F::Taps * F::Taps, Planes = Step * Step;
    const Shape s;
    const bool pad = s.kind != kUnpadded;
    const Border border = s.kind == kReflected ? Border::reflection : pad ? Border::zero : Border::none;
    const long height = Step == 2 ? s.H / 2 : s.H + 2 * pad - 2, width = Step == 2 ? s.W / 2 : s.W + 2 * pad - 2;
    const long channels = s.C * Planes, wide = up(channels, kPanel<T>);
    const Tiling whole{s.N, (height + 3) / 4, (width + 3) / 4, kLanes<T>};
    const Tiling halves{s.N, (height + 3) / 4, (width + 3) / 4, kHalf<T>};
    // half vectors, if a batch with few rows of tiles would leave many lanes of whole vectors empty
    const bool halved = 8 * whole.places(s.N) > 9 * halves.places(s.N);
    const Tiling& tiling = halved ? halves : whole;
    // 16 more elements keep the matrices from competing for the same cache sets, and aligned
    const long step_u = s.K * wide + 16;
    const long block = images_a_block(), places = tiling.places(block);
    const long step_v = channels * up(places, kPanel<T>) + 16, step_m = s.K * up(places, kPanel<T>) + 16;

    explicit Layout(const Shape& shape) : s(shape) {}
    long images_a_block() const {
        const long each = Products * (channels + s.K) * sizeof(T) * tiling.places(tiling.images);
        const long room = std::max<long>(kCache, 2 * Products * step_u * sizeof(T));
        return std::min(s.N, std::max(room / each, 1L) * tiling.images);
    }
};

// g (C, taps) of one output channel -> row of U = G g G^T, and for the gradient g = G^T U G. Tap (i, j) of phase (a, b)
// is element (Step i + a, Step j + b) of the kernel.
template <class T, class F, int Step> struct Filters {
    using At = Layout<T, F, Step>;
    static constexpr int L = kLanes<T>, N = F::Tile, n = F::Taps, side = n * Step;
    using S = Simd<T, L>;
    const At& at;
    std::vector<T> taps = std::vector<T>(At::Taps * at.wide);

    template <class Do> void each_tap(Do f) const {  // f(index in the kernel of a channel, index in `taps`)
        for (int i = 0; i < side; i++)
            for (int j = 0; j < side; j++)
                f(side * i + j, (i / Step * n + j / Step) * at.wide + i % Step * Step + j % Step);
    }
    void forward(const T* w, T* u) {
        for (long c = 0; c < at.s.C; c++)
            each_tap([&](long k, long to) { taps[to + c * At::Planes] = w[side * side * c + k]; });
        for (long c = 0; c < at.wide; c += L) {
            typename S::Vec g[n][n], e[N][N];
            for (int k = 0; k < n * n; k++) g[k / n][k % n] = S::load(&taps[k * at.wide + c]);
            both_sides<typename F::G>(g, e);
            for (int k = 0; k < N * N; k++) S::stream(u + k * at.step_u + c, e[k / N][k % N]);
        }
        fence_streams();
    }
    void backward(T* u, T* w, long row) {
        for (long c = 0; c < at.wide; c += L) {
            typename S::Vec e[N][N], g[n][n];
            const T* from = Panels<T>{u, at.s.K}.at(row, c);
            for (int k = 0; k < N * N; k++) e[k / N][k % N] = S::load(from + k * at.step_u);
            both_sides<typename F::GT>(e, g);
            for (int k = 0; k < n * n; k++) S::store(&taps[k * at.wide + c], g[k / n][k % n]);
        }
        for (long c = 0; c < at.s.C; c++)
            each_tap([&](long k, long from) { w[side * side * c + k] = taps[from + c * At::Planes]; });
    }
};

template <class T, int L, class F, int Step> Transform<T, L, F, Step> transform(const Layout<T, F, Step>& at, long N) {
    return {{N, at.s.C, at.s.H, at.s.W, at.border, at.tiling},
            {N, at.s.K, at.height, at.width, Border::none, at.tiling},
            at.step_v,
            at.step_m};
}

template <class T, int L, class F, int Step>
void forward(const T* x, const T* w, const T* bias, T* y, T* u, T* v, T* m, const Layout<T, F, Step>& at, long threads) {
    const Shape& s = at.s;
#pragma omp parallel num_threads(threads)
    {
        Filters<T, F, Step> filters{at};
#pragma omp for schedule(dynamic, 4) nowait
        for (long k = 0; k < s.K; k++) filters.forward(w + k * s.C * filters.side * filters.side, u + k * at.wide);
        for (long n = 0; n < s.N; n += at.block) {
            const long images = std::min(at.block, s.N - n);
            const long chunks = at.tiling.chunks(images), places = at.tiling.places(images);
            auto turn = transform<T, L>(at, images);
#pragma omp for schedule(dynamic, 4)
            for (long i = 0; i < chunks * s.C; i++)
                turn.input(x + n * s.C * s.H * s.W, {v, at.channels}, i / s.C, i % s.C);
#pragma omp for schedule(dynamic)
            for (int e = 0; e < at.Products; e++) {  // M = U V
                const T* left = u + e * at.step_u;
                product<T, Contiguous::rows>([=, &at](long k, long c) { return left + k * at.wide + c; },
                                   {v + e * at.step_v, at.channels}, {m + e * at.step_m, s.K}, s.K, at.channels, places);
            }
#pragma omp for schedule(dynamic, 4)
            for (long i = 0; i < chunks * s.K; i++)
                turn.output({m, s.K}, bias ? bias[i % s.K] : T(0), y + n * s.K * at.height * at.width, i / s.K, i % s.K);
        }
    }
}

// Gradients of x (plus `start` of its channel) and w, each if not null; `u`, `v`, `m` and `du` are scratch memory. U is
// computed again: stored in the forward pass, the U of a large net would take more memory than its features.
template <class T, int L, class F, int Step>
void backward(const T* gy, const T* x, const T* w, const T* start, T* gx, T* gw, T* u, T* v, T* m, T* du,
              const Layout<T, F, Step>& at, long threads) {
    const Shape& s = at.s;
#pragma omp parallel num_threads(threads)
    {
        Filters<T, F, Step> filters{at};
        std::vector<T> turned(gw ? (at.places + 32) * at.wide : 0);
        const long kernel = s.C * filters.side * filters.side;
        if (gx)
#pragma omp for schedule(dynamic, 4) nowait
            for (long k = 0; k < s.K; k++) filters.forward(w + k * kernel, u + k * at.wide);
        for (long n = 0; n < s.N; n += at.block) {
            const long images = std::min(at.block, s.N - n), before = n * s.C * s.H * s.W;
            const long chunks = at.tiling.chunks(images), places = at.tiling.places(images);
            auto turn = transform<T, L>(at, images);
            if (gw)
#pragma omp for schedule(dynamic, 4) nowait
                for (long i = 0; i < chunks * s.C; i++)
                    turn.input(x + before, {v, at.channels}, i / s.C, i % s.C);
#pragma omp for schedule(dynamic, 4)
            for (long i = 0; i < chunks * s.K; i++)
                turn.output_grad(gy + n * s.K * at.height * at.width, {m, s.K}, i / s.K, i % s.K);
#pragma omp for schedule(dynamic)
            for (int e = 0; e < at.Products; e++) {
                const Panels<T> image_e{v + e * at.step_v, at.channels}, grad_e{m + e * at.step_m, s.K};
                if (gw) {  // dU = dM V^T
                    transpose_panels<T>(image_e, places, {turned.data(), places});
                    product<T, Contiguous::rows>([=](long k, long p) { return grad_e.at(k, p); }, {turned.data(), places},
                                       {du + e * at.step_u, s.K}, s.K, places, at.channels, n > 0);
                }
                const T* left = u + e * at.step_u;
                if (gx)  // dV = U^T dM overwrites V
                    product<T, Contiguous::columns>([=, &at](long c, long k) { return left + k * at.wide + c; }, grad_e, image_e,
                                          at.channels, s.K, places);
            }
            if (gx)
#pragma omp for schedule(dynamic, 4)
                for (long i = 0; i < chunks * s.C; i++)
                    turn.input_grad({v, at.channels}, gx + before, start ? start[i % s.C] : T(0), i / s.C, i % s.C);
        }
        if (gw)
#pragma omp for schedule(dynamic, 4)
            for (long k = 0; k < s.K; k++) filters.backward(du, gw + k * kernel, k);
    }
}

// Calls f(layout, lanes) with the algorithm for this shape.
template <class T, class Do> void choose(const Shape& s, Do f) {
    const auto with = [&](const auto& at) {
        at.halved ? f(at, std::integral_constant<int, kHalf<T>>()) : f(at, std::integral_constant<int, kLanes<T>>());
    };
    s.kind == kHalving ? with(Layout<T, F42, 2>(s)) : with(Layout<T, F43, 1>(s));
}

}  // namespace

#define FOR_TYPE(T, name)                                                                                        \
    extern "C" void sizes_##name(const Shape& s, long* uvm, long) {                                              \
        choose<T>(s, [&](const auto& at, auto) {                                                                 \
            uvm[0] = at.Products * at.step_u, uvm[1] = at.Products * at.step_v, uvm[2] = at.Products * at.step_m; \
        });                                                                                                      \
    }                                                                                                            \
    extern "C" void forward_##name(const T* x, const T* w, const T* bias, T* y, T* u, T* v, T* m, const Shape& s, \
                                   long threads) {                                                               \
        choose<T>(s, [&](const auto& at, auto L) { forward<T, L>(x, w, bias, y, u, v, m, at, threads); });       \
    }                                                                                                            \
    extern "C" void backward_##name(const T* gy, const T* x, const T* w, const T* start, T* gx, T* gw, T* u,     \
                                    T* v, T* m, T* du, const Shape& s, long threads) {                           \
        choose<T>(s, [&](const auto& at, auto L) {                                                               \
            backward<T, L>(gy, x, w, start, gx, gw, u, v, m, du, at, threads);                                   \
        });                                                                                                      \
    }
FOR_TYPE(float, float)
FOR_TYPE(double, double)
