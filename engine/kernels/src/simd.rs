//! Plain loops compiled for the widest vectors that the processor has, chosen at run time.

/// Defines a function whose body is compiled three times: for AVX-512, for AVX2 and for the target as it is.
macro_rules! vectorized {
    ($(#[$attr:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$attr])*
        #[allow(unsafe_code)]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn plain($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
                fn wide($($arg: $ty),*) $(-> $ret)? { plain($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn middle($($arg: $ty),*) $(-> $ret)? { plain($($arg),*) }

                match crate::simd::Level::of_this_processor() {
                    // SAFETY: the processor has every feature that `wide` asks for.
                    crate::simd::Level::Avx512 => return unsafe { wide($($arg),*) },
                    // SAFETY: likewise for `middle`.
                    crate::simd::Level::Avx2 => return unsafe { middle($($arg),*) },
                    crate::simd::Level::Baseline => {}
                }
            }
            plain($($arg),*)
        }
    };
}
pub(crate) use vectorized;

/// Defines a function whose body is compiled for AVX-512, for AVX2 and for the target as it is, with `S` in it standing
/// for the [`Simd`] of each. For loops that must stay in registers: what a compiler makes of plain ones changes with
/// every edit nearby.
macro_rules! with_simd {
    ($(#[$attr:meta])* fn $name:ident<$simd:ident>($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$attr])*
        #[allow(unsafe_code)]
        fn $name($($arg: $ty),*) {
            #[inline(always)]
            fn body<$simd: crate::simd::Simd>($($arg: $ty),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
                fn wide($($arg: $ty),*) { body::<crate::simd::Avx512>($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn middle($($arg: $ty),*) { body::<crate::simd::Avx2>($($arg),*) }

                match crate::simd::Level::of_this_processor() {
                    // SAFETY: the processor has every feature that `wide` asks for.
                    crate::simd::Level::Avx512 => return unsafe { wide($($arg),*) },
                    // SAFETY: likewise for `middle`.
                    crate::simd::Level::Avx2 => return unsafe { middle($($arg),*) },
                    crate::simd::Level::Baseline => {}
                }
            }
            body::<crate::simd::Plain>($($arg),*);
        }
    };
}
pub(crate) use with_simd;

/// A processor's vectors of f32.
///
/// # Safety
/// Every function may be called only where the processor has the features; pointers must be good for `LANES` values.
#[allow(unsafe_code)]
pub(crate) trait Simd {
    /// One register.
    type Vector: Copy;
    /// Values in it.
    const LANES: usize;
    /// Output channels that a kernel's accumulators hold, three registers each.
    const CHANNELS: usize;

    unsafe fn splat(value: f32) -> Self::Vector;
    unsafe fn load(from: *const f32) -> Self::Vector;
    unsafe fn store(to: *mut f32, vector: Self::Vector);
    /// `a · b + c`
    unsafe fn mul_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    unsafe fn sum(vector: Self::Vector) -> f32;
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehl_ps, _mm_shuffle_ps, _mm256_castps256_ps128,
        _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm512_fmadd_ps,
        _mm512_loadu_ps, _mm512_reduce_add_ps, _mm512_set1_ps, _mm512_storeu_ps,
    };

    use super::Simd;

    pub(crate) struct Avx512;
    pub(crate) struct Avx2;

    #[allow(unsafe_code)]
    // SAFETY (of all below): the trait's contract.
    impl Simd for Avx512 {
        type Vector = __m512;
        const LANES: usize = 16;
        const CHANNELS: usize = 8;

        #[inline(always)]
        unsafe fn splat(value: f32) -> __m512 {
            unsafe { _mm512_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, vector: __m512) {
            unsafe { _mm512_storeu_ps(to, vector) }
        }
        #[inline(always)]
        unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn sum(vector: __m512) -> f32 {
            unsafe { _mm512_reduce_add_ps(vector) }
        }
    }

    #[allow(unsafe_code)]
    // SAFETY (of all below): the trait's contract.
    impl Simd for Avx2 {
        type Vector = __m256;
        const LANES: usize = 8;
        const CHANNELS: usize = 4;

        #[inline(always)]
        unsafe fn splat(value: f32) -> __m256 {
            unsafe { _mm256_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m256 {
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, vector: __m256) {
            unsafe { _mm256_storeu_ps(to, vector) }
        }
        #[inline(always)]
        unsafe fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn sum(vector: __m256) -> f32 {
            unsafe {
                let four = _mm_add_ps(_mm256_castps256_ps128(vector), _mm256_extractf128_ps(vector, 1));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)))
            }
        }
    }
}
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// Arrays of four, which compilers map to the vectors that every 64-bit processor has.
pub(crate) struct Plain;

#[allow(unsafe_code)]
// SAFETY (of all below): the trait's contract.
impl Simd for Plain {
    type Vector = [f32; 4];
    const LANES: usize = 4;
    const CHANNELS: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> [f32; 4] {
        [value; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 4] {
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, vector: [f32; 4]) {
        unsafe { to.cast::<[f32; 4]>().write_unaligned(vector) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        // One instruction on ARM; elsewhere `f32::mul_add` may be a slow function call.
        let one = |i: usize| if cfg!(target_arch = "aarch64") { a[i].mul_add(b[i], c[i]) } else { a[i] * b[i] + c[i] };
        [one(0), one(1), one(2), one(3)]
    }
    #[inline(always)]
    unsafe fn sum(vector: [f32; 4]) -> f32 {
        (vector[0] + vector[2]) + (vector[1] + vector[3])
    }
}

/// Which of the compiled versions runs.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg(target_arch = "x86_64")]
pub(crate) enum Level {
    Avx512,
    Avx2,
    Baseline,
}

#[cfg(target_arch = "x86_64")]
impl Level {
    /// The detection macros remember their answers: this costs a few loads.
    #[inline]
    pub(crate) fn of_this_processor() -> Self {
        use std::arch::is_x86_feature_detected as has;
        #[cfg(test)]
        if let Some(level) = tests::FORCED.get() {
            return level;
        }
        if !(has!("avx2") && has!("fma")) {
            Self::Baseline
        } else if has!("avx512f") && has!("avx512vl") && has!("avx512dq") && has!("avx512bw") {
            Self::Avx512
        } else {
            Self::Avx2
        }
    }
}

/// Partial sums that keep a loop free of a chain of dependent additions.
const LANES: usize = 16;

/// `Σ f(i)` for i in 0 … `len`, in `LANES` partial sums.
#[inline(always)]
pub(crate) fn sum(len: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let whole = len / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += f(start + lane);
        }
    }
    let rest: f32 = (whole..len).map(f).sum();
    lanes.iter().sum::<f32>() + rest
}

/// e^x to about one unit in the last place, for |x| < 87 (clamped beyond); a form that loops vectorise.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // 1.5 · 2²³: adding it rounds to an integer.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, so that r keeps its low bits.
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4 * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    // The low bits of `shifted` are the integer n itself.
    let scale = f32::from_bits(shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    p * scale
}

/// 1 / (1 + e^−x).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::Level;

    thread_local! {
        /// The version to run on this thread in place of the processor's best.
        pub(super) static FORCED: Cell<Option<Level>> = const { Cell::new(None) };
    }

    /// `work` with every version that this processor can run, the best first.
    pub(crate) fn with_every_level<R>(work: impl Fn() -> R) -> Vec<(Level, R)> {
        let best = Level::of_this_processor();
        let levels = [Level::Avx512, Level::Avx2, Level::Baseline];
        let able = levels.iter().skip_while(|level| **level != best);
        able.map(|level| {
            FORCED.set(Some(*level));
            let result = work();
            FORCED.set(None);
            (*level, result)
        })
        .collect()
    }
}
