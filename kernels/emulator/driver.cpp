// A CUDA driver without a device: libcuda.so.1 whose kernels are kernels.cu for every student, run on the host.
//
// The engine's own tests run against it wherever there is a C++ compiler, and so try the launches,
// copies and graphs of the engine together with the kernels' arithmetic.  New memory is poisoned,
// so that what is read before it is written shows.  Work waits on its stream until the host waits for
// it, as late as a device may do it: who does not wait reads what was there before.
#include "device.h"

#include <elf.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using Work = std::function<void()>;
using MakeWork = std::function<Work(void**, dim3, dim3)>;

// A launch of a kernel with a copy of its arguments.
template <class... Arguments, size_t... Numbers>
MakeWork with_arguments(void (*kernel)(Arguments...), unsigned blocks_of_cluster, std::index_sequence<Numbers...>) {
    return [kernel, blocks_of_cluster](void** parameters, dim3 grid, dim3 block) -> Work {
        std::tuple<Arguments...> arguments(*static_cast<Arguments*>(parameters[Numbers])...);
        return [=] { emulator::launch(grid, block, blocks_of_cluster, [&] { std::apply(kernel, arguments); }); };
    };
}

template <class... Arguments>
MakeWork entry(void (*kernel)(Arguments...), unsigned blocks_of_cluster) {
    return with_arguments(kernel, blocks_of_cluster, std::index_sequence_for<Arguments...>());
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

constexpr int SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_IMAGE = 200, NOT_FOUND = 500, LAUNCH_FAILED = 719;

// What a test wants the driver to say, or what it says otherwise.
int asked_for(const char* name, int otherwise) {
    const char* asked = std::getenv(name);
    return asked ? std::atoi(asked) : otherwise;
}

// After so many launches the device is lost, and what is asked of it from then on fails.
std::atomic<int> launches_left{asked_for("EMULATOR_LOST_AFTER", std::numeric_limits<int>::max())};
bool lost() { return launches_left < 0; }
int state() { return lost() ? LAUNCH_FAILED : SUCCESS; }

struct DriverGraph {
    std::vector<Work> works;
};

using Time = std::chrono::steady_clock::time_point;

struct DriverStream {
    DriverGraph* captured = nullptr;
    std::deque<Work> waiting;
    size_t done = 0;

    void add(Work work) {
        if (captured) captured->works.push_back(std::move(work));
        else waiting.push_back(std::move(work));
    }

    // Does its work up to that of this number, unless the device is lost.
    void run_to(size_t number) {
        while (done < number && !waiting.empty()) {
            Work work = std::move(waiting.front());
            waiting.pop_front();
            ++done;
            if (!lost()) work();
        }
    }
    void run() { run_to(done + waiting.size()); }
};

struct DriverEvent {
    DriverStream* stream = nullptr;
    size_t number = 0;
    std::shared_ptr<Time> time = std::make_shared<Time>();

    void wait() const { if (stream) stream->run_to(number); }
};

// The streams of this thread; an engine stays on the thread that made it.
thread_local std::vector<DriverStream*> streams;
void run_all() { for (DriverStream* stream : streams) stream->run(); }

// Where memory is pinned, by its end.  Other host memory is copied from before a call returns, and
// to before it returns.
std::mutex pinned_lock;
std::map<const char*, const char*> pinned;
bool is_pinned(const char* host) {
    std::lock_guard<std::mutex> guard(pinned_lock);
    auto above = pinned.upper_bound(host);
    return above != pinned.end() && above->second <= host;
}

constexpr int COMPUTE_CAPABILITY_MAJOR = 75, COMPUTE_CAPABILITY_MINOR = 76, MULTIPROCESSORS = 16, SHARED_BYTES = 81, SHARED_BYTES_MAX = 97;
// Fewer clusters than multiprocessors, as on a GPU: blocks alone get their turn too.
constexpr int DEVICES = 2, CLUSTERS = 1;
constexpr size_t MEMORY_BYTES = size_t(1) << 30;
thread_local void* current_context = nullptr;
int the_context;

}  // namespace

extern "C" {

int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int* version) { *version = asked_for("EMULATOR_DRIVER", 12020); return SUCCESS; }
int cuGetErrorName(int, const char** name) { *name = "EMULATED"; return SUCCESS; }
int cuGetErrorString(int, const char** text) { *text = "error of the emulated driver"; return SUCCESS; }

int cuDeviceGetCount(int* count) { *count = DEVICES; return SUCCESS; }
int cuDeviceGet(int* device, int ordinal) { *device = ordinal; return ordinal < DEVICES ? SUCCESS : 101; }
int cuDeviceGetName(char* name, int size, int) { std::snprintf(name, size, "emulation on the host"); return SUCCESS; }
int cuDeviceTotalMem_v2(size_t* bytes, int) { *bytes = MEMORY_BYTES; return SUCCESS; }
int cuDeviceGetAttribute(int* value, int attribute, int) {
    *value = attribute == COMPUTE_CAPABILITY_MAJOR ? asked_for("EMULATOR_CAPABILITY", 8) : attribute == MULTIPROCESSORS ? 2 : attribute == SHARED_BYTES ? 228 << 10 : attribute == SHARED_BYTES_MAX ? 227 << 10 : 0;
    return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void** context, int) { *context = &the_context; return SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxGetCurrent(void** context) { *context = current_context; return SUCCESS; }
int cuCtxSetCurrent(void* context) { current_context = context; return SUCCESS; }
int cuCtxSynchronize() { run_all(); return state(); }
int cuMemGetInfo_v2(size_t* free, size_t* total) { *free = *total = MEMORY_BYTES; return SUCCESS; }

int cuStreamCreate(DriverStream** stream, unsigned) {
    streams.push_back(*stream = new DriverStream);
    return SUCCESS;
}
int cuStreamDestroy_v2(DriverStream* stream) {
    stream->run();
    streams.erase(std::remove(streams.begin(), streams.end(), stream), streams.end());
    delete stream;
    return state();
}
int cuStreamSynchronize(DriverStream* stream) { stream->run(); return state(); }
int cuStreamWaitEvent(DriverStream* stream, DriverEvent* event, unsigned) {
    if (event->stream != stream) event->wait();
    return SUCCESS;
}
int cuEventCreate(DriverEvent** event, unsigned) { *event = new DriverEvent; return SUCCESS; }
int cuEventDestroy_v2(DriverEvent* event) { delete event; return state(); }
int cuEventRecord(DriverEvent* event, DriverStream* stream) {
    auto time = event->time;
    stream->add([time] { *time = std::chrono::steady_clock::now(); });
    event->stream = stream;
    event->number = stream->done + stream->waiting.size();
    return SUCCESS;
}
int cuEventSynchronize(DriverEvent* event) { event->wait(); return state(); }
int cuEventElapsedTime(float* ms, DriverEvent* from, DriverEvent* to) {
    *ms = std::chrono::duration<float, std::milli>(*to->time - *from->time).count();
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
int cuMemFree_v2(char* pointer) { run_all(); std::free(pointer); return state(); }
int cuMemHostAlloc(char** pointer, size_t bytes, unsigned) {
    if (int failed = cuMemAlloc_v2(pointer, bytes)) return failed;
    std::lock_guard<std::mutex> guard(pinned_lock);
    pinned[*pointer + bytes] = *pointer;
    return SUCCESS;
}
int cuMemFreeHost(char* pointer) {
    {
        std::lock_guard<std::mutex> guard(pinned_lock);
        pinned.erase(pinned.upper_bound(pointer));
    }
    return cuMemFree_v2(pointer);
}
int cuMemcpyHtoDAsync_v2(char* to, const char* from, size_t bytes, DriverStream* stream) {
    if (is_pinned(from)) {
        stream->add([=] { std::memcpy(to, from, bytes); });
    } else {
        std::vector<char> copy(from, from + bytes);
        stream->add([to, copy] { std::memcpy(to, copy.data(), copy.size()); });
    }
    return SUCCESS;
}
int cuMemcpyDtoHAsync_v2(char* to, const char* from, size_t bytes, DriverStream* stream) {
    stream->add([=] { std::memcpy(to, from, bytes); });
    if (!is_pinned(to)) stream->run();
    return state();
}
int cuMemsetD8Async(char* to, unsigned char value, size_t bytes, DriverStream* stream) {
    stream->add([=] { std::memset(to, value, bytes); });
    return SUCCESS;
}

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
int cuOccupancyMaxActiveClusters(int* clusters, MakeWork*, const void*) { *clusters = CLUSTERS; return SUCCESS; }
int cuModuleGetGlobal_v2(const int** pointer, size_t* bytes, Module* module, const char* name) {
    if (std::string(name) != "kernel_sizes") return NOT_FOUND;
    *pointer = module->sizes;
    *bytes = module->sizes_bytes;
    return SUCCESS;
}

int cuLaunchKernel(MakeWork* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned, DriverStream* stream, void** parameters, void**) {
    if (grid_x == 0 || block_x == 0) return INVALID_VALUE;
    --launches_left;
    Work work = (*function)(parameters, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z});
    stream->add(work);
    return state();
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
int cuGraphLaunch(DriverGraph* executable, DriverStream* stream) {
    --launches_left;
    for (auto& work : executable->works) stream->add(work);
    return state();
}
int cuGraphDestroy(DriverGraph* graph) { delete graph; return SUCCESS; }
int cuGraphExecDestroy(DriverGraph* executable) { delete executable; return SUCCESS; }

}  // extern "C"
