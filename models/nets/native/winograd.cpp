// Winograd convolution 3x3 on the CPU: Y = A^T [ sum over channels of (G g G^T) * (B^T d B) ] A and its adjoints.
//
// The 36 products of matrices between the transforms have a quarter of the direct convolution's
// multiplications. A plain C interface without torch's headers: it compiles in seconds and depends on no
// version of torch. One parallel region a pass, its loops dynamic: few barriers, and a thread that lost its core
// to another process holds up the others little.
#include "transforms.hpp"

namespace {

struct Shape {
    long N, C, K, H, W, pad;
};

// Sizes that follow from a shape: `places` is the number of tiles with the empty ones, wide_* a row's length.
template <class T> struct Layout {
    const Shape s;
    static long up(long n, long unit) { return (n + unit - 1) / unit * unit; }
    long rows() const { return (s.H + 2 * s.pad + 1) / 4; }
    long cols() const { return (s.W + 2 * s.pad + 1) / 4; }
    long places() const { return s.N * rows() * up(cols(), kLanes<T> / 2); }
    long wide() const { return up(s.C, kPanel<T>); }
    // 16 elements more than needed keep the 36 matrices off the same cache sets
    long step_u() const { return s.K * wide() + 16; }
    long step_v() const { return s.C * up(places(), kPanel<T>) + 16; }
    long step_m() const { return s.K * up(places(), kPanel<T>) + 16; }
};

// g (C, 3, 3) of one output channel -> row of U = G g G^T, and back g = G^T U G.
template <class T> void filter(const T* w, T* u, const Layout<T>& at, std::vector<T>& nine) {
    constexpr int L = kLanes<T>;
    const long wide = at.wide();
    for (long c = 0; c < at.s.C; c++)
        for (int k = 0; k < 9; k++) nine[k * wide + c] = w[9 * c + k];
    for (long c = 0; c < wide; c += L) {
        typename Simd<T, L>::Vec g[3][3], e[6][6];
        for (int k = 0; k < 9; k++) g[k / 3][k % 3] = Simd<T, L>::load(&nine[k * wide + c]);
        both_sides<G>(g, e);
        for (int k = 0; k < 36; k++) Simd<T, L>::stream(u + k * at.step_u() + c, e[k / 6][k % 6]);
    }
}

template <class T> void filter_grad(T* u, T* w, long row, const Layout<T>& at, std::vector<T>& nine) {
    constexpr int L = kLanes<T>;
    const long wide = at.wide();
    for (long c = 0; c < wide; c += L) {
        typename Simd<T, L>::Vec e[6][6], g[3][3];
        const T* from = Panels<T>{u, at.s.K}.at(row, c);
        for (int k = 0; k < 36; k++) e[k / 6][k % 6] = Simd<T, L>::load(from + k * at.step_u());
        both_sides<GT>(e, g);
        for (int k = 0; k < 9; k++) Simd<T, L>::store(&nine[k * wide + c], g[k / 3][k % 3]);
    }
    for (long c = 0; c < at.s.C; c++)
        for (int k = 0; k < 9; k++) w[9 * c + k] = nine[k * wide + c];
}

template <class T, int L>
void forward(const T* x, const T* w, const T* bias, T* y, T* u, T* v, T* m, const Shape& s, long threads) {
    const Layout<T> at{s};
    const Plane in{s.H, s.W, s.pad, at.step_v()}, out{s.H, s.W, s.pad, at.step_m()};
    const long places = at.places(), each = places / s.N, outside = in.out_height() * in.out_width();
#pragma omp parallel num_threads(threads)
    {
        Transform<T, L> reads{in}, writes{out};
        std::vector<T> nine(9 * at.wide());
#pragma omp for schedule(dynamic, 4) nowait
        for (long k = 0; k < s.K; k++) filter(w + k * s.C * 9, u + k * at.wide(), at, nine);
#pragma omp for schedule(dynamic, 4)
        for (long i = 0; i < s.N * s.C; i++)
            reads.input(x + i * s.H * s.W, Panels<T>{v, s.C}, i % s.C, i / s.C * each);
#pragma omp for schedule(dynamic)
        for (int e = 0; e < 36; e++) {  // M = U V
            const T* left = u + e * at.step_u();
            product<T, ByRows>([=](long k, long c) { return left + k * at.wide() + c; },
                               {v + e * at.step_v(), s.C}, {m + e * at.step_m(), s.K}, s.K, s.C, places);
        }
#pragma omp for schedule(dynamic, 4)
        for (long i = 0; i < s.N * s.K; i++)
            writes.output(Panels<T>{m, s.K}, bias ? bias[i % s.K] : T(0), y + i * outside, i % s.K, i / s.K * each);
    }
}

// Gradients of x and w, each unless null; `u`, `v`, `m` and `du` are scratch. U is computed anew: kept from the
// forward pass, those of a large net would take more memory than its features.
template <class T, int L>
void backward(const T* gy, const T* x, const T* w, T* gx, T* gw, T* u, T* v, T* m, T* du, const Shape& s,
              long threads) {
    const Layout<T> at{s};
    const Plane in{s.H, s.W, s.pad, at.step_v()}, out{s.H, s.W, s.pad, at.step_m()};
    const long places = at.places(), each = places / s.N, outside = in.out_height() * in.out_width();
#pragma omp parallel num_threads(threads)
    {
        Transform<T, L> image{in}, grad{out};
        std::vector<T> nine(9 * at.wide()), turned(gw ? (places + 32) * at.wide() : 0);
        if (gx)
#pragma omp for schedule(dynamic, 4) nowait
            for (long k = 0; k < s.K; k++) filter(w + k * s.C * 9, u + k * at.wide(), at, nine);
        if (gw)
#pragma omp for schedule(dynamic, 4) nowait
            for (long i = 0; i < s.N * s.C; i++)
                image.input(x + i * s.H * s.W, Panels<T>{v, s.C}, i % s.C, i / s.C * each);
#pragma omp for schedule(dynamic, 4)
        for (long i = 0; i < s.N * s.K; i++)
            grad.output_grad(gy + i * outside, Panels<T>{m, s.K}, i % s.K, i / s.K * each);
#pragma omp for schedule(dynamic)
        for (int e = 0; e < 36; e++) {
            const Panels<T> image_e{v + e * at.step_v(), s.C}, grad_e{m + e * at.step_m(), s.K};
            if (gw) {  // dU = dM V^T
                transpose_panels<T>(image_e, places, {turned.data(), places});
                product<T, ByRows>([=](long k, long p) { return grad_e.at(k, p); }, {turned.data(), places},
                                   {du + e * at.step_u(), s.K}, s.K, places, s.C);
            }
            const T* left = u + e * at.step_u();
            if (gx)  // dV = U^T dM takes V's place
                product<T, ByColumns>([=](long c, long k) { return left + k * at.wide() + c; }, grad_e, image_e, s.C,
                                      s.K, places);
        }
        if (gw)
#pragma omp for schedule(dynamic, 4) nowait
            for (long k = 0; k < s.K; k++) filter_grad(du, gw + k * s.C * 9, k, at, nine);
        if (gx)
#pragma omp for schedule(dynamic, 4)
            for (long i = 0; i < s.N * s.C; i++)
                image.input_grad(Panels<T>{v, s.C}, gx + i * s.H * s.W, i % s.C, i / s.C * each);
    }
}

// Half vectors where whole ones would leave half of the last one in a row of tiles empty.
template <class T> bool halves(const Shape& s) {
    constexpr int half = kLanes<T> / 2;
    return (Layout<T>{s}.cols() + half - 1) / half % 2;
}

}  // namespace

#define FOR_TYPE(T, name)                                                                                        \
    extern "C" void sizes_##name(Shape s, long* uvm) {                                                           \
        const Layout<T> at{s};                                                                                   \
        uvm[0] = 36 * at.step_u(), uvm[1] = 36 * at.step_v(), uvm[2] = 36 * at.step_m();                         \
    }                                                                                                            \
    extern "C" void forward_##name(const T* x, const T* w, const T* bias, T* y, T* u, T* v, T* m, Shape s,       \
                                   long threads) {                                                               \
        (halves<T>(s) ? forward<T, kLanes<T> / 2> : forward<T, kLanes<T>>)(x, w, bias, y, u, v, m, s, threads);  \
    }                                                                                                            \
    extern "C" void backward_##name(const T* gy, const T* x, const T* w, T* gx, T* gw, T* u, T* v, T* m, T* du,  \
                                    Shape s, long threads) {                                                     \
        (halves<T>(s) ? backward<T, kLanes<T> / 2> : backward<T, kLanes<T>>)(gy, x, w, gx, gw, u, v, m, du, s,   \
                                                                             threads);                           \
    }
FOR_TYPE(float, float)
FOR_TYPE(double, double)
