// A CUDA driver without a device: libcuda.so.1 whose kernels are kernels.cu for every student, run on the host.
//
// The engine's own tests run against it wherever there is a C++ compiler, and so try the launches,
// copies and graphs of the engine together with the kernels' arithmetic.  New memory is poisoned,
// so that what is read before it is written shows.
#include "device.h"

#include <elf.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <unordered_map>

namespace {

using Work = std::function<void()>;
using MakeWork = std::function<Work(void**, dim3, dim3)>;

// A launch of a kernel with a copy of its arguments.
template <class... Arguments, size_t... Numbers>
MakeWork with_arguments(void (*kernel)(Arguments...), std::index_sequence<Numbers...>) {
    return [kernel](void** parameters, dim3 grid, dim3 block) -> Work {
        std::tuple<Arguments...> arguments(*static_cast<Arguments*>(parameters[Numbers])...);
        return [=] { emulator::launch(grid, block, [&] { std::apply(kernel, arguments); }); };
    };
}

template <class... Arguments>
MakeWork entry(void (*kernel)(Arguments...)) {
    return with_arguments(kernel, std::index_sequence_for<Arguments...>());
}

// The kernels for one student, and what they export.
struct Module {
    const int* sizes;
    size_t sizes_bytes;
    std::unordered_map<std::string, MakeWork> kernels;
};

}  // namespace

// Written by build.py: kernels.cu once for each student in a namespace of its own, and
// `Module* const all_modules[]` of these.
#include "modules.inc"

namespace {

// The module that stands for machine code: that of the same sizes F, K, T and E, with which its kernel_sizes begins.
Module* module_of(const char* image) {
    if (std::memcmp(image, ELFMAG, SELFMAG) != 0) return nullptr;
    auto header = reinterpret_cast<const Elf64_Ehdr*>(image);
    auto sections = reinterpret_cast<const Elf64_Shdr*>(image + header->e_shoff);
    for (Module* module : all_modules)
        for (int n = 0; n < header->e_shnum; n++) {
            if (sections[n].sh_type != SHT_PROGBITS) continue;
            if (memmem(image + sections[n].sh_offset, sections[n].sh_size, module->sizes, 4 * sizeof(int))) return module;
        }
    return nullptr;
}

struct DriverGraph {
    std::vector<Work> works;
};

struct DriverStream {
    DriverGraph* captured = nullptr;
};

struct DriverEvent {
    std::chrono::steady_clock::time_point time;
};

constexpr int SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_IMAGE = 200, NOT_FOUND = 500;
constexpr int COMPUTE_CAPABILITY_MAJOR = 75, COMPUTE_CAPABILITY_MINOR = 76, MULTIPROCESSORS = 16, SHARED_BYTES = 81, SHARED_BYTES_MAX = 97;
constexpr int DEVICES = 2;
constexpr size_t MEMORY_BYTES = size_t(1) << 30;
thread_local void* current_context = nullptr;
int the_context;

}  // namespace

extern "C" {

int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int* version) { *version = 12020; return SUCCESS; }
int cuGetErrorName(int, const char** name) { *name = "EMULATED"; return SUCCESS; }
int cuGetErrorString(int, const char** text) { *text = "error of the emulated driver"; return SUCCESS; }

int cuDeviceGetCount(int* count) { *count = DEVICES; return SUCCESS; }
int cuDeviceGet(int* device, int ordinal) { *device = ordinal; return ordinal < DEVICES ? SUCCESS : 101; }
int cuDeviceGetName(char* name, int size, int) { std::snprintf(name, size, "emulation on the host"); return SUCCESS; }
int cuDeviceTotalMem_v2(size_t* bytes, int) { *bytes = MEMORY_BYTES; return SUCCESS; }
int cuDeviceGetAttribute(int* value, int attribute, int) {
    *value = attribute == COMPUTE_CAPABILITY_MAJOR ? 8 : attribute == MULTIPROCESSORS ? 2 : attribute == SHARED_BYTES ? 228 << 10 : attribute == SHARED_BYTES_MAX ? 227 << 10 : 0;
    return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void** context, int) { *context = &the_context; return SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxGetCurrent(void** context) { *context = current_context; return SUCCESS; }
int cuCtxSetCurrent(void* context) { current_context = context; return SUCCESS; }
int cuCtxSynchronize() { return SUCCESS; }
int cuMemGetInfo_v2(size_t* free, size_t* total) { *free = *total = MEMORY_BYTES; return SUCCESS; }

int cuStreamCreate(DriverStream** stream, unsigned) { *stream = new DriverStream; return SUCCESS; }
int cuStreamDestroy_v2(DriverStream* stream) { delete stream; return SUCCESS; }
int cuStreamSynchronize(DriverStream*) { return SUCCESS; }
int cuStreamWaitEvent(DriverStream*, DriverEvent*, unsigned) { return SUCCESS; }
int cuEventCreate(DriverEvent** event, unsigned) { *event = new DriverEvent; return SUCCESS; }
int cuEventDestroy_v2(DriverEvent* event) { delete event; return SUCCESS; }
int cuEventRecord(DriverEvent* event, DriverStream*) { event->time = std::chrono::steady_clock::now(); return SUCCESS; }
int cuEventSynchronize(DriverEvent*) { return SUCCESS; }
int cuEventElapsedTime(float* ms, DriverEvent* from, DriverEvent* to) {
    *ms = std::chrono::duration<float, std::milli>(to->time - from->time).count();
    return SUCCESS;
}
int cuEventElapsedTime_v2(float* ms, DriverEvent* from, DriverEvent* to) { return cuEventElapsedTime(ms, from, to); }

int cuMemAlloc_v2(char** pointer, size_t bytes) {
    // No byte more than asked for, so that an address checker sees what is outside.
    void* memory = nullptr;
    if (posix_memalign(&memory, 256, bytes)) return OUT_OF_MEMORY;
    *pointer = static_cast<char*>(memory);
    std::memset(*pointer, 0xFF, bytes);  // NaN in every float
    return SUCCESS;
}
int cuMemFree_v2(char* pointer) { std::free(pointer); return SUCCESS; }
int cuMemHostAlloc(char** pointer, size_t bytes, unsigned) { return cuMemAlloc_v2(pointer, bytes); }
int cuMemFreeHost(char* pointer) { return cuMemFree_v2(pointer); }
int cuMemcpyHtoDAsync_v2(char* to, const char* from, size_t bytes, DriverStream*) { std::memcpy(to, from, bytes); return SUCCESS; }
int cuMemcpyDtoHAsync_v2(char* to, const char* from, size_t bytes, DriverStream*) { std::memcpy(to, from, bytes); return SUCCESS; }
int cuMemsetD8Async(char* to, unsigned char value, size_t bytes, DriverStream*) { std::memset(to, value, bytes); return SUCCESS; }

int cuModuleLoadData(Module** module, const char* image) {
    *module = module_of(image);
    return *module ? SUCCESS : INVALID_IMAGE;
}
int cuModuleUnload(Module*) { return SUCCESS; }
int cuModuleGetFunction(MakeWork** function, Module* module, const char* name) {
    auto found = module->kernels.find(name);
    if (found == module->kernels.end()) return NOT_FOUND;
    *function = &found->second;
    return SUCCESS;
}
int cuFuncSetAttribute(MakeWork*, int, int) { return SUCCESS; }
int cuModuleGetGlobal_v2(const int** pointer, size_t* bytes, Module* module, const char* name) {
    if (std::string(name) != "kernel_sizes") return NOT_FOUND;
    *pointer = module->sizes;
    *bytes = module->sizes_bytes;
    return SUCCESS;
}

int cuLaunchKernel(MakeWork* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned, DriverStream* stream, void** parameters, void**) {
    if (grid_x == 0 || block_x == 0) return INVALID_VALUE;
    Work work = (*function)(parameters, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z});
    if (stream && stream->captured) {
        stream->captured->works.push_back(work);
    } else {
        work();
    }
    return SUCCESS;
}

int cuStreamBeginCapture_v2(DriverStream* stream, int) { stream->captured = new DriverGraph; return SUCCESS; }
int cuStreamEndCapture(DriverStream* stream, DriverGraph** graph) {
    *graph = stream->captured;
    stream->captured = nullptr;
    return SUCCESS;
}
int cuGraphInstantiateWithFlags(DriverGraph** executable, DriverGraph* graph, unsigned long long) {
    *executable = new DriverGraph(*graph);
    return SUCCESS;
}
int cuGraphLaunch(DriverGraph* executable, DriverStream*) {
    for (auto& work : executable->works) work();
    return SUCCESS;
}
int cuGraphDestroy(DriverGraph* graph) { delete graph; return SUCCESS; }
int cuGraphExecDestroy(DriverGraph* executable) { delete executable; return SUCCESS; }

}  // extern "C"
