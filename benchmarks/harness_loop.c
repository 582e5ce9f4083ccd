/* Time one ONNX file by ONNX Runtime's C API alone, as its own onnxruntime_perf_test does: a clock around each Run.
 *
 *   harness_loop LIBRARY MODEL SAMPLE WARM_UP RUNS SIZE [SIZE ...]
 *
 * MODEL has one input, "input", and one output, "output", both float32; SAMPLE holds the input's numbers, whose sizes
 * follow. Each timed run's nanoseconds go to standard output, a line for each. The wheel has the library but not its
 * header, so what is used of the API's table is declared here by its slots, as in tools/arm-emulation/run_model.c.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef void Status; /* a null pointer means success */

struct ort_api {
    void *unused_0[2];
    const char *(*GetErrorMessage)(const Status *);
    Status *(*CreateEnv)(int severity, const char *log_id, void **out);
    void *unused_4[3];
    Status *(*CreateSession)(const void *env, const char *path, const void *options, void **out);
    void *unused_8[1];
    Status *(*Run)(void *session, const void *options, const char *const *input_names, const void *const *inputs,
                   size_t input_count, const char *const *output_names, size_t output_count, void **outputs);
    Status *(*CreateSessionOptions)(void **out);
    void *unused_11[13];
    Status *(*SetIntraOpNumThreads)(void *options, int threads);
    Status *(*SetInterOpNumThreads)(void *options, int threads);
    void *unused_26[23];
    Status *(*CreateTensorWithDataAsOrtValue)(const void *memory, void *data, size_t bytes, const int64_t *sizes,
                                              size_t rank, int element_type, void **out);
    void *unused_50[19];
    Status *(*CreateCpuMemoryInfo)(int allocator_type, int memory_type, void **out);
    void *unused_70[26];
    void (*ReleaseValue)(void *);
};
_Static_assert(offsetof(struct ort_api, Run) == 9 * sizeof(void *), "slot 9");
_Static_assert(offsetof(struct ort_api, SetIntraOpNumThreads) == 24 * sizeof(void *), "slot 24");
_Static_assert(offsetof(struct ort_api, CreateTensorWithDataAsOrtValue) == 49 * sizeof(void *), "slot 49");
_Static_assert(offsetof(struct ort_api, CreateCpuMemoryInfo) == 69 * sizeof(void *), "slot 69");
_Static_assert(offsetof(struct ort_api, ReleaseValue) == 96 * sizeof(void *), "slot 96");

struct ort_api_base {
    const struct ort_api *(*GetApi)(uint32_t version);
};

enum { API_VERSION = 16, LOG_FATAL = 4, ARENA = 1, DEFAULT_MEMORY = 0, FLOAT = 1, MAX_RANK = 8, FIRST_SIZE = 6 };

static const struct ort_api *ort;

static void expect(const Status *status) {
    if (status != NULL) {
        fprintf(stderr, "%s\n", ort->GetErrorMessage(status));
        exit(1);
    }
}

static void expect_that(int holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        exit(2);
    }
}

static int64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int main(int count, char **arguments) {
    expect_that(count > FIRST_SIZE && count - FIRST_SIZE <= MAX_RANK, "expected LIBRARY MODEL SAMPLE WARM_UP RUNS SIZES");
    void *library = dlopen(arguments[1], RTLD_NOW);
    expect_that(library != NULL, "the library cannot be loaded");
    const struct ort_api_base *(*base)(void) = (const struct ort_api_base *(*)(void))dlsym(library, "OrtGetApiBase");
    ort = base()->GetApi(API_VERSION);

    int64_t sizes[MAX_RANK];
    size_t rank = (size_t)(count - FIRST_SIZE), bytes = sizeof(float);
    for (size_t i = 0; i < rank; i++) {
        sizes[i] = atoll(arguments[FIRST_SIZE + i]);
        bytes *= (size_t)sizes[i];
    }
    void *data = malloc(bytes);
    FILE *sample = fopen(arguments[3], "rb");
    expect_that(data != NULL && sample != NULL && fread(data, 1, bytes, sample) == bytes, "the sample cannot be read");

    void *env, *options, *session, *memory, *input;
    expect(ort->CreateEnv(LOG_FATAL, "harness_loop", &env));
    expect(ort->CreateSessionOptions(&options));
    expect(ort->SetIntraOpNumThreads(options, 1));
    expect(ort->SetInterOpNumThreads(options, 1));
    expect(ort->CreateSession(env, arguments[2], options, &session));
    expect(ort->CreateCpuMemoryInfo(ARENA, DEFAULT_MEMORY, &memory));
    expect(ort->CreateTensorWithDataAsOrtValue(memory, data, bytes, sizes, rank, FLOAT, &input));

    const char *input_names[] = {"input"}, *output_names[] = {"output"};
    long warm_up = atol(arguments[4]), runs = atol(arguments[5]);
    int64_t *taken = malloc((size_t)(runs > 0 ? runs : 1) * sizeof *taken);
    expect_that(taken != NULL, "out of memory");
    for (long i = -warm_up; i < runs; i++) {
        void *output = NULL;
        const void *inputs[] = {input};
        int64_t began = nanoseconds();
        expect(ort->Run(session, NULL, input_names, inputs, 1, output_names, 1, &output));
        int64_t ended = nanoseconds();
        ort->ReleaseValue(output);
        if (i >= 0) {
            taken[i] = ended - began;
        }
    }
    for (long i = 0; i < runs; i++) {
        printf("%lld\n", (long long)taken[i]);
    }
    return 0;
}
