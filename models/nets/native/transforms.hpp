// The transforms of one image plane, F(4x4, 3x3) of Lavin & Gray 2015 (arXiv:1509.09308), and their adjoints.
//
// Transformed images are 36 matrices (channels, places) in panels (see panels.hpp), `step` elements apart; a
// vector holds one element of several neighbouring tiles. Rows of tiles are filled up with zero tiles to whole
// (half) vectors.
#pragma once
#include "panels.hpp"

// Sizes of one image plane; `pad` 1 is reflection padding.
struct Plane {
    long height, width, pad, step;
    long out_height() const { return height + 2 * pad - 2; }
    long out_width() const { return width + 2 * pad - 2; }
    long tile_rows() const { return (out_height() + 3) / 4; }
    long tile_cols() const { return (out_width() + 3) / 4; }
};

// ---- the matrices: each functor maps In values to Out values, B^T, G and A^T as in section 4.1 of the paper

struct BT {
    static constexpr int In = 6, Out = 6;
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

struct B {
    static constexpr int In = 6, Out = 6;
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

struct AT {
    static constexpr int In = 6, Out = 4;
    template <class V> static void apply(const V* m, V* y) {
        V sum = m[1] + m[2], dif = m[1] - m[2], sum2 = m[3] + m[4], dif2 = m[3] - m[4];
        y[0] = m[0] + sum + sum2;
        y[1] = dif + 2 * dif2;
        y[2] = sum + 4 * sum2;
        y[3] = dif + 8 * dif2 + m[5];
    }
};

struct A {
    static constexpr int In = 4, Out = 6;
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

struct G {
    static constexpr int In = 3, Out = 6;
    template <class V> static void apply(const V* g, V* u) {
        using T = std::remove_cv_t<std::remove_reference_t<decltype(g[0][0])>>;
        constexpr T a = T(1) / 4, b = T(1) / 6, c = T(1) / 24;
        V even = b * (g[0] + g[2]), far = c * g[0] + b * g[2], odd = b * g[1], odd2 = 2 * c * g[1];
        u[0] = a * g[0];
        u[1] = -even - odd;
        u[2] = odd - even;
        u[3] = far + odd2;
        u[4] = far - odd2;
        u[5] = g[2];
    }
};

struct GT {
    static constexpr int In = 6, Out = 3;
    template <class V> static void apply(const V* u, V* g) {
        using T = std::remove_cv_t<std::remove_reference_t<decltype(u[0][0])>>;
        constexpr T a = T(1) / 4, b = T(1) / 6, c = T(1) / 24;
        V sum = b * (u[1] + u[2]), sum2 = c * (u[3] + u[4]);
        g[0] = a * u[0] - sum + sum2;
        g[1] = b * (u[2] - u[1]) + 2 * c * (u[3] - u[4]);
        g[2] = u[5] - sum + 4 * sum2;
    }
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

// ---- rows of pixels <-> their four phases (pixel 4 t + q is element t of phase q)

template <class T> void split(const T* line, T* phases, long count, long pitch) {
    for (long t = 0; t < count; t++)
        for (int q = 0; q < 4; q++) phases[q * pitch + t] = line[4 * t + q];
}

template <class T> void merge(const T* phases, T* line, long count, long pitch) {
    for (long t = 0; t < count; t++)
        for (int q = 0; q < 4; q++) line[4 * t + q] = phases[q * pitch + t];
}

// Row r of the padded plane; zeros behind the last one.
template <class T> void padded_row(const T* plane, std::vector<T>& line, long r, const Plane& p) {
    if (r >= p.height + 2 * p.pad) return std::fill(line.begin(), line.end(), T(0));
    long h = r - p.pad;
    if (h < 0) h = 1;
    if (h >= p.height) h = p.height - 2;
    const T* row = plane + h * p.width;
    std::memcpy(line.data() + p.pad, row, p.width * sizeof(T));
    if (p.pad) {
        line[0] = row[1];
        line[p.width + 1] = row[p.width - 2];
    }
}

// Reflection padding's adjoint: what fell on the border goes to the pixel that was copied there.
template <class T> void fold(T* padded, long pitch, T* plane, const Plane& p) {
    for (long w = 0; p.pad && w < p.width + 2; w++) {
        padded[2 * pitch + w] += padded[w];
        padded[(p.height - 1) * pitch + w] += padded[(p.height + 1) * pitch + w];
    }
    for (long h = 0; h < p.height; h++) {
        T* line = padded + (h + p.pad) * pitch;
        if (p.pad) {
            line[2] += line[0];
            line[p.width - 1] += line[p.width + 1];
        }
        std::memcpy(plane + h * p.width, line + p.pad, p.width * sizeof(T));
    }
}

// ---- one plane each: row c of the matrices, from place `at` on; scratch is kept between planes

template <class T, int L> struct Transform {
    using S = Simd<T, L>;
    using Vec = typename S::Vec;
    const Plane p;
    const long cols = p.tile_cols(), rows = p.tile_rows(), places = (cols + L - 1) / L * L, pitch = places + L;
    std::vector<T> line = std::vector<T>(4 * pitch), phases = std::vector<T>((4 * rows + 2) * 4 * pitch);
    std::vector<T> padded = std::vector<T>((4 * rows + 2) * 4 * pitch);
    T* phase(long row, long q, long t) { return &phases[(row * 4 + q) * pitch + t]; }

    void store(Panels<T> m, long c, long at, const Vec (&e)[6][6]) const {
        T* to = m.at(c, at);
        for (int k = 0; k < 36; k++) S::stream(to + k * p.step, e[k / 6][k % 6]);
    }
    void load(Panels<T> m, long c, long at, Vec (&e)[6][6]) const {
        const T* from = m.at(c, at);
        for (int k = 0; k < 36; k++) e[k / 6][k % 6] = S::load(from + k * p.step);
    }

    void input(const T* x, Panels<T> v, long c, long at) {  // V = B^T d B
        for (long r = 0; r < 4 * rows + 2; r++) {
            padded_row(x, line, r, p);
            split(line.data(), phase(r, 0, 0), cols + 1, pitch);
        }
        for (long i = 0; i < rows; i++)
            for (long t = 0; t < places; t += L) {
                Vec d[6][6], e[6][6];
                for (int k = 0; k < 36; k++) d[k / 6][k % 6] = S::load(phase(4 * i + k / 6, k % 6 % 4, t + k % 6 / 4));
                both_sides<BT>(d, e);
                store(v, c, at + i * places + t, e);
            }
    }

    void input_grad(Panels<T> v, T* x, long c, long at) {  // d = B V B^T, overlapping by two pixels
        using Order = std::make_integer_sequence<int, L>;
        for (long i = 0; i < rows; i++) {
            Vec left[6][2] = {};  // last two columns of the tiles to the left
            for (long t = 0; t < places; t += L) {
                Vec e[6][6], d[6][6];
                load(v, c, at + i * places + t, e);
                both_sides<B>(e, d);
                for (int r = 0; r < 6; r++)
                    for (int q = 0; q < 4; q++) {
                        Vec sum = d[r][q];
                        if (q < 2) sum += lanes_from<L - 1>(left[r][q], d[r][4 + q], Order()), left[r][q] = d[r][4 + q];
                        T* to = phase(4 * i + r, q, t);
                        S::store(to, i && r < 2 ? S::load(to) + sum : sum);
                    }
            }
            for (int r = 0; r < 6; r++)
                for (int q = 0; q < 2; q++) {
                    T* to = phase(4 * i + r, q, places);
                    *to = left[r][q][L - 1] + (i && r < 2 ? *to : T(0));
                }
        }
        for (long r = 0; r < 4 * rows + 2; r++) merge(phase(r, 0, 0), &padded[r * 4 * pitch], cols + 1, pitch);
        fold(padded.data(), 4 * pitch, x, p);
    }

    void output(Panels<T> m, T bias, T* y, long c, long at) {  // Y = A^T M A + bias
        const long width = p.out_width(), height = p.out_height();
        for (long i = 0; i < rows; i++) {
            for (long t = 0; t < places; t += L) {
                Vec e[6][6], d[4][4];
                load(m, c, at + i * places + t, e);
                both_sides<AT>(e, d);
                for (int k = 0; k < 16; k++) S::store(phase(k / 4, k % 4, t), d[k / 4][k % 4] + bias);
            }
            for (long r = 0; r < 4 && 4 * i + r < height; r++) {
                merge(phase(r, 0, 0), line.data(), cols, pitch);
                std::memcpy(y + (4 * i + r) * width, line.data(), width * sizeof(T));
            }
        }
    }

    void output_grad(const T* y, Panels<T> m, long c, long at) {  // M = A Y A^T
        const long width = p.out_width(), height = p.out_height();
        for (long r = 0; r < 4 * rows; r++) {
            if (r < height) std::memcpy(line.data(), y + r * width, width * sizeof(T));
            else std::fill(line.begin(), line.end(), T(0));
            split(line.data(), phase(r, 0, 0), cols, pitch);
        }
        for (long i = 0; i < rows; i++)
            for (long t = 0; t < places; t += L) {
                Vec d[4][4], e[6][6];
                for (int k = 0; k < 16; k++) d[k / 4][k % 4] = S::load(phase(4 * i + k / 4, k % 4, t));
                both_sides<A>(d, e);
                store(m, c, at + i * places + t, e);
            }
    }
};
