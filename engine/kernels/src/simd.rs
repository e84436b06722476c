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

/// As `vectorized`, with a constant `FUSED` in the body: whether a multiplication and an addition are one instruction.
/// (Where they are not, `mul_add` is a slow function call.)
macro_rules! fused {
    ($(#[$attr:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block) => {
        $(#[$attr])*
        #[allow(unsafe_code)]
        fn $name($($arg: $ty),*) {
            #[inline(always)]
            fn plain<const FUSED: bool>($($arg: $ty),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
                fn wide($($arg: $ty),*) { plain::<true>($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn middle($($arg: $ty),*) { plain::<true>($($arg),*) }

                match crate::simd::Level::of_this_processor() {
                    // SAFETY: the processor has every feature that `wide` asks for.
                    crate::simd::Level::Avx512 => return unsafe { wide($($arg),*) },
                    // SAFETY: likewise for `middle`.
                    crate::simd::Level::Avx2 => return unsafe { middle($($arg),*) },
                    crate::simd::Level::Baseline => {}
                }
            }
            plain::<{ cfg!(target_arch = "aarch64") }>($($arg),*)
        }
    };
}
pub(crate) use fused;

/// Which of the compiled versions runs.
#[derive(Clone, Copy)]
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
