/* dlib's landmark model: cascades of regression trees that move a mean face to a picture's.

   The points are dlib's: arithmetic that rounds is done in its order. Two things make it faster.
   All trees of a cascade look at the same pixels, so their leaves are known, and fetched from
   memory, before they are added. And several boxes are looked at side by side, so that a leaf
   that they share is fetched once. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

#if defined(__x86_64__) && defined(__GLIBC__) /* the loader picks what the processor can do */
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif
#define INLINE static inline __attribute__((always_inline))

#define NAME "stages.face.landmark_trees"
#define MOST 4096 /* of anything that a file counts */
#define AHEAD 8   /* trees whose leaves are on their way from memory */
#define LINE 64   /* bytes that memory hands out at once */
#define LARGE_PAGE ((size_t)2 << 20) /* bytes */
#define SECOND_CACHE 2 /* for __builtin_prefetch: nine looks' leaves overflow the first */

typedef struct {
    uint16_t first, second; /* pixels that are compared */
    float limit;
} Split;

typedef struct {
    int points, cascades, trees, splits; /* trees of a cascade, splits of a tree */
    int *pixels, most_pixels;            /* that a cascade looks at */
    float *mean;                         /* face: points × (x, y), in sides of its box */
    Split *split;                        /* cascades × trees × splits */
    float *leaf;                         /* cascades × trees × (splits + 1) × points × (x, y) */
    int32_t **anchor;                    /* a cascade's pixels: the point that each lies near */
    float **offset;                      /* and how far from it, (x, y) */
} Model;

/* ---- The file ---- */

typedef struct {
    const uint8_t *at, *end;
    int sound;
} File;

/* A whole number: its size in bytes and its sign, then the bytes, smallest first. */
static int64_t whole(File *file)
{
    uint64_t value = 0;
    int head = file->at < file->end ? *file->at++ : 0xF, size = head & 0x7F;
    if (size > 8 || file->end - file->at < size) {
        file->sound = 0;
        return 0;
    }
    for (int i = 0; i < size; i++)
        value |= (uint64_t)*file->at++ << 8 * i;
    return head & 0x80 ? -(int64_t)value : (int64_t)value;
}

static int counted(File *file, int64_t least, int64_t most)
{
    int64_t value = whole(file);
    if (value < least || value > most)
        file->sound = 0;
    return file->sound ? (int)value : 0;
}

/* A number: mantissa and exponent. */
static float number(File *file)
{
    double mantissa = (double)whole(file);
    int64_t exponent = whole(file) + 1023;
    if (exponent < 1 || exponent > 2046) {
        file->sound = 0;
        return 0;
    }
    double power;
    uint64_t bits = (uint64_t)exponent << 52;
    memcpy(&power, &bits, sizeof power);
    return (float)(mantissa * power);
}

static void numbers(File *file, float *found, int count)
{
    for (int i = 0; i < count && file->sound; i++)
        found[i] = number(file);
}

/* A column of numbers; sizes of matrices are written as negative. */
static void column(File *file, float *found, int count)
{
    counted(file, -count, -count);
    counted(file, -1, -1);
    numbers(file, found, count);
}

/* Memory for the leaves. On large pages the processor finds them a third sooner. */
static float *leaves(size_t count)
{
    void *room = NULL;
    size_t bytes = (count * sizeof(float) + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    if (posix_memalign(&room, LARGE_PAGE, bytes))
        return NULL;
#ifdef MADV_HUGEPAGE
    madvise(room, bytes, MADV_HUGEPAGE);
#endif
    return room;
}

static void read_tree(File *file, Model *model, size_t tree)
{
    size_t values = 2 * (size_t)model->points;
    Split *split = model->split + tree * model->splits;
    counted(file, model->splits, model->splits);
    for (Split *end = split + model->splits; split < end && file->sound; split++) {
        split->first = (uint16_t)counted(file, 0, MOST);
        split->second = (uint16_t)counted(file, 0, MOST);
        split->limit = number(file);
    }
    counted(file, model->splits + 1, model->splits + 1);
    for (int i = 0; i <= model->splits && file->sound; i++)
        column(file, model->leaf + (tree * (model->splits + 1) + i) * values, (int)values);
}

/* How many cascades, trees in each and splits in each tree: those of the first count for all. */
static void sizes(File file, Model *model)
{
    model->cascades = counted(&file, 1, MOST);
    model->trees = counted(&file, 1, MOST);
    model->splits = counted(&file, 1, 255);
    if (!file.sound || (model->splits & (model->splits + 1)))
        model->cascades = 0;
}

static int read_forests(File *file, Model *model)
{
    sizes(*file, model);
    size_t trees = (size_t)model->cascades * model->trees, splits = trees * model->splits;
    size_t values = (splits + trees) * 2 * model->points;
    if (!trees || values > (size_t)(file->end - file->at)) /* a number takes more than a byte */
        return file->sound = 0;
    model->split = malloc(splits * sizeof *model->split);
    model->leaf = leaves(values);
    if (!model->split || !model->leaf)
        return 0;
    counted(file, model->cascades, model->cascades);
    for (int i = 0; i < model->cascades && file->sound; i++) {
        counted(file, model->trees, model->trees);
        for (int j = 0; j < model->trees && file->sound; j++)
            read_tree(file, model, (size_t)i * model->trees + j);
    }
    return 1;
}

static int read_pixels(File *file, Model *model)
{
    model->pixels = calloc(model->cascades, sizeof *model->pixels);
    model->anchor = calloc(model->cascades, sizeof *model->anchor);
    model->offset = calloc(model->cascades, sizeof *model->offset);
    if (!model->pixels || !model->anchor || !model->offset)
        return 0;
    counted(file, model->cascades, model->cascades);
    for (int i = 0; i < model->cascades && file->sound; i++) {
        int pixels = model->pixels[i] = counted(file, 1, MOST);
        if (pixels > model->most_pixels)
            model->most_pixels = pixels;
        model->anchor[i] = calloc(pixels + 1, sizeof **model->anchor);
        model->offset[i] = calloc(pixels + 1, 2 * sizeof **model->offset);
        if (!model->anchor[i] || !model->offset[i])
            return 0;
        for (int j = 0; j < pixels && file->sound; j++)
            model->anchor[i][j] = counted(file, 0, model->points - 1);
    }
    counted(file, model->cascades, model->cascades);
    for (int i = 0; i < model->cascades && file->sound; i++) {
        counted(file, model->pixels[i], model->pixels[i]);
        numbers(file, model->offset[i], 2 * model->pixels[i]);
    }
    return 1;
}

/* Whether every split compares pixels that its cascade looks at. */
static int splits_fit(const Model *model)
{
    int each = model->trees * model->splits;
    for (int i = 0; i < model->cascades; i++)
        for (int j = 0; j < each; j++) {
            const Split *split = model->split + (size_t)i * each + j;
            if (split->first >= model->pixels[i] || split->second >= model->pixels[i])
                return 0;
        }
    return 1;
}

/* Fill an empty model; returns whether there was memory. `file->sound` tells of the file. */
static int read_model(File *file, Model *model)
{
    counted(file, 1, 1); /* version */
    int values = -counted(file, -2 * MOST, -2);
    counted(file, -1, -1);
    if (!file->sound || values % 2)
        return !(file->sound = 0);
    model->points = values / 2;
    model->mean = malloc(values * sizeof *model->mean);
    if (!model->mean)
        return 0;
    numbers(file, model->mean, values);
    if (!read_forests(file, model))
        return !file->sound;
    if (!read_pixels(file, model))
        return !file->sound;
    file->sound = file->sound && file->at == file->end && splits_fit(model);
    return 1;
}

static void forget(Model *model)
{
    for (int i = 0; i < model->cascades; i++) {
        if (model->anchor)
            free(model->anchor[i]);
        if (model->offset)
            free(model->offset[i]);
    }
    free(model->anchor);
    free(model->offset);
    free(model->pixels);
    free(model->mean);
    free(model->split);
    free(model->leaf);
    free(model);
}

/* ---- A look ---- */

typedef struct {
    const uint8_t *pixels; /* height × width × RGB */
    int height, width;
} Picture;

typedef struct {
    int32_t left, top, right, bottom; /* first and last pixels */
} Box;

/* Turn and stretch (2×2) that bring the mean face nearest to a face, by least squares. */
INLINE void turn(const Model *model, const float *face, float found[2][2])
{
    const float *mean = model->mean;
    int points = model->points;
    double from[2] = {0}, to[2] = {0}, spread = 0, along = 0, across = 0;
    for (int i = 0; i < points; i++)
        for (int k = 0; k < 2; k++) {
            from[k] += mean[2 * i + k];
            to[k] += face[2 * i + k];
        }
    for (int k = 0; k < 2; k++) {
        from[k] /= points;
        to[k] /= points;
    }
    for (int i = 0; i < points; i++) {
        double x = mean[2 * i] - from[0], y = mean[2 * i + 1] - from[1];
        double u = face[2 * i] - to[0], v = face[2 * i + 1] - to[1];
        spread += x * x + y * y;
        along += u * x + v * y;
        across += v * x - u * y;
    }
    if (spread == 0) {
        spread = along = 1;
        across = 0;
    }
    found[0][0] = found[1][1] = (float)(along / spread);
    found[1][0] = (float)(across / spread);
    found[0][1] = (float)(-across / spread);
}

INLINE int32_t in_picture(int32_t first, int32_t last, float share)
{
    double place = floor(first + ((double)last - first) * share + 0.5);
    return place > -1e9 && place < 1e9 ? (int32_t)place : -1;
}

/* How bright the pixels are that a cascade looks at; 0 outside the picture. */
INLINE void brightness(const Model *model, int cascade, const Picture *picture, const Box *box,
                       const float *face, float *found)
{
    float by[2][2];
    const int32_t *anchor = model->anchor[cascade];
    const float *offset = model->offset[cascade];
    turn(model, face, by);
    for (int i = 0; i < model->pixels[cascade]; i++) {
        float right = offset[2 * i], down = offset[2 * i + 1];
        float x = by[0][0] * right + by[0][1] * down + face[2 * anchor[i]];
        float y = by[1][0] * right + by[1][1] * down + face[2 * anchor[i] + 1];
        int32_t column = in_picture(box->left, box->right, x);
        int32_t row = in_picture(box->top, box->bottom, y);
        found[i] = 0;
        if (column >= 0 && column < picture->width && row >= 0 && row < picture->height) {
            const uint8_t *rgb = picture->pixels + 3 * ((size_t)row * picture->width + column);
            found[i] = (float)((rgb[0] + rgb[1] + rgb[2]) / 3);
        }
    }
}

/* The leaf of each tree of a cascade. */
INLINE void descend(const Model *model, int cascade, const float *bright, uint8_t *leaf)
{
    const Split *split = model->split + (size_t)cascade * model->trees * model->splits;
    for (int tree = 0; tree < model->trees; tree++, split += model->splits) {
        int node = 0;
        while (node < model->splits) {
            const Split *at = split + node;
            node = 2 * node + 2 - (bright[at->first] - bright[at->second] > at->limit);
        }
        leaf[tree] = (uint8_t)(node - model->splits);
    }
}

INLINE void fetch(const float *values, int count)
{
    for (int i = 0; i < count; i += LINE / (int)sizeof *values)
        __builtin_prefetch(values + i, 0, SECOND_CACHE);
    __builtin_prefetch(values + count - 1, 0, SECOND_CACHE);
}

INLINE void add(float *restrict face, const float *restrict values, int count)
{
    for (int i = 0; i < count; i++)
        face[i] += values[i];
}

/* The faces (looks × points × (x, y), in sides of their boxes) that boxes show. `bright` has room
   for a cascade's pixels, `leaf` for looks × trees. */
FOR_EACH_PROCESSOR
static void look(const Model *model, const Picture *picture, const Box *boxes, int looks,
                 float *faces, float *bright, uint8_t *leaf)
{
    int values = 2 * model->points, trees = model->trees;
    size_t tree_size = (size_t)(model->splits + 1) * values;
    for (int i = 0; i < looks; i++)
        memcpy(faces + i * values, model->mean, values * sizeof *faces);
    for (int cascade = 0; cascade < model->cascades; cascade++) {
        const float *first = model->leaf + (size_t)cascade * trees * tree_size;
        for (int i = 0; i < looks; i++) {
            brightness(model, cascade, picture, boxes + i, faces + i * values, bright);
            descend(model, cascade, bright, leaf + i * trees);
        }
        for (int tree = 0; tree < trees + AHEAD; tree++)
            for (int i = 0; i < looks; i++) {
                const uint8_t *own = leaf + i * trees;
                if (tree < trees)
                    fetch(first + tree * tree_size + own[tree] * values, values);
                if (tree >= AHEAD) {
                    int due = tree - AHEAD;
                    add(faces + i * values, first + due * tree_size + own[due] * values, values);
                }
            }
    }
}

/* ---- Python ---- */

static void forget_capsule(PyObject *capsule) { forget(PyCapsule_GetPointer(capsule, NAME)); }

static PyObject *load(PyObject *module, PyObject *given)
{
    (void)module;
    Py_buffer bytes;
    Model *model = calloc(1, sizeof *model);
    if (!model)
        return PyErr_NoMemory();
    if (PyObject_GetBuffer(given, &bytes, PyBUF_SIMPLE)) {
        forget(model);
        return NULL;
    }
    File file = {bytes.buf, (const uint8_t *)bytes.buf + bytes.len, 1};
    int done;
    Py_BEGIN_ALLOW_THREADS
    done = read_model(&file, model);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&bytes);
    if (done && file.sound) {
        PyObject *capsule = PyCapsule_New(model, NAME, forget_capsule);
        if (!capsule)
            forget(model);
        return capsule;
    }
    forget(model);
    if (!done)
        return PyErr_NoMemory();
    PyErr_SetString(PyExc_ValueError, "no landmark model");
    return NULL;
}

/* Points in pixels, as int32 pairs (x, y), from faces in sides of their boxes. */
static PyObject *placed(const float *faces, const Box *boxes, int looks, int points)
{
    PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)looks * points * 2 * sizeof(int32_t));
    if (!result)
        return NULL;
    int32_t *found = (int32_t *)PyBytes_AS_STRING(result);
    for (int i = 0; i < looks; i++)
        for (int j = 0; j < points; j++, faces += 2) {
            *found++ = in_picture(boxes[i].left, boxes[i].right, faces[0]);
            *found++ = in_picture(boxes[i].top, boxes[i].bottom, faces[1]);
        }
    return result;
}

static PyObject *points_of(const Model *model, const Picture *picture, const Box *boxes, int looks)
{
    PyObject *result = NULL;
    float *faces = malloc((size_t)looks * 2 * model->points * sizeof *faces);
    float *bright = malloc(model->most_pixels * sizeof *bright);
    uint8_t *leaf = malloc((size_t)looks * model->trees);
    if (faces && bright && leaf) {
        Py_BEGIN_ALLOW_THREADS
        look(model, picture, boxes, looks, faces, bright, leaf);
        Py_END_ALLOW_THREADS
        result = placed(faces, boxes, looks, model->points);
    } else
        PyErr_NoMemory();
    free(faces);
    free(bright);
    free(leaf);
    return result;
}

static PyObject *points(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *capsule, *result = NULL;
    Py_buffer pixels, boxes;
    Picture picture;
    if (!PyArg_ParseTuple(arguments, "Oy*iiy*", &capsule, &pixels, &picture.height, &picture.width,
                          &boxes))
        return NULL;
    picture.pixels = pixels.buf;
    const Model *model = PyCapsule_GetPointer(capsule, NAME);
    Py_ssize_t looks = boxes.len / (Py_ssize_t)sizeof(Box);
    if (!model)
        ;
    else if (picture.height < 1 || picture.width < 1 || looks < 1 || looks > MOST ||
             pixels.len / 3 / picture.height != picture.width)
        PyErr_SetString(PyExc_ValueError, "the picture or the boxes do not fit");
    else
        result = points_of(model, &picture, boxes.buf, (int)looks);
    PyBuffer_Release(&pixels);
    PyBuffer_Release(&boxes);
    return result;
}

static PyMethodDef methods[] = {
    {"load", load, METH_O, "The model that the bytes of a file hold."},
    {"points", points, METH_VARARGS, "Its points in boxes of a picture, as int32 pairs (x, y)."},
    {0},
};

static PyModuleDef module = {PyModuleDef_HEAD_INIT, "landmark_trees", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_landmark_trees(void) { return PyModule_Create(&module); }
