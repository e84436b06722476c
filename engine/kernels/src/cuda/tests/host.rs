//! Runs an operation's kernels on the processor: compiled as C++ after `host.h`, called as the device would call them,
//! in memory that is no number wherever nothing was written.

use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_void};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Result, Tensor, bail};
use half::{bf16, f16};
use instaflow_test_support::skip_or_fail;

use crate::cuda::operations::launch::{Arg, Launch, Module, Operation};

/// Whether there is a C++ compiler. Without one, these tests cannot compile the kernels.
pub(super) fn present() -> bool {
    let found = Command::new(compiler()).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        skip_or_fail(&format!("a C++ compiler ({})", compiler()));
    }
    found
}

/// The result of `operation`, of that shape and the first input's type.
pub(super) fn run(operation: &impl Operation, inputs: &[Option<&Tensor>], shape: &[usize]) -> Result<Tensor> {
    let Some(Some(first)) = inputs.first() else { bail!("an operation needs an input") };
    let dtype = first.dtype();
    let mut inputs: Vec<Option<Memory>> =
        inputs.iter().map(|tensor| tensor.map(Memory::of).transpose()).collect::<Result<_>>()?;
    let mut scratch: Vec<Memory> = operation.scratch().into_iter().map(|count| Memory::new(count * 4)).collect();
    let count: usize = shape.iter().product();
    let mut out = Memory::new(count * dtype.size_in_bytes());
    let given: Vec<u64> = inputs.iter_mut().map(|memory| memory.as_mut().map_or(0, Memory::address)).collect();
    let pointers: Vec<u64> = scratch.iter_mut().map(Memory::address).collect();
    for launch in operation.launches(&given, &pointers, out.address())? {
        call(&launch);
    }
    inputs.iter().flatten().chain(&scratch).chain([&out]).for_each(Memory::check_edges);
    out.tensor(dtype, shape)
}

/// Values with edges that nobody may touch.
struct Memory {
    /// All ones, which is no number in any type, where nothing was written.
    words: Vec<u128>,
    bytes: usize,
}

/// Words on either side.
const EDGE: usize = 16;

impl Memory {
    fn new(bytes: usize) -> Self {
        Self { words: vec![u128::MAX; bytes.div_ceil(16) + 2 * EDGE], bytes }
    }

    fn of(tensor: &Tensor) -> Result<Self> {
        let tensor = tensor.flatten_all()?;
        let bytes: Vec<u8> = match tensor.dtype() {
            DType::F32 => tensor.to_vec1::<f32>()?.iter().flat_map(|value| value.to_le_bytes()).collect(),
            DType::F16 => tensor.to_vec1::<f16>()?.iter().flat_map(|value| value.to_le_bytes()).collect(),
            _ => tensor.to_vec1::<bf16>()?.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        let mut memory = Self::new(bytes.len());
        for (at, byte) in bytes.iter().enumerate() {
            let word = &mut memory.words[EDGE + at / 16];
            let shift = at % 16 * 8;
            *word = *word & !(0xff << shift) | u128::from(*byte) << shift;
        }
        Ok(memory)
    }

    fn address(&mut self) -> u64 {
        self.words[EDGE..].as_mut_ptr() as u64
    }

    fn check_edges(&self) {
        let last = self.words.len() - EDGE;
        let whole = self.words[..EDGE].iter().chain(&self.words[last..]).all(|word| *word == u128::MAX);
        let rest = self.bytes % 16;
        assert!(
            whole && (rest == 0 || self.words[last - 1] >> (rest * 8) == u128::MAX >> (rest * 8)),
            "written outside"
        );
    }

    fn tensor(&self, dtype: DType, shape: &[usize]) -> Result<Tensor> {
        let bytes: Vec<u8> = self.words[EDGE..].iter().flat_map(|word| word.to_le_bytes()).take(self.bytes).collect();
        Tensor::from_raw_buffer(&bytes, dtype, shape, &Device::Cpu)
    }
}

#[allow(unsafe_code)]
// SAFETY: as POSIX declares them.
unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// Runs one kernel. One at a time: the coroutines are in static memory.
fn call(launch: &Launch) {
    type Entry = unsafe extern "C" fn(*const u32, u32, u32, *const *const c_void);
    /// Libraries by the key of their module.
    static LIBRARIES: Mutex<Option<HashMap<String, usize>>> = Mutex::new(None);
    let mut libraries = LIBRARIES.lock().unwrap_or_else(PoisonError::into_inner);
    let library = *libraries
        .get_or_insert_default()
        .entry(launch.module.key.clone())
        .or_insert_with(|| compile(&launch.module) as usize);
    let name = CString::new(format!("run_{}", launch.kernel)).unwrap();
    let arguments: Vec<*const c_void> = launch
        .args
        .iter()
        .map(|arg| match arg {
            Arg::Pointer(pointer) => std::ptr::from_ref(pointer).cast(),
            Arg::Size(size) => std::ptr::from_ref(size).cast(),
            Arg::Number(number) => std::ptr::from_ref(number).cast(),
        })
        .collect();
    #[allow(unsafe_code)]
    // SAFETY: the library was made with this entry, and the arguments are those that a device would get.
    unsafe {
        let entry = dlsym(library as *mut c_void, name.as_ptr());
        assert!(!entry.is_null(), "no kernel {}", launch.kernel);
        let entry: Entry = std::mem::transmute(entry);
        entry(launch.grid.as_ptr(), launch.threads, launch.shared, arguments.as_ptr());
    }
}

/// Compiles and opens a module.
fn compile(module: &Module) -> *mut c_void {
    let folder = std::env::temp_dir().join(format!("instaflow-kernels-{}-{}", std::process::id(), module.key));
    std::fs::create_dir_all(&folder).unwrap();
    let (source, library) = (folder.join("kernel.cpp"), folder.join("kernel.so"));
    let text = module.text();
    let mut program = format!("#include \"host.h\"\n{text}\n");
    if text.contains("narrow_pair") {
        program += "static unsigned narrow_pair(float first, float second) {\n    \
                    return narrow(first) | (unsigned)narrow(second) << 16;\n}\n";
    }
    for line in text.lines().filter(|line| line.starts_with("extern \"C\" __global__")) {
        let declared = &line[..line.rfind('(').expect("a kernel's parameters")];
        let name = declared.rsplit(' ').next().unwrap();
        writeln!(
            program,
            "extern \"C\" void run_{name}(const unsigned* grid, unsigned count, unsigned shared, void** arguments) {{\n    \
             host::launch({name}, grid, count, shared, arguments);\n}}"
        )
        .unwrap();
    }
    std::fs::write(&source, program).unwrap();
    let mut command = Command::new(compiler());
    command.args(["-O1", "-std=c++17", "-shared", "-fPIC", "-fno-strict-aliasing", "-w", "-I"]);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cuda/tests"));
    command.args(module.defines.iter().map(|(name, value)| format!("-D{name}={value}")));
    let output = command.arg("-o").arg(&library).arg(&source).output().unwrap();
    assert!(output.status.success(), "{}: {}", module.key, String::from_utf8_lossy(&output.stderr));
    let path = CString::new(library.to_str().unwrap()).unwrap();
    #[allow(unsafe_code)]
    // SAFETY: a library that was made a moment ago. 2 is RTLD_NOW.
    let opened = unsafe { dlopen(path.as_ptr(), 2) };
    assert!(!opened.is_null(), "{} could not be opened", module.key);
    // Open already: the files are not needed any more.
    std::fs::remove_dir_all(&folder).unwrap();
    opened
}

fn compiler() -> String {
    std::env::var("CXX").unwrap_or_else(|_| "c++".into())
}
