//! Vectors of f32 for every kind of processor, and the choice between them at run time.
//!
//! A loop that must stay in registers is a [`Task`]: it is written once over [`Simd`] and compiled for each kind of
//! vector. A loop that compilers vectorise well by themselves is a function in `vectorized!`.

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
                    crate::simd::Level::Avx512Bf16 | crate::simd::Level::Avx512 => return unsafe { wide($($arg),*) },
                    // SAFETY: the processor has every feature that `middle` asks for.
                    crate::simd::Level::Avx2 => return unsafe { middle($($arg),*) },
                    crate::simd::Level::Baseline => {}
                }
            }
            plain($($arg),*)
        }
    };
}
pub(crate) use vectorized;

#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512, Avx512Bf16};

mod plain;
pub(crate) use plain::Plain;

/// A processor's vectors of f32. A value of such a type is the proof that the processor has the features, as it can be
/// made only where they were found: whoever has one may compute with it.
#[allow(unsafe_code)]
pub(crate) trait Simd: Copy + 'static {
    /// One register.
    type Vector: Copy;
    /// Values in it.
    const LANES: usize;
    /// The widest panel of a product, in vectors.
    const PANEL: usize;
    /// Rows of a product's tile by the panel's width in vectors: what the registers hold, and enough independent sums
    /// to hide the latency of one.
    const ROWS: [usize; 5];

    fn splat(self, value: f32) -> Self::Vector;
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a · b + c`
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    fn sum(self, vector: Self::Vector) -> f32;
    fn maximum(self, vector: Self::Vector) -> f32;
    /// 2ⁿ where each value is n + 1.5 · 2²³, which keeps n in its low bits; n in −126 … 127.
    fn power_of_two(self, shifted: Self::Vector) -> Self::Vector;

    /// # Safety
    /// `LANES` values can be read at that address, aligned or not. So with every function that loads.
    unsafe fn load(self, from: *const f32) -> Self::Vector;
    /// # Safety
    /// `LANES` values can be written at that address, aligned or not. So with every function that stores.
    unsafe fn store(self, to: *mut f32, vector: Self::Vector);
    /// # Safety
    /// As for [`Self::load`].
    unsafe fn load_f16(self, from: *const u16) -> Self::Vector;
    /// # Safety
    /// As for [`Self::load`].
    unsafe fn load_bf16(self, from: *const u16) -> Self::Vector;
    /// Rounded to nearest, ties to even.
    ///
    /// # Safety
    /// As for [`Self::store`].
    unsafe fn store_bf16(self, to: *mut u16, vector: Self::Vector);

    /// Each 32-bit word's lower bf16, as f32.
    fn lower(self, words: Self::Vector) -> Self::Vector;
    /// Each 32-bit word's upper bf16, as f32.
    fn upper(self, words: Self::Vector) -> Self::Vector;
    /// `c + a₀ b₀ + a₁ b₁` where each 32-bit word holds two bf16.
    #[inline(always)]
    fn dot_bf16(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        let c = self.mul_add(self.lower(a), self.lower(b), c);
        self.mul_add(self.upper(a), self.upper(b), c)
    }
}

/// Work written once for every kind of vector. `run` must be `#[inline(always)]`.
#[allow(unsafe_code)]
pub(crate) trait Task {
    type Output;
    /// # Safety
    /// What the task's own type asks for, of the addresses in it above all.
    unsafe fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// Runs a task with the best vectors that this processor has.
///
/// # Safety
/// What the task's type asks for.
#[allow(unsafe_code)]
pub(crate) unsafe fn dispatch<T: Task>(task: T) -> T::Output {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,avx2,fma,f16c")]
        unsafe fn widest<T: Task>(task: T) -> T::Output {
            // SAFETY: this function has the features; the rest is the caller's promise.
            unsafe { task.run(Avx512Bf16::assume()) }
        }
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,f16c")]
        unsafe fn wide<T: Task>(task: T) -> T::Output {
            // SAFETY: as in `widest`.
            unsafe { task.run(Avx512::assume()) }
        }
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn middle<T: Task>(task: T) -> T::Output {
            // SAFETY: as in `widest`.
            unsafe { task.run(Avx2::assume()) }
        }

        // SAFETY: the processor was found to have every feature of the function called; the rest is the caller's promise.
        unsafe {
            match Level::of_this_processor() {
                Level::Avx512Bf16 => return widest(task),
                Level::Avx512 => return wide(task),
                Level::Avx2 => return middle(task),
                Level::Baseline => {}
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe { task.run(Plain) }
}

/// The width of a vector on this processor.
pub(crate) fn lanes() -> usize {
    sizes().0
}

/// The widest panel of a product on this processor, in vectors.
pub(crate) fn panel() -> usize {
    sizes().1
}

#[allow(unsafe_code)]
fn sizes() -> (usize, usize) {
    // SAFETY: the task asks for nothing.
    unsafe { dispatch(Lanes) }
}

struct Lanes;

#[allow(unsafe_code)]
impl Task for Lanes {
    type Output = (usize, usize);
    #[inline(always)]
    unsafe fn run<S: Simd>(self, _: S) -> (usize, usize) {
        (S::LANES, S::PANEL)
    }
}

/// Which of the compiled versions runs.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg(target_arch = "x86_64")]
pub(crate) enum Level {
    Avx512Bf16,
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
        if !(has!("avx2") && has!("fma") && has!("f16c")) {
            Self::Baseline
        } else if !(has!("avx512f") && has!("avx512vl") && has!("avx512dq") && has!("avx512bw")) {
            Self::Avx2
        } else if has!("avx512bf16") {
            Self::Avx512Bf16
        } else {
            Self::Avx512
        }
    }
}

/// Has the cache line at an address brought near; any address will do, also one that is nobody's.
#[allow(unsafe_code)]
#[inline(always)]
pub(crate) fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing, and every x86-64 processor has it.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// e^x to about two units in the last place, for −80 … 88. Clamped beyond: what is smaller would soon be multiplied into
/// the denormal numbers, which processors are a hundred times slower at.
#[inline(always)]
pub(crate) fn exp_vector<S: Simd>(s: S, x: S::Vector) -> S::Vector {
    let x = s.min(s.max(x, s.splat(-80.0)), s.splat(88.0));
    let round = s.splat(12_582_912.0);
    let shifted = s.mul_add(x, s.splat(std::f32::consts::LOG2_E), round);
    let n = s.sub(shifted, round);
    // ln 2 in two parts, so that r keeps its low bits.
    let r = s.mul_add(n, s.splat(-0.693_359_4), x);
    let r = s.mul_add(n, s.splat(2.121_944_4e-4), r);
    let p = s.mul_add(s.splat(1.987_569_1e-4), r, s.splat(1.398_199_9e-3));
    let p = s.mul_add(p, r, s.splat(8.333_452e-3));
    let p = s.mul_add(p, r, s.splat(4.166_579_6e-2));
    let p = s.mul_add(p, r, s.splat(1.666_666_5e-1));
    let p = s.mul_add(p, r, s.splat(0.5));
    let p = s.mul_add(s.mul(p, r), r, s.add(r, s.splat(1.0)));
    s.mul(p, s.power_of_two(shifted))
}

/// 2^x to about two units in the last place, for −115 … 127. Clamped below, as [`exp_vector`] is, and for the same reason.
#[inline(always)]
pub(crate) fn exp2_vector<S: Simd>(s: S, x: S::Vector) -> S::Vector {
    let x = s.max(x, s.splat(-115.0));
    let round = s.splat(12_582_912.0);
    let shifted = s.add(x, round);
    let r = s.sub(x, s.sub(shifted, round));
    // 2^r on −½ … ½, relative error 7.5e-8: least squares of the relative error, reweighted until it is level.
    let p = s.mul_add(s.splat(1.327_647_2e-3), r, s.splat(9.675_541e-3));
    let p = s.mul_add(p, r, s.splat(5.550_713_3e-2));
    let p = s.mul_add(p, r, s.splat(2.402_212e-1));
    let p = s.mul_add(p, r, s.splat(6.931_469_4e-1));
    let p = s.mul_add(p, r, s.splat(1.000_000_1));
    s.mul(p, s.power_of_two(shifted))
}

/// x / (1 + e^(−slope · x)): SiLU with a slope of 1, CLIP's quick GELU with 1.702.
#[inline(always)]
pub(crate) fn silu_vector<S: Simd>(s: S, x: S::Vector, slope: f32) -> S::Vector {
    let e = exp_vector(s, s.mul(x, s.splat(-slope)));
    s.div(x, s.add(s.splat(1.0), e))
}

/// GELU in its exact form, with erf after Abramowitz and Stegun 7.1.26, |error| < 1.5e-7.
#[inline(always)]
pub(crate) fn gelu_vector<S: Simd>(s: S, x: S::Vector) -> S::Vector {
    let magnitude = s.max(x, s.sub(s.splat(0.0), x));
    let z = s.mul(magnitude, s.splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = s.div(s.splat(1.0), s.mul_add(z, s.splat(0.327_591_1), s.splat(1.0)));
    let bell = exp_vector(s, s.sub(s.splat(0.0), s.mul(z, z)));
    let p = s.mul_add(s.splat(1.061_405_4), t, s.splat(-1.453_152));
    let p = s.mul_add(p, t, s.splat(1.421_413_7));
    let p = s.mul_add(p, t, s.splat(-0.284_496_73));
    let p = s.mul_add(p, t, s.splat(0.254_829_6));
    // x Φ(x) = max(x, 0) − |x| · tail, where tail is half of erfc(|x| / √2).
    let tail = s.mul(s.mul(s.mul(p, t), bell), s.splat(0.5));
    s.sub(s.max(x, s.splat(0.0)), s.mul(magnitude, tail))
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

    /// `work` with every version that this processor can run, the best first. Work shared with other threads runs there
    /// in the best version: call this inside a pool of one thread.
    pub(crate) fn with_every_level<R>(work: impl Fn() -> R) -> Vec<(Level, R)> {
        let best = Level::of_this_processor();
        let levels = [Level::Avx512Bf16, Level::Avx512, Level::Avx2, Level::Baseline];
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
