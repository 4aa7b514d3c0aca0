/* Where a Haar cascade of stumps fires in a picture, at one size, eight windows at a time.

   The windows are those of OpenCV's detectMultiScale, and arithmetic that rounds is done in its
   order, so the hits are the same. cascade.py draws the two structs of the tables. Sums of pixels
   are taken modulo 2^32: their differences are exact. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 8
#define INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__) && defined(__GLIBC__) /* the loader picks what the processor can do */
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

typedef int32_t Ints __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES), aligned(4)));
typedef float Floats __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint64_t Pairs __attribute__((vector_size(4 * LANES), aligned(4)));

typedef struct {
    int32_t rect[3][4]; /* left, top, width, height; as offsets of its four corners once placed */
    float weight[3], threshold;
    int32_t high, low; /* what a window under the threshold adds */
} Stump;

typedef struct {
    int32_t stumps, high, low; /* and the least total that passes */
} Stage;

typedef struct {
    const uint8_t *pixels;
    int height, width, side, step, stages, placed;
    const Stage *stage;
    Stump *stump;
    uint32_t *sums, *squares; /* of all pixels above and left: (height + 1) × stride */
    float *inverse;           /* 1 / (area · deviation) of a row's windows, -1 where it is flat */
    uint8_t *passed, *alive;  /* a bit a window: through the first stage; and to be looked at */
    int32_t *hits;
    size_t found, room;
} Scan;

static int stride_of(const Scan *scan) { return scan->width + 1 + LANES; }

static void integrate(const Scan *scan)
{
    size_t stride = stride_of(scan);
    memset(scan->sums, 0, stride * sizeof *scan->sums);
    memset(scan->squares, 0, stride * sizeof *scan->squares);
    for (int y = 0; y < scan->height; y++) {
        const uint8_t *row = scan->pixels + (size_t)y * scan->width;
        const uint32_t *sums = scan->sums + y * stride + 1, *squares = scan->squares + y * stride + 1;
        uint32_t *sums_below = scan->sums + (y + 1) * stride + 1;
        uint32_t *squares_below = scan->squares + (y + 1) * stride + 1;
        uint32_t sum = 0, square = 0;
        for (int x = 0; x < scan->width; x++) {
            sum += row[x];
            square += (uint32_t)row[x] * row[x];
            sums_below[x] = sums[x] + sum;
            squares_below[x] = squares[x] + square;
        }
        sums_below[-1] = squares_below[-1] = 0;
        memset(sums_below + scan->width, 0, LANES * sizeof *sums_below);
    }
}

/* Turn the rectangles of one stage into offsets into the sums. */
static void place(Scan *scan, Stump *stump, int count)
{
    int32_t stride = stride_of(scan);
    for (Stump *end = stump + count; stump < end; stump++)
        for (int i = 0; i < 3; i++) {
            int32_t *rect = stump->rect[i];
            int32_t first = rect[1] * stride + rect[0], down = rect[3] * stride, right = rect[2];
            rect[0] = first;
            rect[1] = first + right;
            rect[2] = first + down;
            rect[3] = first + down + right;
        }
}

INLINE void measure(Scan *scan, int y, int columns)
{
    int inner = scan->side - 2;
    size_t stride = stride_of(scan), top = (y + 1) * stride + 1, bottom = top + inner * stride;
    const uint32_t *sum0 = scan->sums + top, *sum1 = scan->sums + bottom;
    const uint32_t *square0 = scan->squares + top, *square1 = scan->squares + bottom;
    float *inverse = scan->inverse;
    double area = (double)inner * inner;
    for (int x = 0; x < columns; x++) {
        int32_t sum = (int32_t)(sum0[x] - sum0[x + inner] - sum1[x] + sum1[x + inner]);
        int32_t square = (int32_t)(square0[x] - square0[x + inner] - square1[x] + square1[x + inner]);
        double spread = area * square - (double)sum * sum;
        float value = (float)(1. / sqrt(spread > 0 ? spread : 1.));
        inverse[x] = spread > 0 && area * value < 1e-1 ? value : -1.f;
    }
}

INLINE Floats rectangle(const uint32_t *window, const int32_t *corner)
{
    Words sum = *(const Words *)(window + corner[0]) - *(const Words *)(window + corner[1]) -
                *(const Words *)(window + corner[2]) + *(const Words *)(window + corner[3]);
    return __builtin_convertvector((Ints)sum, Floats);
}

/* The windows, a bit each, of eight side by side that pass a stage. */
INLINE unsigned passing(const uint32_t *window, const float *inverse, const Stump *stump, Stage stage)
{
    Ints high = {0}, low = {0};
    Floats scale = *(const Floats *)inverse;
    for (const Stump *end = stump + stage.stumps; stump < end; stump++) {
        Floats value = stump->weight[0] * rectangle(window, stump->rect[0]) +
                       stump->weight[1] * rectangle(window, stump->rect[1]);
        if (stump->weight[2] != 0)
            value += stump->weight[2] * rectangle(window, stump->rect[2]);
        Ints under = value * scale < stump->threshold;
        high += under & stump->high;
        low += under & stump->low;
    }
    high += (Ints)((Words)low >> 24);
    low &= 0xffffff;
    Ints passes = (high > stage.high) | ((high == stage.high) & (low >= stage.low));
    Pairs bits = (Pairs)(passes & (Ints){1, 2, 4, 8, 16, 32, 64, 128});
    uint64_t all = bits[0] | bits[1] | bits[2] | bits[3];
    return (unsigned)(all | all >> 32) & 0xff;
}

/* Mark the windows that the later stages look at: where the first stage fails, the next is passed over. */
static void choose(Scan *scan, int columns)
{
    for (int x = 0; x < columns; x += scan->step) {
        if (scan->inverse[x] < 0)
            continue;
        if (scan->passed[x / LANES] >> x % LANES & 1)
            scan->alive[x / LANES] |= 1 << x % LANES;
        else
            x += scan->step;
    }
}

static int keep(Scan *scan, int x, int y)
{
    if (scan->found == scan->room) {
        size_t room = scan->room ? 2 * scan->room : 64;
        int32_t *hits = realloc(scan->hits, room * 2 * sizeof *hits);
        if (!hits)
            return 0;
        scan->hits = hits;
        scan->room = room;
    }
    scan->hits[2 * scan->found] = x;
    scan->hits[2 * scan->found + 1] = y;
    scan->found++;
    return 1;
}

/* OpenCV shares the rows out among stripes, after an odd one was rounded off: sometimes it is lost. */
static int rows_of(const Scan *scan, int columns)
{
    int rows = scan->height - scan->side + 1, stripes = (columns + 31) / 32;
    int each = (rows / scan->step + stripes - 1) / stripes;
    int shared = (each > 1 ? each : 1) * stripes * scan->step;
    return rows < shared ? rows : shared;
}

/* All windows of all rows; 0 where memory is short. */
FOR_EACH_PROCESSOR static int search(Scan *scan)
{
    int columns = scan->width - scan->side + 1, rows = rows_of(scan, columns);
    int blocks = (columns + LANES - 1) / LANES;
    for (int y = 0; y < rows; y += scan->step) {
        const uint32_t *row = scan->sums + (size_t)y * stride_of(scan);
        measure(scan, y, columns);
        for (int b = 0; b < blocks; b++) {
            const float *inverse = scan->inverse + b * LANES;
            scan->passed[b] = (uint8_t)passing(row + b * LANES, inverse, scan->stump, scan->stage[0]);
            scan->alive[b] = 0;
        }
        choose(scan, columns);
        for (int b = 0; b < blocks; b++) {
            unsigned alive = scan->alive[b];
            Stump *stump = scan->stump + scan->stage[0].stumps;
            for (int i = 1; alive && i < scan->stages; i++) {
                Stage stage = scan->stage[i];
                if (i == scan->placed) {
                    place(scan, stump, stage.stumps);
                    scan->placed++;
                }
                alive &= passing(row + b * LANES, scan->inverse + b * LANES, stump, stage);
                stump += stage.stumps;
            }
            for (int k = 0; alive >> k; k++)
                if (alive >> k & 1 && !keep(scan, b * LANES + k, y))
                    return 0;
        }
    }
    return 1;
}

/* Whether the tables fit each other and the window, so that no offset leads out of the sums. */
static int sound(const Scan *scan, Py_ssize_t stumps)
{
    Py_ssize_t counted = 0;
    if (scan->height < 1 || scan->width < 1 || scan->step < 1 || scan->stages < 1)
        return 0;
    for (int i = 0; i < scan->stages; i++) {
        if (scan->stage[i].stumps < 0 || scan->stage[i].stumps > 255)
            return 0;
        counted += scan->stage[i].stumps;
    }
    for (Py_ssize_t i = 0; i < stumps; i++)
        for (int j = 0; j < 3; j++) {
            const int32_t *rect = scan->stump[i].rect[j];
            for (int k = 0; k < 4; k++)
                if (rect[k] < 0 || rect[k] > scan->side)
                    return 0;
            if (rect[0] + rect[2] > scan->side || rect[1] + rect[3] > scan->side)
                return 0;
        }
    return counted == stumps && scan->side > 2 && scan->side <= 64;
}

static int reserve(Scan *scan)
{
    size_t cells = (size_t)(scan->height + 1) * stride_of(scan), windows = scan->width + LANES;
    scan->sums = malloc(cells * sizeof *scan->sums);
    scan->squares = malloc(cells * sizeof *scan->squares);
    scan->inverse = calloc(windows, sizeof *scan->inverse);
    scan->passed = calloc(windows, 1);
    scan->alive = calloc(windows, 1);
    return scan->sums && scan->squares && scan->inverse && scan->passed && scan->alive;
}

static void release(Scan *scan)
{
    free(scan->sums);
    free(scan->squares);
    free(scan->inverse);
    free(scan->passed);
    free(scan->alive);
    free(scan->hits);
    free(scan->stump);
}

static PyObject *scan_of(Scan *scan, Py_ssize_t stumps)
{
    int done = 0;
    if (!sound(scan, stumps)) {
        PyErr_SetString(PyExc_ValueError, "the picture or the cascade's tables do not fit");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    if (scan->height < scan->side || scan->width < scan->side)
        done = 1;
    else if (reserve(scan)) {
        integrate(scan);
        place(scan, scan->stump, scan->stage[0].stumps);
        scan->placed = 1;
        done = search(scan);
    }
    Py_END_ALLOW_THREADS
    if (!done)
        return PyErr_NoMemory();
    return PyBytes_FromStringAndSize((char *)scan->hits, (Py_ssize_t)(scan->found * 2 * sizeof(int32_t)));
}

static PyObject *hits(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer picture, stages, stumps;
    Scan scan = {0};
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(arguments, "y*iiiiy*y*", &picture, &scan.height, &scan.width, &scan.step,
                          &scan.side, &stages, &stumps))
        return NULL;
    scan.pixels = picture.buf;
    scan.stage = stages.buf;
    scan.stages = (int)(stages.len / (Py_ssize_t)sizeof(Stage));
    scan.stump = malloc(stumps.len ? (size_t)stumps.len : 1);
    if (!scan.stump)
        PyErr_NoMemory();
    else if (picture.len != (Py_ssize_t)scan.height * scan.width)
        PyErr_SetString(PyExc_ValueError, "the picture does not have height × width bytes");
    else {
        memcpy(scan.stump, stumps.buf, (size_t)stumps.len);
        result = scan_of(&scan, stumps.len / (Py_ssize_t)sizeof(Stump));
    }
    release(&scan);
    PyBuffer_Release(&picture);
    PyBuffer_Release(&stages);
    PyBuffer_Release(&stumps);
    return result;
}

static PyMethodDef methods[] = {
    {"hits", hits, METH_VARARGS, "The windows that pass, as int32 pairs (x, y), row after row."},
    {0},
};

static PyModuleDef module = {PyModuleDef_HEAD_INIT, "haar_scan", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_haar_scan(void) { return PyModule_Create(&module); }
