/* Run an ONNX file with ONNX Runtime on raw samples, write every output of every sample, and time it if asked.
 *
 *   run_model --model FILE --samples FILE --outputs FILE --input TYPE:SIZES [--input ...]
 *             [--level 0|1|2|99] [--repeats N] [--save-optimized FILE] [--config KEY=VALUE ...]
 *             [--threads N] [--core N ...] [--batch N] [--profile PREFIX]
 *             [--times FILE --warmup N --runs N --seconds N]
 *   run_model --version
 *
 * SAMPLES holds, for each sample, all inputs one after another in the model's order; each --input says what one
 * of them is, as in float32:1,3,32,32, and has to agree with the model. OUTPUTS receives, for each sample, all
 * outputs in the model's order. Standard output tells what they are: "TYPE:SIZES NAME", each ended by a zero byte.
 * Names, types and sizes come from the model; a free first size (the batch) counts as --batch, which is 1.
 *
 * Every call of the model stands between two marks, which count_instructions.c looks for.
 *
 * TIMES receives, after the outputs are written, a line for each fact: load_ms, first_ms, resting_kb, peak_kb, and
 * own_ms of processor; "warmup MS" for every run until it is warm, "sample STARTED_MS MS" for every timed run on the
 * last sample, and "reading STARTED_MS KHZ..." once a second, between two runs, for the clocks of its cores.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- ONNX Runtime ------------------------------------------------------------------------------------------- */

/* The wheel has the library but not its header, so what is used of it is declared here. The table of functions
 * (`OrtApi` in include/onnxruntime/core/session/onnxruntime_c_api.h of microsoft/onnxruntime) only ever grows at
 * its end, which that project asserts in onnxruntime_c_api.cc: a slot keeps its number and its function. */
typedef struct Env Env;
typedef struct Status Status; /* a null pointer means success */
typedef struct MemoryInfo MemoryInfo;
typedef struct Session Session;
typedef struct SessionOptions SessionOptions;
typedef struct RunOptions RunOptions;
typedef struct Value Value;
typedef struct TypeInfo TypeInfo;
typedef struct TensorInfo TensorInfo;
typedef struct Allocator Allocator;

struct ort_api {
    void *unused_0[2];
    const char *(*GetErrorMessage)(const Status *);
    Status *(*CreateEnv)(int severity, const char *log_id, Env **out);
    void *unused_4[3];
    Status *(*CreateSession)(const Env *, const char *path, const SessionOptions *, Session **out);
    void *unused_8[1];
    Status *(*Run)(Session *, const RunOptions *, const char *const *input_names, const Value *const *inputs,
                   size_t input_count, const char *const *output_names, size_t output_count, Value **outputs);
    Status *(*CreateSessionOptions)(SessionOptions **out);
    Status *(*SetOptimizedModelFilePath)(SessionOptions *, const char *path);
    void *unused_12[2];
    Status *(*EnableProfiling)(SessionOptions *, const char *prefix);
    void *unused_15[8];
    Status *(*SetSessionGraphOptimizationLevel)(SessionOptions *, int level);
    Status *(*SetIntraOpNumThreads)(SessionOptions *, int threads);
    Status *(*SetInterOpNumThreads)(SessionOptions *, int threads);
    void *unused_26[4];
    Status *(*SessionGetInputCount)(const Session *, size_t *out);
    Status *(*SessionGetOutputCount)(const Session *, size_t *out);
    void *unused_32[1];
    Status *(*SessionGetInputTypeInfo)(const Session *, size_t index, TypeInfo **out);
    void *unused_34[2];
    Status *(*SessionGetInputName)(const Session *, size_t index, Allocator *, char **out);
    Status *(*SessionGetOutputName)(const Session *, size_t index, Allocator *, char **out);
    void *unused_38[11];
    Status *(*CreateTensorWithDataAsOrtValue)(const MemoryInfo *, void *data, size_t bytes, const int64_t *sizes,
                                              size_t rank, int element_type, Value **out);
    Status *(*IsTensor)(const Value *, int *out);
    Status *(*GetTensorMutableData)(Value *, void **out);
    void *unused_52[3];
    Status *(*CastTypeInfoToTensorInfo)(const TypeInfo *, const TensorInfo **out);
    void *unused_56[4];
    Status *(*GetTensorElementType)(const TensorInfo *, int *out);
    Status *(*GetDimensionsCount)(const TensorInfo *, size_t *out);
    Status *(*GetDimensions)(const TensorInfo *, int64_t *sizes, size_t rank);
    void *unused_63[2];
    Status *(*GetTensorTypeAndShape)(const Value *, TensorInfo **out);
    void *unused_66[3];
    Status *(*CreateCpuMemoryInfo)(int allocator_type, int memory_type, MemoryInfo **out);
    void *unused_70[8];
    Status *(*GetAllocatorWithDefaultOptions)(Allocator **out);
    void *unused_79[16];
    void (*ReleaseSession)(Session *);
    void (*ReleaseValue)(Value *);
    void *unused_97[2];
    void (*ReleaseTensorTypeAndShapeInfo)(TensorInfo *);
    void *unused_100[30];
    Status *(*AddSessionConfigEntry)(SessionOptions *, const char *key, const char *value);
};

#define ASSERT_SLOT(function, number) \
    _Static_assert(offsetof(struct ort_api, function) == (number) * sizeof(void *), #function " is slot " #number)
ASSERT_SLOT(GetErrorMessage, 2);
ASSERT_SLOT(CreateSession, 7);
ASSERT_SLOT(Run, 9);
ASSERT_SLOT(EnableProfiling, 14);
ASSERT_SLOT(SetSessionGraphOptimizationLevel, 23);
ASSERT_SLOT(SessionGetInputCount, 30);
ASSERT_SLOT(SessionGetInputTypeInfo, 33);
ASSERT_SLOT(SessionGetInputName, 36);
ASSERT_SLOT(CreateTensorWithDataAsOrtValue, 49);
ASSERT_SLOT(CastTypeInfoToTensorInfo, 55);
ASSERT_SLOT(GetTensorElementType, 60);
ASSERT_SLOT(GetTensorTypeAndShape, 65);
ASSERT_SLOT(CreateCpuMemoryInfo, 69);
ASSERT_SLOT(GetAllocatorWithDefaultOptions, 78);
ASSERT_SLOT(ReleaseSession, 95);
ASSERT_SLOT(ReleaseValue, 96);
ASSERT_SLOT(ReleaseTensorTypeAndShapeInfo, 99);
ASSERT_SLOT(AddSessionConfigEntry, 130);

struct ort_api_base {
    const struct ort_api *(*GetApi)(uint32_t version);
    const char *(*GetVersionString)(void);
};
const struct ort_api_base *OrtGetApiBase(void);

enum {
    API_VERSION = 16,      /* of ONNX Runtime 1.16; newer libraries answer it too */
    LOG_FATAL = 4,         /* errors come back as a Status, and are said once */
    OPTIMIZE_ALL = 99,     /* ORT_ENABLE_ALL; 0 is ORT_DISABLE_ALL */
    ARENA_ALLOCATOR = 1,   /* OrtArenaAllocator */
    DEFAULT_MEMORY = 0     /* OrtMemTypeDefault */
};

/* ONNXTensorElementDataType, by number: NumPy's name and the bytes of one element; those without are refused. */
static const struct {
    const char *name;
    size_t bytes;
} ELEMENT_TYPES[] = {
    [1] = {"float32", 4}, [2] = {"uint8", 1},  [3] = {"int8", 1},     [4] = {"uint16", 2},
    [5] = {"int16", 2},   [6] = {"int32", 4},  [7] = {"int64", 8},    [9] = {"bool", 1},
    [10] = {"float16", 2}, [11] = {"float64", 8}, [12] = {"uint32", 4}, [13] = {"uint64", 8},
};
enum { ELEMENT_TYPE_COUNT = sizeof ELEMENT_TYPES / sizeof ELEMENT_TYPES[0] };

/* ---- Marks -------------------------------------------------------------------------------------------------- */

/* Hints that no architecture version gives a meaning: every core runs them as NOP. */
#ifdef __aarch64__
#define MARK_BEGIN __asm__ volatile("hint #100" ::: "memory")
#define MARK_END __asm__ volatile("hint #101" ::: "memory")
#else /* built for this host, it only times */
#define MARK_BEGIN
#define MARK_END
#endif

/* ---- What is asked and what a tensor is --------------------------------------------------------------------- */

enum { MAX_RANK = 16, MAX_TENSORS = 4096, MAX_CONFIGS = 64, MAX_CORES = 64, TEXT = 512 };

enum exit_code { BAD_INPUT = 2, NOT_LOADED = 3, NOT_RUN = 4, NOT_WRITTEN = 5 };

struct tensor {
    int type;
    size_t rank;
    int64_t sizes[MAX_RANK];
};

struct request {
    const char *model, *samples, *outputs, *save_optimized, *times, *profile;
    int level;
    long repeats, threads, batch, warmup, runs, seconds;
    long cores[MAX_CORES];
    size_t core_count;
    struct tensor inputs[MAX_TENSORS];
    size_t input_count;
    const char *configs[MAX_CONFIGS];
    size_t config_count;
};

static const struct ort_api *ort;

/* End with one line on standard error. */
__attribute__((noreturn, format(printf, 2, 3))) static void fail(enum exit_code code, const char *format, ...) {
    va_list values;
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
    exit(code);
}

/* End with the first line of ONNX Runtime's message, if there is one. */
static void expect(enum exit_code code, const Status *status) {
    if (status != NULL) {
        const char *message = ort->GetErrorMessage(status);
        fail(code, "%.*s", (int)strcspn(message, "\r\n"), message);
    }
}

static void *allocate(size_t bytes) {
    void *memory = malloc(bytes > 0 ? bytes : 1);
    if (memory == NULL) {
        fail(NOT_RUN, "out of memory: %zu bytes more were needed", bytes);
    }
    return memory;
}

static int has_name(int type) {
    return type >= 0 && type < ELEMENT_TYPE_COUNT && ELEMENT_TYPES[type].name != NULL;
}

static size_t bytes_of(const struct tensor *tensor) {
    size_t bytes = ELEMENT_TYPES[tensor->type].bytes;
    for (size_t i = 0; i < tensor->rank; i++) {
        bytes *= (size_t)tensor->sizes[i];
    }
    return bytes;
}

/* Two pictures fit into a message, so the caller brings the place. */
static const char *show(const struct tensor *tensor, char text[TEXT]) {
    int used = snprintf(text, TEXT, "%s:", ELEMENT_TYPES[tensor->type].name);
    for (size_t i = 0; i < tensor->rank; i++) {
        used += snprintf(text + used, TEXT - (size_t)used, "%s%" PRId64, i > 0 ? "," : "", tensor->sizes[i]);
    }
    return text;
}

static int equal(const struct tensor *a, const struct tensor *b) {
    return a->type == b->type && a->rank == b->rank && memcmp(a->sizes, b->sizes, a->rank * sizeof a->sizes[0]) == 0;
}

/* ---- Arguments ---------------------------------------------------------------------------------------------- */

static long number(const char *option, const char *text, char **end) {
    long value = strtol(text, end, 10);
    if (*end == text || value < 0) {
        fail(BAD_INPUT, "%s: '%s' is no number from 0 up", option, text);
    }
    return value;
}

static struct tensor parse_tensor(const char *text) {
    struct tensor tensor = {0};
    size_t name_length = strcspn(text, ":");
    for (int type = 0; type < ELEMENT_TYPE_COUNT; type++) {
        if (has_name(type) && strlen(ELEMENT_TYPES[type].name) == name_length &&
            strncmp(text, ELEMENT_TYPES[type].name, name_length) == 0) {
            tensor.type = type;
        }
    }
    if (tensor.type == 0 || text[name_length] != ':') {
        fail(BAD_INPUT, "--input: '%s' is no TYPE:SIZES such as float32:1,3,32,32", text);
    }
    char *rest = (char *)text + name_length + 1;
    while (*rest != '\0') {
        if (tensor.rank == MAX_RANK) {
            fail(BAD_INPUT, "--input: '%s' has more than %d sizes", text, MAX_RANK);
        }
        tensor.sizes[tensor.rank++] = number("--input", rest, &rest);
        rest += *rest == ',';
    }
    return tensor;
}

/* Take one option with its value; 0 means that there is none of this name. */
static int take(struct request *request, const char *option, const char *value) {
    char *end;
    if (strcmp(option, "--model") == 0) {
        request->model = value;
    } else if (strcmp(option, "--samples") == 0) {
        request->samples = value;
    } else if (strcmp(option, "--outputs") == 0) {
        request->outputs = value;
    } else if (strcmp(option, "--save-optimized") == 0) {
        request->save_optimized = value;
    } else if (strcmp(option, "--times") == 0) {
        request->times = value;
    } else if (strcmp(option, "--profile") == 0) {
        request->profile = value;
    } else if (strcmp(option, "--threads") == 0) {
        request->threads = number(option, value, &end);
    } else if (strcmp(option, "--batch") == 0) {
        request->batch = number(option, value, &end);
    } else if (strcmp(option, "--warmup") == 0) {
        request->warmup = number(option, value, &end);
    } else if (strcmp(option, "--runs") == 0) {
        request->runs = number(option, value, &end);
    } else if (strcmp(option, "--seconds") == 0) {
        request->seconds = number(option, value, &end);
    } else if (strcmp(option, "--core") == 0 && request->core_count < MAX_CORES) {
        request->cores[request->core_count++] = number(option, value, &end);
    } else if (strcmp(option, "--level") == 0) {
        request->level = (int)number(option, value, &end);
    } else if (strcmp(option, "--repeats") == 0) {
        request->repeats = number(option, value, &end);
    } else if (strcmp(option, "--input") == 0 && request->input_count < MAX_TENSORS) {
        request->inputs[request->input_count++] = parse_tensor(value);
    } else if (strcmp(option, "--config") == 0 && request->config_count < MAX_CONFIGS) {
        request->configs[request->config_count++] = value;
    } else {
        return 0;
    }
    return 1;
}

static void parse_arguments(struct request *request, int count, char **arguments) {
    for (int i = 1; i < count; i += 2) {
        if (i + 1 == count || !take(request, arguments[i], arguments[i + 1])) {
            fail(BAD_INPUT, "unknown or too many options, or one without its value: %s", arguments[i]);
        }
    }
    if (request->model == NULL || request->samples == NULL || request->outputs == NULL || request->repeats < 1) {
        fail(BAD_INPUT, "expected --model, --samples and --outputs, and --repeats of at least 1");
    }
}

/* ---- The model ---------------------------------------------------------------------------------------------- */

static Session *open_session(const struct request *request) {
    Env *env;
    SessionOptions *options;
    Session *session;
    expect(NOT_LOADED, ort->CreateEnv(LOG_FATAL, "run_model", &env));
    expect(NOT_LOADED, ort->CreateSessionOptions(&options));
    /* One by default: how threads share work changes the number of instructions tenfold from run to run. */
    expect(NOT_LOADED, ort->SetIntraOpNumThreads(options, (int)request->threads));
    expect(NOT_LOADED, ort->SetInterOpNumThreads(options, 1));
    expect(BAD_INPUT, ort->SetSessionGraphOptimizationLevel(options, request->level));
    if (request->save_optimized != NULL) {
        expect(NOT_LOADED, ort->SetOptimizedModelFilePath(options, request->save_optimized));
    }
    if (request->profile != NULL) {
        expect(NOT_LOADED, ort->EnableProfiling(options, request->profile));
    }
    for (size_t i = 0; i < request->config_count; i++) {
        char *key = strdup(request->configs[i]);
        char *value = key != NULL ? strchr(key, '=') : NULL;
        if (value == NULL) {
            fail(BAD_INPUT, "--config: '%s' is no KEY=VALUE", request->configs[i]);
        }
        *value++ = '\0';
        expect(BAD_INPUT, ort->AddSessionConfigEntry(options, key, value));
        free(key);
    }
    expect(NOT_LOADED, ort->CreateSession(env, request->model, options, &session));
    return session;
}

/* Type and sizes of a tensor; -1 stands for a free size. */
static struct tensor describe(const TensorInfo *info, const char *kind, const char *name) {
    struct tensor tensor = {0};
    if (info != NULL) {
        expect(NOT_RUN, ort->GetTensorElementType(info, &tensor.type));
        expect(NOT_RUN, ort->GetDimensionsCount(info, &tensor.rank));
    }
    if (!has_name(tensor.type) || tensor.rank > MAX_RANK) {
        fail(BAD_INPUT, "%s '%s' (element type %d, rank %zu) is no tensor of plain numbers and at most rank %d", kind,
             name, tensor.type, tensor.rank, MAX_RANK);
    }
    expect(NOT_RUN, ort->GetDimensions(info, tensor.sizes, tensor.rank));
    return tensor;
}

static struct tensor describe_input(const Session *session, size_t index, const char *name, long batch) {
    TypeInfo *type;
    const TensorInfo *info;
    expect(NOT_RUN, ort->SessionGetInputTypeInfo(session, index, &type));
    expect(NOT_RUN, ort->CastTypeInfoToTensorInfo(type, &info));
    struct tensor tensor = describe(info, "input", name);
    for (size_t i = 0; i < tensor.rank; i++) {
        if (tensor.sizes[i] < 0 && i > 0) {
            fail(BAD_INPUT, "input '%s': size %zu is free; only the first one, the batch, may be: fix it in the file",
                 name, i);
        }
    }
    if (tensor.rank > 0 && tensor.sizes[0] < 0) {
        tensor.sizes[0] = batch;
    }
    return tensor;
}

static struct tensor describe_output(const Value *value, const char *name) {
    int is_tensor = 0;
    TensorInfo *info = NULL;
    if (value != NULL) {
        expect(NOT_RUN, ort->IsTensor(value, &is_tensor));
    }
    if (is_tensor) {
        expect(NOT_RUN, ort->GetTensorTypeAndShape(value, &info));
    }
    struct tensor tensor = describe(info, "output", name);
    ort->ReleaseTensorTypeAndShapeInfo(info);
    return tensor;
}

struct model {
    Session *session;
    char **input_names, **output_names;
    size_t input_count, output_count;
    const struct tensor *inputs; /* what the samples hold, found equal to what the model takes */
};

static struct model load(const struct request *request) {
    struct model model = {.session = open_session(request), .inputs = request->inputs};
    Allocator *allocator;
    expect(NOT_LOADED, ort->GetAllocatorWithDefaultOptions(&allocator));
    expect(NOT_LOADED, ort->SessionGetInputCount(model.session, &model.input_count));
    expect(NOT_LOADED, ort->SessionGetOutputCount(model.session, &model.output_count));
    if (model.input_count != request->input_count) {
        fail(BAD_INPUT, "the model takes %zu inputs, the samples hold %zu", model.input_count, request->input_count);
    }
    model.input_names = allocate(model.input_count * sizeof(char *));
    model.output_names = allocate(model.output_count * sizeof(char *));
    for (size_t i = 0; i < model.output_count; i++) {
        expect(NOT_LOADED, ort->SessionGetOutputName(model.session, i, allocator, &model.output_names[i]));
    }
    for (size_t i = 0; i < model.input_count; i++) {
        char taken_text[TEXT], held_text[TEXT];
        expect(NOT_LOADED, ort->SessionGetInputName(model.session, i, allocator, &model.input_names[i]));
        struct tensor taken = describe_input(model.session, i, model.input_names[i], request->batch);
        if (!equal(&taken, &model.inputs[i])) {
            fail(BAD_INPUT, "input '%s' takes %s, each sample holds %s", model.input_names[i],
                 show(&taken, taken_text), show(&model.inputs[i], held_text));
        }
    }
    return model;
}

/* ---- Time --------------------------------------------------------------------------------------------------- */

enum { WINDOW = 10, MOST_WARMUP_MS = 20000 };
static const double STABLE_PART = 0.02; /* as in edgekd/bench/runner.py, whose counterpart this is */
static const double READING_MS = 1000;
static double load_ms, first_ms = -1;
static long resting_kb;

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

/* A field of /proc/self/status in kB, -1 without it. */
static long status_kb(const char *field) {
    char line[TEXT];
    long kilobytes = -1;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, field, strlen(field)) == 0) {
            kilobytes = atol(line + strlen(field) + 1);
        }
    }
    if (status != NULL) {
        fclose(status);
    }
    return kilobytes;
}

/* Threads that are started later inherit the cores. */
static void stay_on_cores(const struct request *request) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    for (size_t i = 0; i < request->core_count; i++) {
        if (request->cores[i] >= CPU_SETSIZE) {
            fail(BAD_INPUT, "--core %ld: there is no such core", request->cores[i]);
        }
        CPU_SET((int)request->cores[i], &cores);
    }
    if (request->core_count > 0 && sched_setaffinity(0, sizeof cores, &cores) != 0) {
        fail(BAD_INPUT, "--core: the system does not give these cores");
    }
}

static int ascending(const void *a, const void *b) {
    double first = *(const double *)a, second = *(const double *)b;
    return (first > second) - (first < second);
}

static double median_of_window(const double *values) {
    double sorted[WINDOW];
    memcpy(sorted, values, sizeof sorted);
    qsort(sorted, WINDOW, sizeof sorted[0], ascending);
    return (sorted[WINDOW / 2 - 1] + sorted[WINDOW / 2]) / 2;
}

/* Whether two windows in a row have about the same median. */
static int is_warm(const double *taken, size_t count) {
    if (count < 2 * WINDOW) {
        return 0;
    }
    double last = median_of_window(taken + count - WINDOW), previous = median_of_window(taken + count - 2 * WINDOW);
    return fabs(last / previous - 1) <= STABLE_PART;
}

/* Add one clock for each core that is used; the kernel may not tell them. */
static void write_clocks(const struct request *request, double started_ms, FILE *file) {
    fprintf(file, "reading %.3f", started_ms);
    for (size_t i = 0; i < request->core_count; i++) {
        char path[TEXT];
        long khz;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%ld/cpufreq/scaling_cur_freq", request->cores[i]);
        FILE *clock = fopen(path, "r");
        if (clock != NULL && fscanf(clock, "%ld", &khz) == 1) {
            fprintf(file, " %ld", khz);
        }
        if (clock != NULL) {
            fclose(clock);
        }
    }
    fputc('\n', file);
}

/* ---- Running ------------------------------------------------------------------------------------------------ */

static void release_values(Value **values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        ort->ReleaseValue(values[i]);
        values[i] = NULL;
    }
}

static void run(const struct model *model, Value **inputs, Value **outputs, long repeats) {
    for (long i = 0; i < repeats; i++) {
        release_values(outputs, model->output_count);
        double began = now_ms();
        MARK_BEGIN;
        Status *status = ort->Run(model->session, NULL, (const char *const *)model->input_names,
                                  (const Value *const *)inputs, model->input_count,
                                  (const char *const *)model->output_names, model->output_count, outputs);
        MARK_END;
        if (first_ms < 0) {
            first_ms = now_ms() - began;
        }
        expect(NOT_RUN, status);
    }
}

static double timed_ms(const struct model *model, Value **inputs, Value **outputs) {
    release_values(outputs, model->output_count);
    double began = now_ms();
    Status *status = ort->Run(model->session, NULL, (const char *const *)model->input_names,
                              (const Value *const *)inputs, model->input_count,
                              (const char *const *)model->output_names, model->output_count, outputs);
    double taken = now_ms() - began;
    expect(NOT_RUN, status);
    return taken;
}

/* Warm up, then time the last sample until there are enough runs and seconds. */
static void write_times(const struct model *model, const struct request *request, Value **inputs, Value **outputs) {
    FILE *file = fopen(request->times, "w");
    if (file == NULL) {
        fail(NOT_WRITTEN, "cannot open %s", request->times);
    }
    size_t room = 1024, count = 0;
    double *taken = allocate(room * sizeof *taken), began = now_ms(), read_ms = 0;
    while ((count < (size_t)request->warmup || !is_warm(taken, count)) && now_ms() - began < MOST_WARMUP_MS) {
        if (count == room && (taken = realloc(taken, (room *= 2) * sizeof *taken)) == NULL) {
            fail(NOT_RUN, "out of memory");
        }
        taken[count++] = timed_ms(model, inputs, outputs);
    }
    for (size_t i = 0; i < count; i++) {
        fprintf(file, "warmup %.6f\n", taken[i]);
    }
    free(taken);
    long runs = 0;
    for (began = now_ms(); runs < request->runs || now_ms() - began < 1e3 * (double)request->seconds; runs++) {
        double started = now_ms() - began;
        if (request->seconds > 0 && started - read_ms >= READING_MS) {
            write_clocks(request, started, file);
            read_ms = started;
            started = now_ms() - began;
        }
        double spent = timed_ms(model, inputs, outputs);
        fprintf(file, "sample %.3f %.6f\n", started, spent);
    }
    fprintf(file, "load_ms %.6f\nfirst_ms %.6f\nresting_kb %ld\npeak_kb %ld\nown_ms %.0f\n", load_ms, first_ms,
            resting_kb, status_kb("VmHWM"), 1e3 * (double)clock() / CLOCKS_PER_SEC);
    if (fclose(file) != 0) {
        fail(NOT_WRITTEN, "the times could not be written: the disk may be full");
    }
}

/* Append the outputs of one sample; the first sample's kinds are kept and told, the others' must be equal. */
static void write_outputs(const struct model *model, Value **values, struct tensor *kinds, size_t sample, FILE *file) {
    for (size_t i = 0; i < model->output_count; i++) {
        char text[TEXT], first_text[TEXT];
        void *data;
        struct tensor kind = describe_output(values[i], model->output_names[i]);
        if (sample == 0) {
            kinds[i] = kind;
            printf("%s %s%c", show(&kind, text), model->output_names[i], '\0');
        } else if (!equal(&kind, &kinds[i])) {
            fail(NOT_RUN, "output '%s' is %s for sample %zu but %s for the first: all must be alike",
                 model->output_names[i], show(&kind, text), sample, show(&kinds[i], first_text));
        }
        expect(NOT_RUN, ort->GetTensorMutableData(values[i], &data));
        if (fwrite(data, 1, bytes_of(&kind), file) != bytes_of(&kind)) {
            fail(NOT_WRITTEN, "the outputs could not be written: the disk may be full");
        }
    }
}

/* Make a tensor for each input, over a buffer of its own: any type then starts where its alignment wants it. */
static Value **make_inputs(const struct model *model, char **buffers) {
    MemoryInfo *memory;
    Value **values = allocate(model->input_count * sizeof(Value *));
    expect(NOT_RUN, ort->CreateCpuMemoryInfo(ARENA_ALLOCATOR, DEFAULT_MEMORY, &memory));
    for (size_t i = 0; i < model->input_count; i++) {
        const struct tensor *input = &model->inputs[i];
        buffers[i] = allocate(bytes_of(input));
        expect(NOT_RUN, ort->CreateTensorWithDataAsOrtValue(memory, buffers[i], bytes_of(input), input->sizes,
                                                            input->rank, input->type, &values[i]));
    }
    return values;
}

/* Fill the inputs with the next sample; 0 at the end of the file. */
static int read_sample(const struct model *model, char **buffers, FILE *file, const char *path) {
    size_t wanted = 0, got = 0;
    for (size_t i = 0; i < model->input_count; i++) {
        wanted += bytes_of(&model->inputs[i]);
        got += fread(buffers[i], 1, bytes_of(&model->inputs[i]), file);
    }
    if (wanted == 0 || (got != 0 && got != wanted)) {
        fail(BAD_INPUT, "%s: a sample takes %zu bytes, the last one has %zu", path, wanted, got);
    }
    return got == wanted;
}

static void run_samples(const struct model *model, const struct request *request) {
    FILE *samples = fopen(request->samples, "rb"), *outputs = fopen(request->outputs, "wb");
    if (samples == NULL || outputs == NULL) {
        fail(BAD_INPUT, "cannot open %s", samples == NULL ? request->samples : request->outputs);
    }
    char **buffers = allocate(model->input_count * sizeof(char *));
    Value **inputs = make_inputs(model, buffers), **values = allocate(model->output_count * sizeof(Value *));
    memset(values, 0, model->output_count * sizeof(Value *));
    struct tensor *kinds = allocate(model->output_count * sizeof(struct tensor));
    for (size_t sample = 0; read_sample(model, buffers, samples, request->samples); sample++) {
        run(model, inputs, values, request->repeats);
        write_outputs(model, values, kinds, sample, outputs);
    }
    if (fclose(outputs) != 0 || fflush(stdout) != 0) {
        fail(NOT_WRITTEN, "the outputs could not be written: the disk may be full");
    }
    if (request->times != NULL) {
        write_times(model, request, inputs, values);
    }
}

int main(int count, char **arguments) {
    static struct request request; /* static: too large for a stack */
    request.level = OPTIMIZE_ALL;
    request.repeats = request.threads = request.batch = request.runs = 1;
    const struct ort_api_base *base = OrtGetApiBase();
    if (count == 2 && strcmp(arguments[1], "--version") == 0) {
        puts(base->GetVersionString());
        return 0;
    }
    parse_arguments(&request, count, arguments);
    ort = base->GetApi(API_VERSION);
    if (ort == NULL) {
        fail(NOT_LOADED, "ONNX Runtime %s does not offer version %d of its C API", base->GetVersionString(),
             API_VERSION);
    }
    stay_on_cores(&request);
    resting_kb = status_kb("VmRSS");
    double began = now_ms();
    struct model model = load(&request);
    load_ms = now_ms() - began;
    run_samples(&model, &request);
    if (request.profile != NULL) {
        ort->ReleaseSession(model.session); /* this writes the trace */
    }
    return 0;
}
