//! One GPU: found, judged, and with its kernels loaded.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use cudarc::driver::{
    CudaContext, CudaEvent, CudaFunction, CudaModule, CudaSlice, CudaStream, DriverError, sys,
};
use cudarc::nvrtc::Ptx;

use super::abi::{self, Argument, Sizes, TileSizes};
use super::images::{self, Image};
use super::tile_kinds::{Kind, kinds_of};
use crate::error::{Error, Result};
use crate::student::Student;

/// The oldest driver: CUDA 12.2, which is version 535.
const DRIVER_VERSION_MIN: i32 = 12_020;
/// The oldest GPUs: compute capability 8.0, Ampere.
const CAPABILITY_MIN: (i32, i32) = (8, 0);

/// A kernel under its name.
#[derive(Debug)]
pub struct Kernel {
    pub(super) function: CudaFunction,
    pub(super) name: &'static str,
}

macro_rules! kernels {
    ($($name:ident)*) => {
        /// All kernels; each is described in its file in `kernels/`.
        #[derive(Debug)]
        #[allow(missing_docs)]
        pub struct Kernels { $(pub $name: Kernel,)* }

        impl Kernels {
            fn load(module: &Arc<CudaModule>) -> Result<Self, DriverError> {
                Ok(Self { $($name: Kernel {
                    function: module.load_function(stringify!($name))?,
                    name: stringify!($name),
                },)* })
            }

            fn names() -> impl Iterator<Item = &'static str> {
                [$(stringify!($name)),*].into_iter()
            }
        }
    };
}

kernels! {
    integrate find_neighbours inspect radial repulsion density density_backward
    product_128_rows product_64_rows product_32_rows
    update_inputs update_apply update_apply_backward update_inputs_backward
    message message_backward readout forces energies
    step_tiles_16 step_tiles_32 step_tiles_48 step_tiles_64 step_tiles_128 step_tiles_by_clusters
}

impl Kernels {
    /// The kernel for tiles of this kind.
    pub fn step_tiles(&self, kind: &Kind) -> &Kernel {
        match (kind.blocks, kind.rows) {
            (1, 16) => &self.step_tiles_16,
            (1, 32) => &self.step_tiles_32,
            (1, 48) => &self.step_tiles_48,
            (1, 64) => &self.step_tiles_64,
            (1, _) => &self.step_tiles_128,
            _ => &self.step_tiles_by_clusters,
        }
    }
}

/// A GPU with the kernels for students of up to one size.
pub struct Gpu {
    /// The one stream that does all the work.
    pub(super) stream: Arc<CudaStream>,
    /// What it can run.
    pub(super) kernels: Kernels,
    /// The sizes these kernels are for.
    pub(super) sizes: Sizes,
    /// The number of multiprocessors.
    pub multiprocessors: usize,
    /// The kinds of tiles that it has room for.
    pub(super) tile_kinds: Vec<Kind>,
    name: String,
    /// Bytes of all arrays that were made, whether they are still there or not.
    pub(super) array_bytes: Cell<usize>,
    /// Launches while they are timed.
    timings: RefCell<Option<Vec<Timing>>>,
}

/// A timed launch.
struct Timing {
    stage: &'static str,
    kernel: &'static str,
    events: (CudaEvent, CudaEvent),
}

/// What one stage of a step took.
#[derive(Clone, Debug, PartialEq)]
pub struct StageTime {
    /// What was computed.
    pub stage: &'static str,
    /// By which kernel; `step_tiles` where tiles of several kinds did it.
    pub kernel: &'static str,
    /// Time on the device, all launches together, ms.
    pub time_ms: f64,
}

/// How many GPUs there are; an error says why there is none to be used.
fn count() -> Result<usize> {
    if !abi::driver_is_there() {
        return Err(
            Error::run("no NVIDIA driver on this machine (libcuda.so.1 was not found)")
                .hint("use `--device cpu`"),
        );
    }
    let version = abi::driver_version();
    if version < DRIVER_VERSION_MIN {
        let (major, minor) = (version / 1000, version % 1000 / 10);
        let what =
            format!("the NVIDIA driver is too old: it speaks CUDA {major}.{minor}, 12.2 is needed");
        return Err(Error::run(what).hint("install driver 535 or newer, or use `--device cpu`"));
    }
    let count = CudaContext::new(0).and_then(|_| CudaContext::device_count());
    match count {
        Ok(count) if count > 0 => Ok(count as usize),
        Ok(_) => Err(Error::run("there is no NVIDIA GPU").hint("use `--device cpu`")),
        Err(source) => Err(
            Error::run(format!("the NVIDIA driver finds no GPU: {source}"))
                .hint("use `--device cpu`"),
        ),
    }
}

impl Gpu {
    /// Names of all kernels that it can be made to run: of tiles those that it has room for.
    pub fn kernel_names(&self) -> impl Iterator<Item = &'static str> {
        let kinds = self.tile_kinds.iter();
        let tiles: Vec<_> = kinds
            .map(|kind| self.kernels.step_tiles(kind).name)
            .collect();
        Kernels::names().filter(move |name| !name.starts_with("step_tiles") || tiles.contains(name))
    }

    /// GPU number `ordinal` with the kernels that a student fits into, or with any where there is none.
    pub fn open(ordinal: usize, student: Option<&Student>) -> Result<Self> {
        let image = image_for(student)?;
        let sizes = image.sizes;
        let count = count()?;
        if ordinal >= count {
            return Err(Error::input(format!("there is no GPU {ordinal}"))
                .hint(format!("this machine has {count}, numbered from 0")));
        }
        let context = CudaContext::new(ordinal).map_err(failed("open the GPU"))?;
        let name = context.name().map_err(failed("ask for the GPU's name"))?;
        let capability = context
            .compute_capability()
            .map_err(failed("ask for the GPU's kind"))?;
        if capability < CAPABILITY_MIN {
            let (major, minor) = capability;
            let what =
                format!("{name} is too old: compute capability {major}.{minor}, 8.0 is needed");
            return Err(Error::run(what).hint("use `--device cpu`"));
        }
        let stream = abi::single_stream(&context).map_err(failed("make a stream"))?;
        let module = load(&context, image, capability)?;
        let tile_sizes = check_sizes(&module, &stream, sizes)?;
        let multiprocessors = context
            .attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
            .map_err(failed("count multiprocessors"))? as usize;
        let kernels = Kernels::load(&module).map_err(failed("find the kernels"))?;
        let of = (sizes, &tile_sizes);
        let tile_kinds = kinds_of(&kernels, (&context, &stream), of, multiprocessors)?;
        Ok(Self {
            kernels,
            tile_kinds,
            stream,
            sizes,
            multiprocessors,
            name,
            array_bytes: Cell::new(0),
            timings: RefCell::new(None),
        })
    }

    /// All GPUs of this machine.
    pub fn open_all(student: Option<&Student>) -> Result<Vec<Self>> {
        (0..count()?)
            .map(|ordinal| Self::open(ordinal, student))
            .collect()
    }

    /// The maker's name of it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Memory that nobody uses, bytes.
    pub fn memory_free_bytes(&self) -> Result<usize> {
        let (free, _) = self
            .stream
            .context()
            .mem_get_info()
            .map_err(failed("ask for free memory"))?;
        Ok(free)
    }

    /// Launches `kernel` for the part of the step called `stage`.
    pub(super) fn launch(
        &self,
        stage: &'static str,
        kernel: &Kernel,
        blocks: usize,
        threads: u32,
        arguments: &[&dyn Argument],
    ) -> Result<()> {
        self.launch_with_shared(stage, kernel, blocks, (threads, 0), arguments)
    }

    /// The same with bytes of shared memory beside the threads.
    pub(super) fn launch_with_shared(
        &self,
        stage: &'static str,
        kernel: &Kernel,
        blocks: usize,
        threads_and_bytes: (u32, usize),
        arguments: &[&dyn Argument],
    ) -> Result<()> {
        let mut timings = self.timings.borrow_mut();
        let timed = timings.is_some();
        let events = abi::launch(
            &self.stream,
            &kernel.function,
            blocks,
            threads_and_bytes,
            arguments,
            timed,
        )
        .map_err(failed(kernel.name))?;
        if let (Some(timings), Some(events)) = (timings.as_mut(), events) {
            timings.push(Timing {
                stage,
                kernel: kernel.name,
                events,
            });
        }
        Ok(())
    }

    /// Times every launch that `work` makes, in order of their first appearance.
    pub(super) fn time(&self, work: impl FnOnce() -> Result<()>) -> Result<Vec<StageTime>> {
        *self.timings.borrow_mut() = Some(Vec::new());
        let worked = work();
        let timings = self.timings.borrow_mut().take().unwrap_or_default();
        worked?;
        self.synchronize()?;
        let mut stages: Vec<StageTime> = Vec::new();
        for Timing {
            stage,
            kernel,
            events: (start, end),
        } in timings
        {
            let time_ms = f64::from(start.elapsed_ms(&end).map_err(failed("read a clock"))?);
            match stages
                .iter_mut()
                .find(|known| (known.stage, known.kernel) == (stage, kernel))
            {
                Some(known) => known.time_ms += time_ms,
                None => stages.push(StageTime {
                    stage,
                    kernel,
                    time_ms,
                }),
            }
        }
        Ok(stages)
    }

    /// A mark in the work, at which the device looks at its clock.
    pub(super) fn mark(&self) -> Result<CudaEvent> {
        self.stream
            .record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT))
            .map_err(failed("mark the work"))
    }

    /// Waits until all work is done.
    pub(super) fn synchronize(&self) -> Result<()> {
        self.stream
            .synchronize()
            .map_err(failed("finish the work"))?;
        self.stream
            .context()
            .check_err()
            .map_err(failed("finish the work"))
    }

    /// An array of whatever numbers.
    pub(super) fn array<T: cudarc::driver::DeviceRepr>(&self, len: usize) -> Result<CudaSlice<T>> {
        let bytes = len.max(1) * size_of::<T>();
        self.array_bytes.set(self.array_bytes.get() + bytes);
        abi::uninitialised(&self.stream, len).map_err(failed("get memory"))
    }

    /// What an array holds.
    pub(super) fn download<T: cudarc::driver::DeviceRepr>(
        &self,
        array: &CudaSlice<T>,
    ) -> Result<Vec<T>> {
        let numbers = self
            .stream
            .clone_dtoh(array)
            .map_err(failed("copy from the GPU"))?;
        self.synchronize()?;
        Ok(numbers)
    }

    /// An array with these numbers.
    pub(super) fn upload<T: cudarc::driver::DeviceRepr>(
        &self,
        numbers: &[T],
    ) -> Result<CudaSlice<T>> {
        let mut array = self.array(numbers.len())?;
        if !numbers.is_empty() {
            self.stream
                .memcpy_htod(numbers, &mut array)
                .map_err(failed("copy to the GPU"))?;
        }
        Ok(array)
    }
}

/// The error of a call of the driver that was meant to do something.
pub fn failed(to: &str) -> impl FnOnce(DriverError) -> Error {
    let to = to.to_owned();
    move |source| Error::device(format!("the GPU failed ({to}): {source}"))
}

/// The kernels for a student, or any where there is none.
fn image_for(student: Option<&Student>) -> Result<&'static Image> {
    let sizes = student.map(Sizes::of);
    images::image_for(sizes).ok_or_else(|| {
        let of = sizes.map_or_else(String::new, |sizes| {
            let Sizes {
                channels,
                radial,
                tensor_channels,
            } = sizes;
            format!(
                " for a student of {channels} channels, {radial} radial functions and \
                 {tensor_channels} tensors"
            )
        });
        Error::run(format!("there are no GPU kernels{of}")).hint("use `--device cpu`")
    })
}

/// Machine code if there is some for this GPU and the driver takes it, else text that it compiles.
fn load(
    context: &Arc<CudaContext>,
    image: &Image,
    capability: (i32, i32),
) -> Result<Arc<CudaModule>> {
    let cubin = image.cubin(capability);
    let module = cubin.and_then(|code| context.load_module(Ptx::from_binary(code)).ok());
    if let Some(module) = module {
        return Ok(module);
    }
    let text = image
        .ptx()
        .ok_or_else(|| Error::run("the GPU kernels in this program are damaged"))?;
    context
        .load_module(Ptx::from_src(text))
        .map_err(failed("compile the kernels"))
}

/// Are these the kernels that this program was written for?
fn check_sizes(
    module: &Arc<CudaModule>,
    stream: &Arc<CudaStream>,
    sizes: Sizes,
) -> Result<TileSizes> {
    let exported = module
        .get_global("kernel_sizes", stream)
        .map_err(failed("find the kernels"))?;
    let bytes = stream
        .clone_dtoh(&exported)
        .map_err(failed("read the kernels' sizes"))?;
    stream
        .synchronize()
        .map_err(failed("read the kernels' sizes"))?;
    let found: Vec<i32> = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|size| i32::from_ne_bytes(*size))
        .collect();
    let expected = sizes.as_exported();
    let of_tiles = found.strip_prefix(&expected[..]);
    of_tiles.and_then(TileSizes::from_exported).ok_or_else(|| {
        Error::run(format!(
            "the GPU kernels are of another version: {found:?}, not {expected:?}"
        ))
    })
}
