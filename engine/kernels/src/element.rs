//! The two types that activations are kept in.

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
    /// As for [`Simd`].
    unsafe fn load<S: Simd>(from: *const Self) -> S::Vector;
    /// `S::LANES` values.
    ///
    /// # Safety
    /// As for [`Simd`].
    unsafe fn store<S: Simd>(to: *mut Self, vector: S::Vector);

    /// The first `count` values, then zeros.
    ///
    /// # Safety
    /// As for [`Simd`].
    #[inline(always)]
    unsafe fn load_part<S: Simd>(from: *const Self, count: usize) -> S::Vector {
        unsafe {
            if count >= S::LANES {
                return Self::load::<S>(from);
            }
            let mut part = [0.0f32; 16];
            for (i, value) in part.iter_mut().enumerate().take(count) {
                *value = (*from.add(i)).to_f32();
            }
            S::load(part.as_ptr())
        }
    }

    /// The first `count` values.
    ///
    /// # Safety
    /// As for [`Simd`].
    #[inline(always)]
    unsafe fn store_part<S: Simd>(to: *mut Self, vector: S::Vector, count: usize) {
        unsafe {
            if count >= S::LANES {
                return Self::store::<S>(to, vector);
            }
            let mut part = [0.0f32; 16];
            S::store(part.as_mut_ptr(), vector);
            for (i, value) in part.iter().enumerate().take(count) {
                *to.add(i) = Self::from_f32(*value);
            }
        }
    }
}

#[allow(unsafe_code)]
// SAFETY (of all below): the trait's contract.
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
    unsafe fn load<S: Simd>(from: *const f32) -> S::Vector {
        unsafe { S::load(from) }
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(to: *mut f32, vector: S::Vector) {
        unsafe { S::store(to, vector) }
    }
}

#[allow(unsafe_code)]
// SAFETY (of all below): the trait's contract.
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
    unsafe fn load<S: Simd>(from: *const bf16) -> S::Vector {
        unsafe { S::load_bf16(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(to: *mut bf16, vector: S::Vector) {
        unsafe { S::store_bf16(to.cast(), vector) }
    }
}
