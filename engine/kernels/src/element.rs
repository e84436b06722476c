//! The two types of activations: f32 and bf16.

use candle_core::WithDType;
use half::bf16;

use crate::simd::Simd;

/// f32 or bf16 in memory, f32 in registers.
#[allow(unsafe_code)]
pub(crate) trait Element: WithDType + Sync + Send {
    /// As f32.
    fn to_f32(self) -> f32;
    /// Rounded to nearest.
    fn from_f32(value: f32) -> Self;

    /// `S::LANES` values.
    ///
    /// # Safety
    /// They can be read there.
    unsafe fn load<S: Simd>(s: S, from: *const Self) -> S::Vector;
    /// `S::LANES` values.
    ///
    /// # Safety
    /// They can be written there.
    unsafe fn store<S: Simd>(s: S, to: *mut Self, vector: S::Vector);

    /// The first `count` values, at most `S::LANES`, then zeros.
    ///
    /// # Safety
    /// Those can be read there.
    #[inline(always)]
    unsafe fn load_part<S: Simd>(s: S, from: *const Self, count: usize) -> S::Vector {
        // SAFETY: the caller's promise; `part` is as long as the longest vector.
        unsafe {
            if count >= S::LANES {
                return Self::load(s, from);
            }
            let mut part = [0.0f32; 16];
            for (i, value) in part.iter_mut().enumerate().take(count) {
                *value = (*from.add(i)).to_f32();
            }
            s.load(part.as_ptr())
        }
    }

    /// The first `count` values, at most `S::LANES`.
    ///
    /// # Safety
    /// Those can be written there.
    #[inline(always)]
    unsafe fn store_part<S: Simd>(s: S, to: *mut Self, vector: S::Vector, count: usize) {
        // SAFETY: the caller's promise; `part` is as long as the longest vector.
        unsafe {
            if count >= S::LANES {
                return Self::store(s, to, vector);
            }
            let mut part = [0.0f32; 16];
            s.store(part.as_mut_ptr(), vector);
            for (i, value) in part.iter().enumerate().take(count) {
                *to.add(i) = Self::from_f32(*value);
            }
        }
    }
}

#[allow(unsafe_code)]
impl Element for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, from: *const f32) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { s.load(from) }
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, to: *mut f32, vector: S::Vector) {
        // SAFETY: the caller's promise.
        unsafe { s.store(to, vector) }
    }
}

#[allow(unsafe_code)]
impl Element for bf16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        bf16::from_f32(value)
    }
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, from: *const bf16) -> S::Vector {
        // SAFETY: the caller's promise.
        unsafe { s.load_bf16(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, to: *mut bf16, vector: S::Vector) {
        // SAFETY: the caller's promise.
        unsafe { s.store_bf16(to.cast(), vector) }
    }
}
