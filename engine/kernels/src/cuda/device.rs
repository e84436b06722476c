//! Kernels on their way to the device: compiled (NVRTC, when first needed, for the device at hand), launched on the
//! stream that candle's own kernels use, results allocated as candle's are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendDevice;
use candle_core::cuda_backend::cudarc::driver::{
    CudaStream, DevicePtr, DevicePtrMut, LaunchConfig, PushKernelArg, SyncOnDrop,
};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileError, CompileOptions, compile_ptx_with_opts};
use candle_core::cuda_backend::{CudaStorageSlice, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Error, Layout, Result, Shape, Storage, Tensor, bail};

use super::operations::launch::{Arg, Launch, Module, Operation};

/// Runs `operation` on the first input's device; the result has this shape and the first input's type.
pub(super) fn run(operation: &impl Operation, inputs: &[Option<&Tensor>], shape: impl Into<Shape>) -> Result<Tensor> {
    let Some(Some(first)) = inputs.first() else { bail!("an operation needs an input") };
    let device = first.device().as_cuda_device()?;
    let shape = shape.into();
    #[allow(unsafe_code)]
    // SAFETY: the operation writes every value.
    let mut out = unsafe { device.alloc_uninit(&shape, first.dtype())? };
    if shape.elem_count() > 0 {
        launch_into(operation, device, inputs, &mut out)?;
    }
    Ok(Tensor::from_storage(Storage::Cuda(out), shape, BackpropOp::none(), false))
}

fn launch_into(
    operation: &impl Operation,
    device: &CudaDevice,
    inputs: &[Option<&Tensor>],
    out: &mut CudaStorage,
) -> Result<()> {
    let stream = device.cuda_stream();
    with_pointers(inputs, &stream, |inputs| {
        let mut scratch = Vec::new();
        for count in operation.scratch() {
            #[allow(unsafe_code)]
            // SAFETY: an operation writes its scratch buffers before it reads them.
            scratch.push(unsafe { device.alloc::<f32>(count)? });
        }
        let scratch: Vec<_> = scratch.iter_mut().map(|buffer| buffer.device_ptr_mut(&stream)).collect();
        let pointers: Vec<u64> = scratch.iter().map(|(pointer, _)| *pointer).collect();
        let (out, _written) = pointer_mut(out, &stream)?;
        operation.launches(inputs, &pointers, out)?.iter().try_for_each(|launch| send(device, &stream, launch))
    })
}

/// Calls `f` with where the values of contiguous copies of these tensors begin, 0 for an absent one. What `f` sends to
/// `stream` runs after what wrote them, and before anything that overwrites them.
pub(super) fn with_pointers<R>(
    tensors: &[Option<&Tensor>],
    stream: &CudaStream,
    f: impl FnOnce(&[u64]) -> Result<R>,
) -> Result<R> {
    let tensors: Vec<Option<Tensor>> =
        tensors.iter().map(|tensor| tensor.map(Tensor::contiguous).transpose()).collect::<Result<_>>()?;
    let storages: Vec<_> = tensors.iter().map(|tensor| tensor.as_ref().map(Tensor::storage_and_layout)).collect();
    let mut pointers = Vec::new();
    // Each is kept until everything is sent.
    let mut reads = Vec::new();
    for storage in &storages {
        let Some((storage, layout)) = storage else {
            pointers.push(0);
            continue;
        };
        let Storage::Cuda(storage) = &**storage else { bail!("this operation takes tensors on a CUDA device") };
        let (pointer, read) = pointer(storage, layout, stream)?;
        pointers.push(pointer);
        reads.push(read);
    }
    f(&pointers)
}

fn pointer<'a>(storage: &'a CudaStorage, layout: &Layout, stream: &'a CudaStream) -> Result<(u64, SyncOnDrop<'a>)> {
    let Some((from, _)) = layout.contiguous_offsets() else { bail!("this operation takes contiguous tensors") };
    let (start, read, size) = match &storage.slice {
        CudaStorageSlice::F32(slice) => with_size(slice.device_ptr(stream), size_of::<f32>()),
        CudaStorageSlice::F16(slice) => with_size(slice.device_ptr(stream), size_of::<u16>()),
        CudaStorageSlice::BF16(slice) => with_size(slice.device_ptr(stream), size_of::<u16>()),
        _ => bail!("this operation takes f32, f16 and bf16"),
    };
    Ok((start + (from * size) as u64, read))
}

fn with_size((pointer, read): (u64, SyncOnDrop<'_>), size: usize) -> (u64, SyncOnDrop<'_>, usize) {
    (pointer, read, size)
}

/// Of a storage that holds one fresh tensor.
pub(super) fn pointer_mut<'a>(storage: &'a mut CudaStorage, stream: &'a CudaStream) -> Result<(u64, SyncOnDrop<'a>)> {
    Ok(match &mut storage.slice {
        CudaStorageSlice::F32(slice) => slice.device_ptr_mut(stream),
        CudaStorageSlice::F16(slice) => slice.device_ptr_mut(stream),
        CudaStorageSlice::BF16(slice) => slice.device_ptr_mut(stream),
        _ => bail!("this operation gives f32, f16 and bf16"),
    })
}

fn send(device: &CudaDevice, stream: &CudaStream, launch: &Launch) -> Result<()> {
    let (major, minor) = stream.context().compute_capability().w()?;
    let program = program(&launch.module, major, minor)?;
    let function = device.get_or_load_custom_func(launch.kernel, &launch.module.key, &program)?;
    let mut builder = function.builder();
    for arg in &launch.args {
        match arg {
            Arg::Pointer(pointer) => builder.arg(pointer),
            Arg::Size(size) => builder.arg(size),
            Arg::Number(number) => builder.arg(number),
        };
    }
    let [x, y, z] = launch.grid;
    let config =
        LaunchConfig { grid_dim: (x, y, z), block_dim: (launch.threads, 1, 1), shared_mem_bytes: launch.shared };
    #[allow(unsafe_code)]
    // SAFETY: the arguments are those that the kernel declares (held to it by the tests), and every pointer is kept by
    // the caller until here.
    unsafe { builder.launch(config) }.w()?;
    Ok(())
}

/// The PTX of a module for a compute capability, compiled once in a process.
fn program(module: &Module, major: i32, minor: i32) -> Result<Arc<str>> {
    static PROGRAMS: Mutex<Option<HashMap<String, Arc<str>>>> = Mutex::new(None);
    let mut programs = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner);
    let programs = programs.get_or_insert_default();
    let key = format!("{} {major}.{minor}", module.key);
    if let Some(program) = programs.get(&key) {
        return Ok(program.clone());
    }
    let program: Arc<str> = compile(module, major, minor)?.into();
    programs.insert(key, program.clone());
    Ok(program)
}

/// Needs no device.
pub(super) fn compile(module: &Module, major: i32, minor: i32) -> Result<String> {
    let mut options: Vec<String> = module.defines.iter().map(|(name, value)| format!("-D{name}={value}")).collect();
    options.push(format!("--gpu-architecture=compute_{major}{minor}"));
    options.push("--std=c++17".into());
    let name = Some(format!("{}.cu", module.key));
    match compile_ptx_with_opts(module.text(), CompileOptions { options, name, ..CompileOptions::default() }) {
        Ok(program) => Ok(program.to_src()),
        Err(CompileError::CompileError { nvrtc, log, .. }) => {
            Err(Error::msg(format!("a kernel could not be compiled ({nvrtc:?}): {}", log.to_string_lossy())))
        }
        Err(other) => Err(other).w(),
    }
}
