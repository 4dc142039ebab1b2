// The Winograd transforms of a block of images, plane by plane, and their adjoints.
//
// The lanes of a vector hold tiles at the same column of different rows of tiles, of one image or several, so that
// small images fill vectors, too. Transformed images are Tile * Tile matrices (channels, places) in panels (see
// panels.hpp), `step` elements apart. ../README.md has a drawing of this layout.
#pragma once
#include "algorithms.hpp"
#include "panels.hpp"

inline long up(long n, long unit) { return (n + unit - 1) / unit * unit; }

// Which row of tiles is in which lane: `images` whole images form a chunk of `groups` vectors.
struct Tiling {
    long rows, cols, lanes, images = 1, groups;
    Tiling(long N, long tile_rows, long tile_cols, long L) : rows(tile_rows), cols(tile_cols), lanes(L) {
        long best = 0;
        for (long u = 1; u <= std::min(N, L); u++) {
            const long taken = N / u * up(u * rows, L) + up(N % u * rows, L);
            if (u == 1 || taken < best) best = taken, images = u;
        }
        groups = up(images * rows, L) / L;
    }
    long chunks(long N) const { return (N + images - 1) / images; }
    long places(long N) const { return (N / images * groups * lanes + up(N % images * rows, lanes)) * cols; }
    long place(long chunk, long group, long t) const { return ((chunk * groups + group) * cols + t) * lanes; }
};

enum class Border { none, zero, reflection };

// The pixels of one channel for one vector of rows of tiles: R rows of each tile, every Step-th pixel, with the border;
// tiles are 4 * Step pixels apart.
template <class T, int L, int R, int Step> class Window {
    using S = Simd<T, L>;
    using Vec = typename S::Vec;
    struct Cell { Vec v; };
    static constexpr long kOutside = -1;
    const long height, width, images, channels, rows, groups, needed, pitch;
    const Border border;
    const bool pad = border != Border::none;
    std::vector<Cell> cells = std::vector<Cell>(R * pitch);
    std::vector<long> offsets;  // [phase, group, row, lane] -> first element of the row of pixels in a chunk

    long offset(long lane, long r, long phase) const {
        long h = Step * (lane % rows * 4 + r) + phase - pad;
        if (border == Border::reflection && h < 0) h = 1;
        if (border == Border::reflection && h == height) h = height - 2;
        return h < 0 || h >= height || lane >= tiles.images * rows ? kOutside
                                                                   : (lane / rows * channels * height + h) * width;
    }

   public:
    const Tiling tiles;

    Window(long N, long C, long H, long W, Border kind, const Tiling& tiling)
        : height(H), width(W), images(N), channels(C), rows(tiling.rows), groups(tiling.groups),
          needed(Step * (4 * tiling.cols + R - 4)), pitch(std::max(needed, up(W, L) + 2)), border(kind), tiles(tiling) {
        for (long phase = 0; phase < Step; phase++)
            for (long g = 0; g < groups; g++)
                for (long r = 0; r < R; r++)
                    for (long lane = 0; lane < L; lane++) offsets.push_back(offset(g * L + lane, r, phase));
    }

    Vec& at(long r, long column) { return cells[r * pitch + column].v; }
    template <class P> P* chunk(P* planes, long index, long channel) const {  // P: T or const T
        return planes + (index * tiles.images * channels + channel) * height * width;
    }
    long live(long index, long group) const {  // lanes that hold an image
        return std::clamp(std::min(tiles.images, images - index * tiles.images) * rows - group * L, 0L, long(L));
    }

    // Calls f(row, first column, number of columns, one offset for each lane) for all blocks of pixels.
    template <class F> void each_block(long phase, long group, F f) {
        for (long r = 0; r < R; r++)
            for (long w = 0; w < width; w += L)
                f(r, w, std::min<long>(L, width - w), &offsets[((phase * groups + group) * R + r) * L]);
    }

    void load(const T* planes, long phase, long group, long lanes) {
        each_block(phase, group, [&](long r, long w, long count, const long* from) {
            Vec block[L];
            for (long lane = 0; lane < L; lane++)
                block[lane] = lane < lanes && from[lane] != kOutside ? S::load_some(planes + from[lane] + w, count) : Vec{};
            transpose<1>(block);
            for (long k = 0; k < L; k++) at(r, pad + w + k) = block[k];
        });
        for (long r = 0; r < R; r++) {
            for (long w = pad + width; w < needed; w++) at(r, w) = Vec{};
            if (border == Border::zero) at(r, 0) = Vec{};
            if (border == Border::reflection) at(r, 0) = at(r, 2), at(r, width + 1) = at(r, width - 1);
        }
    }

    // Writes the rows inside the image, or with `Add` adds to them, because tiles overlap.
    template <bool Add> void store(T* planes, long phase, long group, long lanes) {
        for (long r = 0; r < R && border == Border::reflection; r++)  // the adjoint of reflection
            at(r, 2) += at(r, 0), at(r, width - 1) += at(r, width + 1);
        each_block(phase, group, [&](long r, long w, long count, const long* to) {
            Vec block[L];
            for (long k = 0; k < L; k++) block[k] = at(r, pad + w + k);
            transpose<1>(block);
            for (long lane = 0; lane < lanes; lane++) {
                if (to[lane] == kOutside) continue;
                T* p = planes + to[lane] + w;
                S::store_some(p, Add ? S::load_some(p, count) + block[lane] : block[lane], count);
            }
        });
    }

    void fill(T* planes, long index, T value) const {
        for (long i = 0; i < std::min(tiles.images, images - index * tiles.images); i++)
            std::fill_n(planes + i * channels * height * width, height * width, value);
    }
};

// The four transforms of an algorithm F, each for one channel of one chunk of images.
template <class T, int L, class F, int Step> struct Transform {
    using S = Simd<T, L>;
    using Vec = typename S::Vec;
    static constexpr int N = F::Tile;
    Window<T, L, N, Step> image;
    Window<T, L, 4, 1> result;
    const long step_v, step_m;

    static void store(Panels<T> m, long c, long at, long step, const Vec (&e)[N][N]) {
        T* to = m.at(c, at);
        for (int k = 0; k < N * N; k++) S::stream(to + k * step, e[k / N][k % N]);
    }
    static void load(Panels<T> m, long c, long at, long step, Vec (&e)[N][N]) {
        const T* from = m.at(c, at);
        for (int k = 0; k < N * N; k++) {
            e[k / N][k % N] = S::load(from + k * step);
            __builtin_prefetch(from + k * step + kPanel<T>);  // of the next channel; the hardware cannot follow so many streams
        }
    }

    // Calls f(group, number of lanes that hold an image) for all groups.
    template <class Do> void each_group(long index, Do f) {
        for (long g = 0; g < image.tiles.groups; g++)
            if (const long lanes = image.live(index, g)) f(g, lanes);
    }

    void input(const T* x, Panels<T> v, long index, long c) {  // V = B^T d B
        x = image.chunk(x, index, c);
        for (long a = 0; a < Step; a++)
            each_group(index, [&](long g, long lanes) {
                image.load(x, a, g, lanes);
                for (long t = 0; t < image.tiles.cols; t++)
                    for (long b = 0; b < Step; b++) {
                        Vec d[N][N], e[N][N];
                        for (int k = 0; k < N * N; k++) d[k / N][k % N] = image.at(k / N, Step * (4 * t + k % N) + b);
                        both_sides<typename F::BT>(d, e);
                        store(v, (c * Step + a) * Step + b, image.tiles.place(index, g, t), step_v, e);
                    }
            });
        fence_streams();
    }

    void input_grad(Panels<T> v, T* x, T start, long index, long c) {  // d = B V B^T, overlapping
        x = image.chunk(x, index, c);
        image.fill(x, index, start);
        for (long a = 0; a < Step; a++)
            each_group(index, [&](long g, long lanes) {
                for (long t = 0; t < image.tiles.cols; t++)
                    for (long b = 0; b < Step; b++) {
                        Vec e[N][N], d[N][N];
                        load(v, (c * Step + a) * Step + b, image.tiles.place(index, g, t), step_v, e);
                        both_sides<typename F::B>(e, d);
                        for (int k = 0; k < N * N; k++) {
                            Vec& to = image.at(k / N, Step * (4 * t + k % N) + b);
                            to = t && k % N < N - 4 ? to + d[k / N][k % N] : d[k / N][k % N];
                        }
                    }
                image.template store<true>(x, a, g, lanes);
            });
    }

    void output(Panels<T> m, T bias, T* y, long index, long k) {  // Y = A^T M A + bias
        y = result.chunk(y, index, k);
        each_group(index, [&](long g, long lanes) {
            for (long t = 0; t < result.tiles.cols; t++) {
                Vec e[N][N], d[4][4];
                load(m, k, result.tiles.place(index, g, t), step_m, e);
                both_sides<typename F::AT>(e, d);
                for (int i = 0; i < 16; i++) result.at(i / 4, 4 * t + i % 4) = d[i / 4][i % 4] + bias;
            }
            result.template store<false>(y, 0, g, lanes);
        });
    }

    void output_grad(const T* y, Panels<T> m, long index, long k) {  // M = A Y A^T
        y = result.chunk(y, index, k);
        each_group(index, [&](long g, long lanes) {
            result.load(y, 0, g, lanes);
            for (long t = 0; t < result.tiles.cols; t++) {
                Vec d[4][4], e[N][N];
                for (int i = 0; i < 16; i++) d[i / 4][i % 4] = result.at(i / 4, 4 * t + i % 4);
                both_sides<typename F::A>(d, e);
                store(m, k, result.tiles.place(index, g, t), step_m, e);
            }
        });
        fence_streams();
    }
};
