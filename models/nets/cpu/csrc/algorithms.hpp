// Winograd's minimal filtering as matrices (Lavin & Gray 2015, arXiv:1509.09308): y = A^T [(G g) * (B^T d)].
//
// F43 computes 4 outputs of 3 taps from 6 values, F42 computes 4 outputs of 2 taps from 5. In two dimensions they need
// 36 products instead of 144, and 25 instead of 64. Each functor maps In values to Out values; B, A and GT are the adjoints of BT, AT and G.
#pragma once
#include <type_traits>
#include <utility>

template <int N, int M> struct Sizes { static constexpr int In = N, Out = M; };
template <class V> using Scalar = std::remove_reference_t<decltype(std::declval<V&>()[0])>;

struct F43 {  // the points 0, 1, -1, 2, -2 and infinity
    static constexpr int Tile = 6, Taps = 3;

    struct BT : Sizes<6, 6> {
        template <class V> static void apply(const V* d, V* e) {
            V even = d[4] - 4 * d[2], odd = d[3] - 4 * d[1], near = d[4] - d[2], far = 2 * (d[3] - d[1]);
            e[0] = 4 * d[0] - 5 * d[2] + d[4];
            e[1] = even + odd;
            e[2] = even - odd;
            e[3] = near + far;
            e[4] = near - far;
            e[5] = 4 * d[1] - 5 * d[3] + d[5];
        }
    };

    struct B : Sizes<6, 6> {
        template <class V> static void apply(const V* e, V* d) {
            V sum = e[1] + e[2], dif = e[1] - e[2], sum2 = e[3] + e[4], dif2 = 2 * (e[3] - e[4]);
            d[0] = 4 * e[0];
            d[1] = 4 * (e[5] - dif) - dif2;
            d[2] = -5 * e[0] - 4 * sum - sum2;
            d[3] = dif + dif2 - 5 * e[5];
            d[4] = e[0] + sum + sum2;
            d[5] = e[5];
        }
    };

    struct AT : Sizes<6, 4> {
        template <class V> static void apply(const V* m, V* y) {
            V sum = m[1] + m[2], dif = m[1] - m[2], sum2 = m[3] + m[4], dif2 = m[3] - m[4];
            y[0] = m[0] + sum + sum2;
            y[1] = dif + 2 * dif2;
            y[2] = sum + 4 * sum2;
            y[3] = dif + 8 * dif2 + m[5];
        }
    };

    struct A : Sizes<4, 6> {
        template <class V> static void apply(const V* y, V* m) {
            V even = y[0] + y[2], odd = y[1] + y[3], even2 = y[0] + 4 * y[2], odd2 = 2 * y[1] + 8 * y[3];
            m[0] = y[0];
            m[1] = even + odd;
            m[2] = even - odd;
            m[3] = even2 + odd2;
            m[4] = even2 - odd2;
            m[5] = y[3];
        }
    };

    struct G : Sizes<3, 6> {
        template <class V> static void apply(const V* g, V* u) {
            constexpr Scalar<V> one = 1, a = one / 4, b = one / 6, c = one / 24;
            V even = b * (g[0] + g[2]), far = c * g[0] + b * g[2], odd = b * g[1], odd2 = 2 * c * g[1];
            u[0] = a * g[0];
            u[1] = -even - odd;
            u[2] = odd - even;
            u[3] = far + odd2;
            u[4] = far - odd2;
            u[5] = g[2];
        }
    };

    struct GT : Sizes<6, 3> {
        template <class V> static void apply(const V* u, V* g) {
            constexpr Scalar<V> one = 1, a = one / 4, b = one / 6, c = one / 24;
            V sum = b * (u[1] + u[2]), sum2 = c * (u[3] + u[4]);
            g[0] = a * u[0] - sum + sum2;
            g[1] = b * (u[2] - u[1]) + 2 * c * (u[3] - u[4]);
            g[2] = u[5] - sum + 4 * sum2;
        }
    };
};

struct F42 {  // the points 0, 1, -1, 2 and infinity
    static constexpr int Tile = 5, Taps = 2;

    struct BT : Sizes<5, 5> {
        template <class V> static void apply(const V* d, V* e) {
            e[0] = 2 * (d[0] - d[2]) - d[1] + d[3];
            e[1] = d[3] - d[2] - 2 * d[1];
            e[2] = d[3] - 3 * d[2] + 2 * d[1];
            e[3] = d[3] - d[1];
            e[4] = 2 * (d[1] - d[3]) - d[2] + d[4];
        }
    };

    struct B : Sizes<5, 5> {
        template <class V> static void apply(const V* e, V* d) {
            d[0] = 2 * e[0];
            d[1] = 2 * (e[2] - e[1] + e[4]) - e[0] - e[3];
            d[2] = -2 * e[0] - e[1] - 3 * e[2] - e[4];
            d[3] = e[0] + e[1] + e[2] + e[3] - 2 * e[4];
            d[4] = e[4];
        }
    };

    struct AT : Sizes<5, 4> {
        template <class V> static void apply(const V* m, V* y) {
            V sum = m[1] + m[2], dif = m[1] - m[2];
            y[0] = m[0] + sum + m[3];
            y[1] = dif + 2 * m[3];
            y[2] = sum + 4 * m[3];
            y[3] = dif + 8 * m[3] + m[4];
        }
    };

    struct A : Sizes<4, 5> {
        template <class V> static void apply(const V* y, V* m) {
            V even = y[0] + y[2], odd = y[1] + y[3];
            m[0] = y[0];
            m[1] = even + odd;
            m[2] = even - odd;
            m[3] = y[0] + 2 * y[1] + 4 * y[2] + 8 * y[3];
            m[4] = y[3];
        }
    };

    struct G : Sizes<2, 5> {
        template <class V> static void apply(const V* g, V* u) {
            constexpr Scalar<V> one = 1, a = one / 2, b = one / 6;
            u[0] = a * g[0];
            u[1] = -a * (g[0] + g[1]);
            u[2] = b * (g[1] - g[0]);
            u[3] = b * (g[0] + 2 * g[1]);
            u[4] = g[1];
        }
    };

    struct GT : Sizes<5, 2> {
        template <class V> static void apply(const V* u, V* g) {
            constexpr Scalar<V> one = 1, a = one / 2, b = one / 6;
            g[0] = a * (u[0] - u[1]) + b * (u[3] - u[2]);
            g[1] = b * (u[2] + 2 * u[3]) - a * u[1] + u[4];
        }
    };
};

// F X F^T for an In x In block X of vectors.
template <class F, class V> inline void both_sides(const V (&x)[F::In][F::In], V (&z)[F::Out][F::Out]) {
    V half[F::In][F::Out];
    for (int c = 0; c < F::In; c++) {
        V column[F::In], out[F::Out];
        for (int r = 0; r < F::In; r++) column[r] = x[r][c];
        F::apply(column, out);
        for (int r = 0; r < F::Out; r++) half[c][r] = out[r];
    }
    for (int r = 0; r < F::Out; r++) {
        V row[F::In];
        for (int c = 0; c < F::In; c++) row[c] = half[c][r];
        F::apply(row, z[r]);
    }
}
