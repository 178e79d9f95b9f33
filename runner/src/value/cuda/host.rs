//! The kernels on this machine's processor: compiled as C++ under `host.h`, with the arguments and in the
//! order that a GPU gets them.

use super::SOURCE;
use super::call::{Arg, Call, Machine, Memory};
use super::ops::Kernel;
use super::tests::Readable;
use crate::value::cpu::Elem;
use candle_core::{Result, bail};
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::process::Command;
use std::sync::{Mutex, OnceLock};

/// The names of all kernels, as the source has them.
pub(super) fn kernels() -> Vec<&'static str> {
    let heads = SOURCE.iter().flat_map(|source| source.split("extern \"C\" __global__ void ").skip(1));
    heads.filter_map(|rest| rest.split('(').next()).collect()
}

/// Kernels compiled for one number type.
pub(super) struct Host<T> {
    launch: Launch,
    threads: usize,
    kernels: PhantomData<T>,
}

/// Returns an empty text, or what is wrong.
///
/// # Safety
/// The arguments are those of the kernel that is named: `launch` has checked them.
type Launch =
    unsafe extern "C" fn(*const c_char, *const c_char, u32, u32, usize, *mut *mut c_void) -> *const c_char;

// SAFETY: C's own, with these signatures.
#[allow(unsafe_code)]
unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

impl<T: Elem> Host<T> {
    /// With so many threads in a block, a power of two; none where there is no C++ compiler, with a printed reason.
    pub(super) fn new(threads: usize) -> Option<Self> {
        static LIBRARIES: OnceLock<Mutex<HashMap<&str, Option<Launch>>>> = OnceLock::new();
        let mut libraries = LIBRARIES.get_or_init(Mutex::default).lock().unwrap();
        let real = if size_of::<T>() == 4 { "float" } else { "double" };
        let launch = *libraries.entry(real).or_insert_with(|| load(real));
        Some(Self { launch: launch?, threads, kernels: PhantomData })
    }
}

fn load(real: &str) -> Option<Launch> {
    if Command::new("g++").arg("--version").output().is_err() {
        println!("skipped: no g++ to compile the kernels for this processor");
        return None;
    }
    let place = tempfile::tempdir().unwrap();
    let mut source = String::from(include_str!("host.h"));
    source.extend(SOURCE);
    source += "extern \"C\" const char *launch(const char *name, const char *kinds, unsigned blocks, unsigned threads, \
               size_t shared, void **args) {\n    static std::string wrong;\n    wrong = \"no such kernel\";\n";
    for kernel in kernels() {
        source += &format!(
            "    if (name == std::string(\"{kernel}\")) wrong = entry({kernel}, kinds, blocks, threads, shared, args);\n"
        );
    }
    source += "    return wrong.c_str();\n}\n";
    let (file, library) = (place.path().join("kernels.cpp"), place.path().join("kernels.so"));
    std::fs::write(&file, source).unwrap();
    // Bsymbolic: the libraries of the two number types have functions of the same names.
    let options =
        "-std=c++17 -O1 -Wall -Wextra -Werror -Wno-unused -shared -fPIC -fno-gnu-unique -Wl,-Bsymbolic";
    let output = Command::new("g++")
        .args(options.split(' '))
        .arg(format!("-DReal={real}"))
        .args([&file, std::path::Path::new("-o"), &library])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = CString::new(library.to_str().unwrap()).unwrap();
    const NOW: c_int = 2;
    // SAFETY: the library was compiled above, has no initialisers beyond its own variables, and stays loaded.
    #[allow(unsafe_code)]
    let symbol = unsafe { dlsym(dlopen(path.as_ptr(), NOW), c"launch".as_ptr()) };
    assert!(!symbol.is_null(), "the kernels were not loaded");
    // SAFETY: `launch` has this signature above.
    #[allow(unsafe_code)]
    Some(unsafe { std::mem::transmute::<*mut c_void, Launch>(symbol) })
}

impl<T: Elem> Readable for Host<T> {
    fn read(&self, buffer: &Vec<Cell<T>>) -> Vec<T> {
        buffer.iter().map(Cell::get).collect()
    }
}

/// An optimiser's kernel on these weights and averages. Returns false where there is no compiler.
pub(crate) fn run_on_host(
    kernel: &Kernel,
    weights: &mut Vec<f64>,
    gradient: &[f64],
    averages: &mut [Vec<f64>],
) -> bool {
    let Some(host) = Host::<f64>::new(64) else { return false };
    let put = |numbers: &[f64]| host.numbers(numbers).unwrap();
    let (p, g, all) = (put(weights), put(gradient), averages.iter().map(|x| put(x)).collect::<Vec<_>>());
    let at: Vec<Memory> = all.iter().map(|x| host.at(x)).collect();
    kernel.run(&host, host.at(&p), host.at(&g), &at).unwrap();
    *weights = host.read(&p);
    averages.iter_mut().zip(&all).for_each(|(average, found)| *average = host.read(found));
    true
}

impl<T: Elem> Machine for Host<T> {
    type Real = T;
    type Buffer = Vec<Cell<T>>;
    type Table = Vec<u32>;

    fn threads(&self) -> usize {
        self.threads
    }

    /// Full of NaN: what a kernel does not write, or reads too early, shows.
    fn buffer(&self, n: usize) -> Result<Vec<Cell<T>>> {
        Ok(vec![Cell::new(T::NAN); n])
    }

    fn numbers(&self, numbers: &[T]) -> Result<Vec<Cell<T>>> {
        Ok(numbers.iter().copied().map(Cell::new).collect())
    }

    fn table(&self, labels: &[u32]) -> Result<Vec<u32>> {
        Ok(labels.to_vec())
    }

    fn at(&self, buffer: &Vec<Cell<T>>) -> Memory {
        Memory { address: buffer.as_ptr().expose_provenance() as u64, len: buffer.len() }
    }

    fn labels(&self, table: &Vec<u32>) -> Memory {
        Memory { address: table.as_ptr().expose_provenance() as u64, len: table.len() }
    }

    fn launch(&self, call: &Call) -> Result<()> {
        // What a call shares among its threads is one for all calls.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let kinds: String = call
            .args
            .iter()
            .map(|arg| match arg {
                Arg::Address(_) => 'p',
                Arg::Size(_) => 's',
                Arg::Real(_) => 'r',
            })
            .collect();
        let mut reals: Vec<T> = Vec::new();
        let mut words: Vec<u64> = Vec::new();
        for arg in &call.args {
            match *arg {
                Arg::Address(word) | Arg::Size(word) => words.push(word),
                Arg::Real(x) => reals.push(<T as ldyn_core::Real>::from_f64(x)),
            }
        }
        let (mut words_left, mut reals_left) = (words.iter_mut(), reals.iter_mut());
        let mut args: Vec<*mut c_void> = call
            .args
            .iter()
            .filter_map(|arg| match arg {
                Arg::Real(_) => reals_left.next().map(|x| std::ptr::from_mut(x).cast()),
                _ => words_left.next().map(|x| std::ptr::from_mut(x).cast()),
            })
            .collect();
        let [name, kinds] = [call.kernel, &kinds].map(|text| CString::new(text).unwrap());
        // SAFETY: the kinds of arguments are compared with the kernel's before it runs; addresses are those of
        // vectors that the caller holds, whose lengths `Call::memory` has checked, and kernels write to cells only.
        #[allow(unsafe_code)]
        let wrong = unsafe {
            CStr::from_ptr((self.launch)(
                name.as_ptr(),
                kinds.as_ptr(),
                call.blocks as u32,
                self.threads as u32,
                call.shared,
                args.as_mut_ptr(),
            ))
        };
        if !wrong.is_empty() {
            bail!("kernel `{}`: {}", call.kernel, wrong.to_string_lossy())
        }
        Ok(())
    }
}
